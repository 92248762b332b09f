"""`autosync log`: by machine, file and time; and through a pager where it is long."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

import pytest

from autosync.common.errors import Problem
from autosync.common.operations import Operation, OperationLog
from autosync.console import moments
from tests.support.git import git


def commit(machine, name: str, by: str) -> tuple[str, str]:
    before = git(machine.notes, "rev-parse", "HEAD")
    (machine.notes / name).write_text(name)
    git(machine.notes, "add", name)
    git(machine.notes, "commit", "-qm", f"{name}\n\nAutosync-Machine: {by}")
    return before, git(machine.notes, "rev-parse", "HEAD")


@pytest.fixture
def history(machine):
    log, notes = OperationLog(machine.instance.operations), str(machine.notes)
    log.append(
        Operation(notes, "commit", "refs/heads/main", *commit(machine, "mine", "laptop"), paths=("mine",), time=1e9)
    )
    log.append(Operation(notes, "merge", "refs/heads/main", *commit(machine, "theirs", "desk"), time=2e9))
    log.append(Operation("/gone", "merge", "refs/heads/main", "1" * 40, "2" * 40, time=3e9))
    return machine


def actions(machine, *args: object) -> list[str]:
    code, out, err = machine.run("log", *args)
    assert code == 0, err
    return [line.split("  ")[2].split()[0] for line in out.splitlines() if "nothing" not in line]


def test_by_machine_and_file_what_came_in_counts(history):
    assert actions(history, "--machine", "desk") == ["merge"]
    assert actions(history, "--machine", "laptop") == ["commit", "merge"]  # what is gone cannot be asked
    assert actions(history, history.notes / "theirs") == ["merge"]
    assert actions(history, history.notes / "mine") == ["commit"]
    assert actions(history, history.notes) == ["commit", "merge"]
    assert actions(history, history.notes, "-n", "1") == ["merge"]


def test_by_time_and_action(history):
    assert actions(history, "--since", "2020-01-01 00:00", "--until", "2035-01-01 00:00") == ["merge"]
    assert actions(history, "--until", "1 hour ago", "--action", "commit") == ["commit"]
    assert history.run("log", "--action", "undo")[1] == "nothing like that\n"
    code, _, err = history.run("log", "--since", "whenever")
    assert code == 1
    assert "'whenever' is no time" in err


def test_times_are_read_as_git_does(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    assert moments.moment("2026-03-01 14:00:00 +0000") == 1772373600
    assert abs(time.time() - 7200 - moments.moment("2 hours ago")) < 120
    assert moments.moment("yesterday") < time.time()
    with pytest.raises(Problem):
        moments.moment("soon")


def on_a_terminal(machine, env: dict[str, str]) -> str:
    """What `autosync log` writes to a terminal of 80x24."""
    master, slave = pty.openpty()
    code = f"from autosync.console.main import main; main(['--config', {str(machine.config)!r}, 'log', '-n', '0'])"
    size = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=slave, stdout=slave, stderr=slave, env=dict(os.environ) | size | env
    ) as process:
        os.close(slave)
        said = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            said += piece
        os.close(master)
    assert process.returncode == 0
    return said.decode()


@pytest.mark.parametrize(("lines", "paged"), [(3, False), (40, True)])
def test_what_a_terminal_does_not_show_at_once_goes_through_the_pager(machine, tmp_path, lines, paged):
    log = OperationLog(machine.instance.operations)
    for number in range(lines):
        log.append(Operation(str(machine.notes), "hold", detail=f"number {number}"))
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged\ncat >/dev/null\n")
    pager.chmod(0o755)
    said = on_a_terminal(machine, {"PAGER": str(pager)})
    assert ("paged" in said, "number 0" in said) == (paged, not paged)
    assert "number 39" in on_a_terminal(machine, {"PAGER": "cat"}) or not paged
    assert "bug" not in on_a_terminal(machine, {"PAGER": "less '"})
