"""What is going on in a repository."""

from __future__ import annotations

import os

import pytest

from autosync.common.repository import Repository
from tests.support.git import git

NEW_GIT = os.environ.get("AUTOSYNC_TEST_NEW_GIT")


@pytest.mark.parametrize("form", ["files", "reftable"])
@pytest.mark.parametrize("what", ["cherry-pick", "revert"])
def test_a_pick_or_revert_that_waits_for_the_person_is_seen(tmp_path, monkeypatch, form, what):
    options = []
    if form == "reftable":
        if NEW_GIT is None:
            pytest.skip("git here does not know reftable")
        monkeypatch.setenv("PATH", f"{NEW_GIT}:{os.environ['PATH']}")
        options = ["--ref-format=reftable"]
    git(tmp_path, "init", "-q", *options)
    for number in range(3):
        (tmp_path / "file").write_text(f"{number}\n")
        git(tmp_path, "add", "file")
        git(tmp_path, "commit", "-qm", f"{number}")
    repository = Repository.open(tmp_path)
    assert repository.operation() is None
    # what the commit before the last one did does not fit any more
    git(tmp_path, what, "HEAD~1", check=False)
    assert repository.operation() == what
    git(tmp_path, what, "--abort")
    assert repository.operation() is None
