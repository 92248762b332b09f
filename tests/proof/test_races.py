"""Moments at which a version could get lost, one by one."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from autosync.common.git import LOCAL_LIMIT, NETWORK_LIMIT, Git
from autosync.relay.move import Mover
from tests.proof.ledger import Ledger, stuck
from tests.proof.peer import Meddling, Network, Peer
from tests.support.git import git


@pytest.fixture
def two(tmp_path) -> tuple[Peer, Peer]:
    """Two machines with `notes.txt` in common."""
    central = tmp_path / "central.git"
    git(tmp_path, "init", "-q", "--bare", str(central))
    network, ledger = Network(), Ledger()
    a, b = [Peer(tmp_path, name, central, ledger, network, 0) for name in "ab"]
    (a.path / "notes.txt").write_text("one\n")
    a.commit_by_hand()
    a.relay()
    b.relay()
    assert (b.path / "notes.txt").read_text() == "one\n"
    return a, b


def change(peer: Peer, content: str) -> None:
    (peer.path / "notes.txt").write_text(content)
    peer.watch()
    peer.relay()


def texts(folder: Path) -> list[str]:
    return sorted(p.read_text() for p in folder.glob("notes*"))


def test_a_file_that_somebody_has_open_for_writing_is_not_replaced(two):
    a, b = two
    change(a, "two\n")
    with (b.path / "notes.txt").open("a") as writer:
        assert b.relay() == "waiting"
        assert "notes.txt" in (b.worker.status.reason or "")
        writer.write("and more\n")
    b.watch()
    assert b.relay() == "in sync"
    assert texts(b.path) == ["one\nand more\n", "two\n"]
    assert stuck(b.path) == []


@pytest.mark.parametrize("still_open", [False, True])
def test_what_is_written_at_the_moment_of_the_move_is_kept_beside(two, still_open):
    """The writer opens the file after the last look at it, and git replaces it."""
    a, b = two
    change(a, "two\n")
    written = []

    def begin() -> None:
        # git looks at size and times: a file that is only open is unchanged to it
        written.append((b.path / "notes.txt").open("a"))

    def end() -> None:
        written[0].write("and more\n")
        written[0].close()

    with Meddling(0, False, begin, only="merge").at_work():
        if still_open:
            with Meddling(0, True, lambda: threading.Timer(0.2, end).start(), only="merge").at_work():
                b.relay()
        else:
            with Meddling(0, True, end, only="merge").at_work():
                b.relay()
    b.watch()
    assert b.relay() == "in sync"
    a.relay()
    assert texts(a.path) == texts(b.path) == ["one\nand more\n", "two\n"]


def test_what_is_written_at_that_moment_is_kept_though_its_filter_fails(two):
    a, b = two
    change(a, "two\n")
    written = []

    def end() -> None:
        (b.path / ".git/info/attributes").write_text("notes.txt filter=broken\n")
        git(b.path, "config", "filter.broken.clean", "false")
        git(b.path, "config", "filter.broken.required", "true")
        written[0].write("and more\n")
        written[0].close()

    with (
        Meddling(0, False, lambda: written.append((b.path / "notes.txt").open("a")), only="merge").at_work(),
        Meddling(0, True, end, only="merge").at_work(),
    ):
        b.relay()
    assert texts(b.path) == ["one\nand more\n", "two\n"]


def test_a_reader_is_no_hindrance(two):
    a, b = two
    change(a, "two\n")
    with (b.path / "notes.txt").open() as reader:
        assert b.relay() == "in sync"
        assert reader.read() == "one\n"
    assert texts(b.path) == ["two\n"]


@pytest.mark.parametrize("other", ["file", "link"])
def test_what_is_written_is_kept_though_its_folder_becomes_something_else(two, tmp_path, other):
    a, b = two
    outside = tmp_path / "outside"
    outside.mkdir()
    (a.path / "d").mkdir()
    (a.path / "d/notes.txt").write_text("below\n")
    a.watch()
    a.relay()
    b.relay()
    (a.path / "d/notes.txt").unlink()
    (a.path / "d").rmdir()
    if other == "file":
        (a.path / "d").write_text("a file\n")
    else:
        (a.path / "d").symlink_to(outside)
    a.watch()
    a.relay()
    written = []
    with (
        Meddling(0, False, lambda: written.append((b.path / "d/notes.txt").open("a")), only="merge").at_work(),
        Meddling(0, True, lambda: (written[0].write("more\n"), written[0].close()), only="merge").at_work(),
    ):
        b.relay()
    assert not (b.path / "d/notes.txt").exists()
    assert "below\nmore\n" in texts(b.path)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("code", [137, -9])
def test_a_killed_move_keeps_its_journal_also_when_a_script_stands_for_git(two, tmp_path, monkeypatch, code):
    a, b = two
    change(a, "two\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    script = tools / "git"
    dies = f"exit {code}" if code > 0 else "kill -9 $$"
    real = shutil.which("git")
    # half-way: the old file has gone, and the new one is not there
    script.write_text(f'#!/bin/sh\ncase " $* " in *" --ff-only "*) rm notes.txt; {dies};; esac\nexec {real} "$@"\n')
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        b.relay()
    b.restart()
    b.watch()
    assert b.relay() == "in sync"
    assert texts(b.path) == ["two\n"]
    assert git(b.path, "rev-parse", "HEAD") == git(a.path, "rev-parse", "HEAD")


def test_a_slow_checkout_is_not_cut_short_again_and_again(two, monkeypatch):
    """What takes two minutes (many files, git-lfs) would be begun anew for ever."""
    a, b = two
    change(a, "two\n")
    limits = []
    call = Git.call

    async def noted(this: Git, *args: str, **options: Any) -> Any:
        if "--ff-only" in args:
            limits.append(options.get("limit", LOCAL_LIMIT))
        return await call(this, *args, **options)

    monkeypatch.setattr(Git, "call", noted)
    assert b.relay() == "in sync"
    assert limits == [NETWORK_LIMIT]


# As an editor does, while git writes the file before: a new version takes the name of the old one, or the old one goes
# and a new one is made. Then the filter waits until somebody has it open, for git is faster than any answer can be.
_SAVING = """\
import os, pathlib, shutil, sys, time
sys.stdout.write(sys.stdin.read())
notes = pathlib.Path(sys.argv[3])
if sys.argv[1] == "by rename":
    pathlib.Path("swap").write_text("saved\\n")
    pathlib.Path("swap").rename(notes)
