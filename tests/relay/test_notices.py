"""What a person is told, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync.common.config import Notify
from autosync.common.desktop import Notice
from autosync.common.repository import PAUSED_BY_HAND
from autosync.relay.arrivals import Arrival
from autosync.relay.conflict import Conflict
from autosync.relay.notices import Notices, Ways
from autosync.relay.state import Status

PATH, PAPERS = Path("/home/rene/notes"), Path("/home/rene/papers")
HELD = Status("held", "HEAD is detached", "git switch main")
REFUSED = Status("error", "origin refuses this machine", "look at the key")


class Screen:
    """Stands where the desktop is; ``now`` is what is on the screen."""

    there = True

    def __init__(self) -> None:
        self.shown: list[Notice] = []
        self.now: dict[str, Notice] = {}

    def show(self, key, notice):
        self.shown.append(notice)
        self.now[key] = notice

    def withdraw(self, key):
        self.now.pop(key, None)

    async def open_folder(self, path): ...

    async def show_files(self, paths): ...

    @property
    def titles(self) -> list[str]:
        return [notice.title for notice in self.shown]


@pytest.fixture
def told():
    return []


@pytest.fixture
def screen():
    return Screen()


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def notices(told, screen, clock):
    config = Notify(desktop=True, xmpp=["rene@phone.example.org"])
    ways = Ways(config, "laptop", screen, lambda persons, text: told.append((list(persons), text)), Path("/c.toml"))
    return Notices(ways, lambda: clock[0])


def labels(notice: Notice) -> list[str]:
    return [button.label for button in notice.buttons]


def test_trouble_is_told_once_and_so_is_its_end(notices, told, screen):
    for status in (HELD, HELD, Status("syncing"), HELD, Status("in sync"), Status("in sync")):
        notices.status(PATH, status)
    assert [(n.title, n.urgency) for n in screen.shown] == [
        ("notes needs you", "normal"),
        ("notes is in sync again", "low"),
    ]
    assert screen.shown[0].text == "HEAD is detached\n→ git switch main"
    assert labels(screen.shown[0]) == ["Open folder", "Pause"]
    assert [text for _, text in told] == [
        "laptop: notes needs you\nHEAD is detached\n→ git switch main",
        "laptop: notes is in sync again\nThe trouble is over.",
    ]


def test_trouble_of_many_repositories_is_one_notice(notices, screen, told):
    notices.status(PATH, REFUSED)
    notices.status(PAPERS, HELD)
    assert list(screen.now) == ["trouble"]
    both = screen.now["trouble"]
    assert (both.title, both.urgency) == ("2 repositories need you", "critical")
    assert both.text.splitlines()[:2] == ["notes: origin refuses this machine", "papers: HEAD is detached"]
    notices.status(PATH, Status("in sync"))
    assert screen.now["trouble"].title == "papers needs you"
    notices.status(PAPERS, Status("in sync"))
    assert screen.now["trouble"].title == "papers is in sync again"
    assert len(told) == 4


def test_what_a_person_has_paused_or_removed_is_no_trouble_any_more(notices, screen):
    notices.status(PATH, REFUSED)
    notices.status(PATH, Status("paused", "paused by hand"))
    assert screen.now == {}
    notices.status(PATH, REFUSED)
    notices.gone(PATH)
    assert screen.now == {}


def test_a_pause_that_nobody_has_made_is_told(notices, screen):
    notices.status(PATH, Status("paused", "another repository is here now", "autosync resume /home/rene/notes"))
    assert screen.now["trouble"].title == "notes needs you"
    assert "another repository is here now\n→ autosync resume" in screen.now["trouble"].text


def test_a_silent_machine_is_told_once_and_its_return(notices, screen, told):
    notices.silent("desk", 0.0)
    notice = screen.now["silent desk"]
    assert notice.title == "desk is silent"
    assert notice.text.startswith("desk has not been heard since 19")
    assert notice.text.endswith("→ see that it runs and is online; if it is gone for good: autosync peers forget desk")
    assert notice.urgency == "normal"
    notices.silent("desk", None)
    # in the place of the first
    assert screen.now["silent desk"].title == "desk is heard again"
    assert screen.now["silent desk"].urgency == "low"
    texts = [text for _, text in told]
    assert [text.splitlines()[0] for text in texts] == ["laptop: desk is silent", "laptop: desk is back"]
    assert "autosync peers forget desk" in texts[0]


def test_daily_life_is_not_told(notices, told, screen):
    for name in ("in sync", "syncing", "ahead", "behind", "waiting", "offline", "unborn"):
        notices.status(PATH, Status(name, "reason"))
    notices.status(PATH, Status("paused", PAUSED_BY_HAND))
    notices.status(PATH, Status("held", "a rebase is in progress"), by_hand=True)
    assert (told, screen.shown) == ([], [])


def test_commits_that_wait_are_told_to_who_asked_for_it(notices, screen):
    notices.status(PATH, Status("behind", '2 commits wait (pull = "notify")', "git pull"), told=True)
    assert screen.now[f"behind {PATH}"].text == '2 commits wait (pull = "notify")\n→ git pull'
    notices.status(PATH, Status("in sync"), told=True)
    assert screen.now == {}


def test_conflicts_are_told_with_the_command_that_compares(notices, screen, told):
    conflict = Conflict("todo's.md", "todo's.conflict-1234567.md", "edited on both sides")
    notices.conflicts(PATH, [conflict])
    (notice,) = screen.shown
    assert (notice.title, notice.urgency) == ("notes: both versions kept", "normal")
    assert "The other version is todo's.conflict-1234567.md" in notice.text
    assert labels(notice) == ["Show", "Open folder"]
    assert "diff --no-index -- 'todo'\"'\"'s.md'" in told[0][1]
    notices.conflicts(PATH, [Conflict("gone.md", None, "deleted on one side")])
    assert len(screen.shown) == 1


def test_files_that_came_are_told_with_their_names_in_one_notice_that_grows(notices, screen, told, clock):
    notices.arrived(PATH, Arrival({"a": True, "b": False}, ("desk",)))
    clock[0] += 500
    notices.arrived(PATH, Arrival({"c": True, "a": True}, ("phone",)))
    notices.arrived(PATH, Arrival({}, ()))
    assert screen.titles == ["2 files from desk", "3 files from phone and desk"]
    assert screen.shown[0].text == "notes: a and b (deleted)"
    assert screen.now[f"files {PATH}"].urgency == "low"
    assert labels(screen.shown[0]) == ["Show", "Open folder"]
    clock[0] += 601
    notices.arrived(PATH, Arrival({"d": False}, ("desk",)))
    assert screen.titles[-1] == "1 file from desk"
    assert labels(screen.shown[-1]) == ["Open folder"]
    screen.shown[-1].closed()
    notices.arrived(PATH, Arrival({"e": True}, ("desk",)))
    assert screen.titles[-1] == "1 file from desk"
    assert told == []


def test_each_way_can_be_switched_off(told, screen):
    quiet = Notices(Ways(Notify(), "laptop", screen, lambda *a: told.append(a), Path("/c.toml")))
    quiet.status(PATH, Status("held", "x", "y"))
    assert (len(screen.shown), told) == (1, [])
    quiet.reached_by(Ways(Notify(files=False), "laptop", screen, lambda *a: told.append(a), Path("/c.toml")))
    assert not quiet.tells_of_files
    quiet.reached_by(Ways(Notify(), "laptop", screen, lambda *a: told.append(a), Path("/c.toml")))
    assert quiet.tells_of_files
