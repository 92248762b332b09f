"""What a person meets on a terminal: questions, messages that fit, `--watch` that lives on."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from autosync.common import config
from autosync.common.instance import Instance
from tests.support.git import git
from tests.support.machines import command
from tests.support.wait import DEADLINE

_RUN = "import sys; from autosync.console.main import main; sys.exit(main(sys.argv[1:]))"


class Terminal:
    """`autosync` with these arguments on a terminal of 80x24. A context manager: nothing is left running."""

    def __init__(self, *args: object, cwd: Path | None = None) -> None:
        self._master, slave = pty.openpty()
        env = dict(os.environ) | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
        argv = [sys.executable, "-c", _RUN, *map(str, args)]
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=cwd)
        os.close(slave)
        self.said = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], DEADLINE)
        assert ready, self.said
        try:
            piece = os.read(self._master, 4096).decode(errors="replace")
        except OSError:  # the other side is closed
            return False
        self.said += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", piece).replace("\r", "")
        return bool(piece)

    def answer(self, question: str, answer: str) -> None:
        while question not in self.said:
            assert self._read(), self.said
        self.said = self.said.partition(question)[2]
        os.write(self._master, answer.encode() + b"\n")

    def end(self) -> int:
        while self._read():
            pass
        return self.process.wait(DEADLINE)


def test_init_asks_for_what_is_missing_and_makes_the_central_repository(home):
    (home / "notes").mkdir()
    (home / "notes" / "todo.md").write_text("x")
    with Terminal("init", cwd=home / "notes") as terminal:
        terminal.answer(f"Folder to keep in sync [{home}/notes]:", "")
        terminal.answer("Its address (Enter: none yet):", "~/central.git")
        terminal.answer("Make an empty central repository?", "y")
        assert terminal.end() == 0, terminal.said
    assert git(home / "central.git", "rev-parse", "--is-bare-repository") == "true"
    assert git(home / "notes", "config", "remote.origin.url") == str(home / "central.git")
    assert [repo.path for repo in config.load(Instance.of().config)[1]] == [home / "notes"]
    # nothing is missing now
    with Terminal("init", home / "notes") as terminal:
        assert terminal.end() == 0
    assert "Its address" not in terminal.said


def test_a_large_first_commit_is_asked_for_and_no_means_no(home):
    (home / "notes").mkdir()
    for number in range(60):
        (home / "notes" / f"{number}").touch()
    with Terminal("init", home / "notes") as terminal:
        terminal.answer("Its address", "")
        terminal.answer("Go on?", "n")
        assert terminal.end() == 1
    assert "nothing was done" in terminal.said
    assert not (home / "notes" / ".git").exists()
    assert not Instance.of().config.exists()


def test_a_question_can_be_left(home):
    with Terminal("init", cwd=home) as terminal:
        terminal.answer("Folder to keep in sync:", "\x04")
        assert terminal.end() == 130
    assert "bug" not in terminal.said
    assert not list(home.glob(".local/state/autosync/default/bug-*"))


def test_a_problem_fits_the_terminal_with_its_remedy_below(machine):
    path = machine.notes.parent / "a folder with a long name" / "and another one that is longer still"
    path.mkdir(parents=True)
    with Terminal("--config", machine.config, "sync", path) as terminal:
        assert terminal.end() == 1
    lines = terminal.said.splitlines()
    assert lines[0].startswith("autosync sync: ~/a folder")
    # the terminal folds the command, which can be pasted so
    *said, last = lines
    assert max(map(len, said)) <= 80, lines
    assert said[-1] == "  add it with:"
    shown = "~/" + shlex.quote(str(path.relative_to(machine.notes.parent)))
    assert last.strip() == f"autosync --config {machine.config} init {shown}".replace(str(machine.notes.parent), "~")


def test_watching_outlives_a_mistake_in_the_configuration(machine):
    good = machine.config.read_text()
    argv = [sys.executable, "-c", _RUN, "--config", str(machine.config), "status", "--watch"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            lines = iter(process.stdout.readline, "")
            assert any("laptop" in line for line in lines)
            machine.config.write_text("nam = 1")
            assert any("did you mean 'name'?" in line for line in lines)
            machine.config.write_text(good)
            assert any("laptop" in line for line in lines)
        finally:
            process.kill()


@pytest.mark.parametrize("service", ["relay", "watcher"])
def test_a_service_that_cannot_start_says_that_it_does_not_run(machine, service):
    machine.config.write_text("nam = 1")
    argv = [command(f"autosync-{service}"), "--config", str(machine.config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"autosync-{service}: the {service} does not run: 1 problem in the configuration\n" in done.stderr
    assert "Traceback" not in done.stderr


COMMANDS = {
    "init": ["notes"],
    "invite": [],
    "status": [],
    "sync": [],
    "pause": [],
    "resume": [],
    "explain": ["notes/x"],
    "log": ["--machine", "desk"],
    "describe": ["notes", "words"],
    "undo": [],
    "restore": ["notes/x"],
    "peers": ["add", "desk", "desk:notes"],
    "doctor": [],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bug_writes_one_report_and_says_where(machine, monkeypatch, name):
    def broken(*_):
        raise RuntimeError("no login for https://rene:pass-word@host/x")

    monkeypatch.chdir(machine.notes.parent)
    monkeypatch.setattr("autosync.common.config.load", broken)
    for _ in range(2):
        code, out, err = machine.run(name, *COMMANDS[name])
        assert (code, out) == (3, "")
        # however often it is met
        (report,) = machine.instance.state.glob("bug-*.txt")
        assert err.count("\n") == 1
        assert f"The details are in {report}; please report it." in err
        text = report.read_text()
        assert "RuntimeError" in text
        assert "pass-word" not in text + err
        assert report.stat().st_mode & 0o777 == 0o600
