"""`autosync demo`: what it shows has happened, and nothing of it stays behind."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wait import until

COMMAND = [sys.executable, "-c", "import sys; from autosync.console.main import main; sys.exit(main())", "demo"]


class Demo:
    """A running demo with its own folder for temporary files and an empty home."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        (folder / "home").mkdir()
        # neither settings nor identity, as on a fresh machine
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "TMPDIR": str(self.temporary)}
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen([*COMMAND, *options], env=environment, stdout=output, stderr=output)

    def said(self) -> str:
        return self._output.read_text()

    def until(self, text: str) -> None:
        until(lambda: text in self.said() or self.process.poll() is not None, f"{text!r}", 150)
        assert text in self.said(), self.said()

    @property
    def folder(self) -> Path:
        (found,) = self.temporary.iterdir()
        return found

    def processes(self) -> list[str]:
        """Everything that runs with something of the demo's in its command line or environment."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    data = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if os.fsencode(self.temporary) in data:
                    found.append((entry / "comm").read_text())
        return found

    def nothing_is_left(self) -> None:
        assert list(self.temporary.iterdir()) == []
        until(lambda: not self.processes(), "the end of all processes")


@pytest.fixture
def start(tmp_path):
    started = []

    def begin(*options: str) -> Demo:
        started.append(Demo(tmp_path, *options))
        return started[-1]

    yield begin
    for demo in started:
        demo.process.kill()
        demo.process.wait()


def test_once_shows_every_step_and_leaves_nothing(start):
    demo = start("--once")
    assert demo.process.wait(150) == 0, demo.said()
    said = demo.said()
    assert re.findall(r"^(\d)\. ", said, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert len(re.findall(r"✓ .*  \d+(\.\d+)? s$", said, re.MULTILINE)) == 5
    assert re.search(r"on laptop: dinner\.conflict-[0-9a-f]{7}\.txt and dinner\.txt", said)
    assert "\x1b" not in said
    demo.nothing_is_left()


def test_it_stays_live_until_it_is_interrupted(start):
    demo = start()
    demo.until("Ctrl-C ends it")
    (demo.folder / "desk" / "mine.txt").write_text("mine")
    arrived = demo.folder / "laptop" / "mine.txt"
    until(lambda: arrived.exists() and arrived.read_text() == "mine", "the file of the person's own")
    demo.until("mine.txt")

    def status() -> str:
        argv = [demo.folder / "laptop-autosync", "status"]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    # what the relay has just put there counts as changed until it has been looked at
    until(lambda: "1 conflict copy to look through" in status(), "everything to be in sync")
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0, demo.said()
    demo.nothing_is_left()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["start", "tour"])
def test_a_signal_at_any_moment_leaves_nothing(start, number, code, moment):
    demo = start("--once")
    if moment == "start":
        until(lambda: demo.processes(), "the first process")
    else:
        demo.until("1. ")
    demo.process.send_signal(number)
    assert demo.process.wait(60) == code, demo.said()
    demo.nothing_is_left()


def test_a_terminal_that_is_closed_ends_it_and_leaves_nothing(tmp_path):
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(COMMAND[0], [*COMMAND, "--once"], environment)
    said = b""
    while b"1. " not in said:
        said += os.read(terminal, 1000)
    # on a terminal, the line that tells of the beginning is gone before the first that stays
    assert re.search(rb"reflector \.\.\.\r\x1b\[K(\x1b\[[0-9;]*m)*Two machines", said)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert list((tmp_path / "temporary").iterdir()) == []
    assert list((tmp_path / "home").rglob("bug-*")) == []


def test_a_killed_demo_takes_its_processes_along(start):
    demo = start()
    demo.until("1. ")
    assert demo.processes()
    demo.process.kill()
    demo.process.wait()
    until(lambda: not demo.processes(), "the end of all processes")


def test_a_process_that_ends_by_itself_fails_the_demo(start):
    demo = start()
    demo.until("Ctrl-C ends it")
    (watcher,) = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and os.fsencode(demo.folder / "desk.toml") in _cmdline(entry, b"watcher")
    ]
    os.kill(watcher, signal.SIGKILL)
    assert demo.process.wait(60) == 1
    assert "desk-watcher ended by itself" in demo.said()
    demo.nothing_is_left()


def _cmdline(entry: Path, word: bytes) -> bytes:
    try:
        data = (entry / "cmdline").read_bytes()
    except OSError:
        return b""
    return data if word in data else b""
