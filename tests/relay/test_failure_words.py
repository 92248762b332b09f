"""What a person reads of a failed git command."""

from __future__ import annotations

import pytest

from autosync.common.git import GitError
from autosync.relay.failures import classify


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            "remote: Enumerating objects: 4, done.\n"
            "error: insufficient permission for adding an object to repository database .git/objects\n"
            "fatal: failed to write object\n",
            "insufficient permission for adding an object",
        ),
        ("remote: Counting objects: 1, done.\nfatal: write error: No space left on device\n", "write error: No space"),
        ("ssh: connect to host h port 22: Connection refused\nfatal: Could not read\n", "ssh: connect to host h"),
    ],
)
def test_progress_of_the_remote_is_no_reason(said, what):
    failure = classify(GitError(("fetch",), 128, b"", said.encode()), "origin", "/r")
    assert what in failure.what
    assert "objects: " not in failure.what