elif sys.argv[1] == "as new":
    notes.unlink()
    notes.write_text("saved\\n")
else:
    notes.write_text("saved\\n")
me, end = notes.stat(), time.monotonic() + 20
def held():
    for name in os.listdir(f"/proc/{sys.argv[2]}/fd"):
        try:
            found = os.stat(f"/proc/{sys.argv[2]}/fd/{name}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (me.st_dev, me.st_ino):
            return True
while not held() and time.monotonic() < end:
    time.sleep(0.001)
"""


@pytest.mark.parametrize("how", ["by rename", "as new", "in a free place"])
def test_what_is_saved_while_git_is_at_the_files_before_is_kept_beside(two, tmp_path, how):
    """git has looked at all files, and replaces them one after the other."""
    a, b = two
    name = "notes of a.txt" if how == "in a free place" else "notes.txt"
    (a.path / "before.txt").write_text("first\n")
    (a.path / name).write_text("two\n")
    a.watch()
    a.relay()
    script = tmp_path / "saving"
    script.write_text(_SAVING)
    git(b.path, "config", "filter.saving.smudge", f"{sys.executable} '{script}' '{how}' {os.getpid()} '{name}'")
    (b.path / ".git/info/attributes").write_text("before.txt filter=saving\n")
    assert b.relay() == "in sync"
    git(b.path, "config", "--unset", "filter.saving.smudge")
    assert (b.path / name).read_text() == "two\n"
    b.watch()
    assert b.relay() == "in sync"
    a.relay()
    assert [text for text in texts(a.path) if text == "saved\n"] == ["saved\n"]
    assert stuck(b.path) == []


def test_a_save_after_git_has_written_its_file_makes_no_copy(two, tmp_path):
    """git's own file has lost its name then, and is in the history."""
    a, b = two
    change(a, "two\n")

    def save() -> None:
        (b.path / "swap").write_text("saved\n")
        (b.path / "swap").rename(b.path / "notes.txt")

    with Meddling(0, True, save, only="merge").at_work():
        b.relay()
    assert texts(b.path) == ["saved\n"]


def test_a_relay_that_is_stopped_after_git_keeps_what_was_written(two, monkeypatch):
    """Nobody is waited for then who has the file open still."""
    a, b = two
    change(a, "two\n")
    written = []

    def begin() -> None:
        written.append((b.path / "notes.txt").open("a"))

    def write() -> None:
        written[0].write("and more\n")
        written[0].flush()

    looked = Mover._keep_strays

    async def stopped(this: Mover, *args: Any) -> None:
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        await looked(this, *args)

    monkeypatch.setattr(Mover, "_keep_strays", stopped)
    with (
        Meddling(0, False, begin, only="merge").at_work(),
        Meddling(0, True, write, only="merge").at_work(),
        pytest.raises(asyncio.CancelledError),
    ):
        b.relay()
    written[0].close()
    assert texts(b.path) == ["one\nand more\n", "two\n"]


def test_a_move_that_failed_half_way_is_put_back_whatever_the_file_is_called(two):
    """git's own words about what it has not touched may stand in a file's name."""
    a, b = two
    name = "your local changes to index.lock would be overwritten"
    (a.path / name).write_text("a page\n")
    change(a, "two\n")
    git(b.path, "config", "filter.failing.smudge", "false")
    git(b.path, "config", "filter.failing.required", "true")
    (b.path / ".git/info/attributes").write_text("your* filter=failing\n")
    b.relay()
    assert git(b.path, "status", "--porcelain").strip() == ""
    assert texts(b.path) == ["one\n"]
    git(b.path, "config", "--unset", "filter.failing.smudge")
    git(b.path, "config", "--unset", "filter.failing.required")
    b.restart()
    assert b.relay() == "in sync"
    assert (b.path / name).read_text() == "a page\n"
