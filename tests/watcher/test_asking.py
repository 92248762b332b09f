"""Commit messages that are asked for: a real watcher, a private bus, a server with and without a field for replies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autosync.watcher.asking import Asking
from tests.support.desktop import FakeDesktop, desktop_beside, session_bus
from tests.support.wait import until

TITLE = "work tree: what is this about?"
ASK = "settle = 0.1\nask-message = true\nask-timeout = {}"


@pytest.fixture
def bus(tmp_path, monkeypatch) -> Iterator[str]:
    folder = tmp_path / "bus"
    folder.mkdir()
    with session_bus(folder) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield address


@pytest.fixture
def inline(bus) -> Iterator[FakeDesktop]:
    with desktop_beside(bus, "actions", "body", "inline-reply") as screen:
        yield screen


@pytest.fixture
def dialog(tmp_path, monkeypatch) -> Callable[[str], Path]:
    """Puts a program of the name `zenity` on PATH, which does what it is told; returns the file with its words."""

    def make(body: str) -> Path:
        folder, words = tmp_path / "bin", tmp_path / "words"
        folder.mkdir()
        (folder / "zenity").write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >'{words}'\n{body}\n")
        (folder / "zenity").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setenv("DISPLAY", ":99")
        return words

    return make


def gone(screen) -> None:
    until(lambda: not screen.server.titled(TITLE), "the end of the question")


def test_a_reply_is_the_message_of_all_that_has_settled_meanwhile(watched, inline):
    w = watched(ASK.format(1000).replace("0.1", "0.0"))
    w.write("f")
    seen = inline.notice(TITLE)
    assert seen.body == '"f" added\nWithout a message it is committed like this in 1000 seconds.'
    assert seen.expires == 0
    assert w.status()["progress"].endswith(f"autosync describe '{w.root}' \"message\"")
    assert w.commits() == []
    w.write("g")
    until(lambda: w.status()["dirty"] == 2, "the second file to be noticed")
    inline.reply(TITLE, "What it is\n\nand why")
    w.until_committed("g", b"x\n")
    assert w.commits() == ["What it is"]
    body = w.git("log", "-1", "--format=%B")
    assert body.startswith("What it is\n\nand why\n\nadded f\nadded g\n\nAutosync-Machine: laptop")
    assert w.status()["progress"] is None
    # each commit gets a question of its own
    w.write("f", "2\n")
    inline.reply(TITLE, "Once more")
    w.until_committed("f", b"2\n")
    assert w.commits() == ["What it is", "Once more"]


def test_without_an_answer_the_default_is_used_in_time(watched, inline):
    w = watched(ASK.format(2))
    w.write("f")
    w.until_committed("f", b"x\n")
    assert w.commits() == ['"f" added']
    gone(inline)
    assert inline.server.calls == 1


def test_a_question_that_is_closed_is_answered(watched, inline):
    w = watched(ASK.format(1000))
    w.write("f")
    inline.notice(TITLE)
    inline.loop.call_soon_threadsafe(lambda: inline.server.dismiss(inline.server.titled(TITLE)))
    w.until_committed("f", b"x\n")
    assert w.commits() == ['"f" added']


def test_sync_waits_for_no_answer(watched, inline):
    w = watched(ASK.format(1000))
    w.write("f")
    inline.notice(TITLE)
    assert w.commit()["commit"]
    assert w.commits() == ['"f" added']
    gone(inline)


def test_what_needs_no_commit_is_not_asked_about(watched, inline):
    w = watched(ASK.format(1000))
    w.write("f")
    inline.reply(TITLE, "first")
    w.until_committed("f", b"x\n")
    w.write("f", "x\n")
    until(lambda: not w.status()["dirty"], "the file to be looked at")
    gone(inline)
    assert inline.server.calls == 1
    # back to what it was while the question is open
    w.write("f", "other\n")
    inline.notice(TITLE)
    w.write("f", "x\n")
    until(lambda: w.status()["dirty"], "the change to be noticed")
    inline.reply(TITLE, "never needed")
    until(lambda: not w.status()["dirty"], "the file to be looked at again")
    w.write("g")
    inline.reply(TITLE, "second")
    w.until_committed("g", b"x\n")
    assert w.commits() == ["first", "second"]


def test_a_dialog_where_there_is_no_field_for_a_reply(watched, bus, dialog):
    words = dialog("echo 'typed by hand'")
    with desktop_beside(bus) as screen:
        w = watched(ASK.format(1000))
        w.write("a_<b>.txt")
        assert screen.notice(TITLE).labels == ["Write a message"]
        screen.press(TITLE, "Write a message")
        w.until_committed("a_<b>.txt", b"x\n")
        assert w.commits() == ["typed by hand"]
        assert words.read_text().splitlines()[-1] == '--text="a__<b>.txt" added'


def test_a_dialog_that_nobody_fills_in_goes_with_the_question(watched, bus, dialog, tmp_path):
    pid = tmp_path / "pid"
    dialog(f"echo $$ >'{pid}'\nexec sleep 1000")
    with desktop_beside(bus) as screen:
        w = watched(ASK.format(1000))
        w.write("f")
        screen.press(TITLE, "Write a message")
        until(lambda: pid.exists() and pid.read_text().strip(), "the dialog")
        w.commit()
        assert w.commits() == ['"f" added']
        until(lambda: not os.path.exists(f"/proc/{pid.read_text().strip()}"), "the end of the dialog")


def test_describe_answers_where_nothing_else_can(watched, bus, monkeypatch):
    with desktop_beside(bus, "body") as screen:
        w = watched(ASK.format(1000))
        w.write("f")
        assert screen.notice(TITLE).body.endswith(f"→ autosync describe '{w.root}' \"message\"")
        assert w.ask("describe", paths=[str(w.root)], message="by command") == {"taken": True}
        w.until_committed("f", b"x\n")
        assert w.commits() == ["by command"]
        assert w.ask("describe", paths=[str(w.root)], message="late") == {"taken": False}


def test_nobody_is_waited_for_where_nobody_can_be_asked(watched, bus):
    w = watched(ASK.format(1000))
    w.write("f")
    w.until_committed("f", b"x\n")
    assert w.commits() == ['"f" added']


def test_a_watcher_that_is_stopped_takes_its_question_along(watched, inline):
    w = watched(ASK.format(1000))
    w.write("f")
    inline.notice(TITLE)
    w.stop()
    gone(inline)
    w.configure("settle = 0.1")
    w.start()
    w.until_committed("f", b"x\n")


def test_it_is_never_waited_for_longer_than_said():
    class Somebody:
        there = True

        def withdraw(self, key): ...

    now, woken = [100.0], []
    asking = Asking(Path("/notes"), Somebody(), lambda: woken.append(1), lambda: now[0])
    assert not asking.wanted
    asking.use(10.0)
    assert asking.wanted
    asking._begin = lambda work: work.close()
    asking.ask("x")
    now[0] += 6
    asking.ask("y")
    assert asking.waits_until == 110.0
    assert asking.wanted
    now[0] += 4
    assert (asking.waits_until, asking.wanted, asking.describe("late")) == (None, False, False)
    asking.done()
    asking.ask("z")
    assert asking.describe(" words \n")
    assert (asking.given, asking.wanted, asking.waits_until) == ("words", False, None)
    asking.done()
    assert (asking.given, asking.wanted) == (None, True)
