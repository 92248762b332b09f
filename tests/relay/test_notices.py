"""What a person is told, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync.common.config import Notify
from autosync.relay.conflict import Conflict
from autosync.relay.notices import Notices
from autosync.relay.state import Status

PATH = Path("/home/rene/notes")


class Screen:
    def __init__(self) -> None:
        self.shown: list[tuple[str, str, bool]] = []

    def show(self, key, title, text, *, urgent=False):
        self.shown.append((title, text, urgent))


@pytest.fixture
def told():
    return []


@pytest.fixture
def notices(told):
    config = Notify(desktop=True, xmpp=["rene@phone.example.org"])
    return Notices(config, "laptop", Screen(), lambda persons, text: told.append((list(persons), text)))


def test_trouble_is_told_once_and_so_is_its_end(notices, told):
    held = Status("held", "HEAD is detached", "git switch main")
    for status in (held, held, Status("syncing"), held, Status("in sync"), Status("in sync")):
        notices.status(PATH, status)
    assert [(title, urgent) for title, _, urgent in notices._desktop.shown] == [
        ("notes needs you", True),
        ("notes is in sync again", False),
    ]
    assert notices._desktop.shown[0][1] == "HEAD is detached\ngit switch main"
    assert told[0] == (["rene@phone.example.org"], "laptop: notes needs you\nHEAD is detached\ngit switch main")


def test_daily_life_is_not_told(notices, told):
    for name in ("in sync", "syncing", "ahead", "waiting", "offline", "paused", "unborn"):
        notices.status(PATH, Status(name, "reason"))
    assert told == []
    assert notices._desktop.shown == []


def test_conflicts_are_told_with_the_command_that_compares(notices):
    notices.conflicts(PATH, [Conflict("todo.md", "todo.conflict-1234567.md", "edited on both sides")])
    ((title, text, urgent),) = notices._desktop.shown
    assert title == "notes: both versions kept"
    assert "diff --no-index -- 'todo.md' 'todo.conflict-1234567.md'" in text
    assert not urgent
    notices.conflicts(PATH, [Conflict("gone.md", None, "deleted on one side")])
    assert len(notices._desktop.shown) == 1


def test_each_way_can_be_switched_off(told):
    screen = Screen()
    quiet = Notices(Notify(desktop=False), "laptop", screen, lambda *a: told.append(a))
    quiet.status(PATH, Status("held", "x", "y"))
    assert (screen.shown, told) == ([], [])
