"""What a command owes to who started it, and what it does not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path


def test_who_ignores_the_ends_of_children_makes_no_failure_a_success(tmp_path):
    """A web server may: then nobody could ask how a git ended, and each would count as a success."""
    command = Path(sys.executable).with_name("autosync-install-hooks")
    done = subprocess.run(
        [command, tmp_path],
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is not a git repository" in done.stderr
