"""What is known of the other machines: their words, the time that files take to them, and silence."""

from __future__ import annotations

import asyncio
import json
import os
from types import SimpleNamespace

import pytest

from autosync.common.config import Settings
from autosync.common.repository import Repository
from autosync.relay.announcement import Announcement
from autosync.relay.fleet import MANY, Fleet
from autosync.relay.hub import Hub
from autosync.relay.vigil import Vigil
from tests.support.git import git
from tests.support.wait import eventually

BRANCH = "refs/heads/main"
ONE, OTHER = "1" * 40, "2" * 40


class Clock:
    now = 10_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "fleet.json"


@pytest.fixture
def fleet(file, clock):
    return Fleet(file, clock)


def word(machine: str, commit: str = ONE, kind: str = "has") -> Announcement:
    return Announcement(kind, "abc", BRANCH, commit, machine)


def test_the_newest_word_of_each_machine_counts(fleet, clock, tmp_path):
    assert fleet.heard(tmp_path, word("desk"))
    clock.now += 5
    assert not fleet.heard(tmp_path, word("desk", OTHER))
    (row,) = fleet.report({tmp_path: None}, {})
    assert row == {
        "machine": "desk", "path": str(tmp_path), "ref": BRANCH, "head": OTHER, "last_heard": clock.now,
        "seconds": None, "silent": False,
    }  # fmt: skip
    assert fleet.report({}, {}) == []


def test_it_is_remembered_over_restarts_and_damage_costs_the_memory_only(fleet, file, clock, tmp_path):
    fleet.heard(tmp_path, word("desk"))
    fleet.save()
    again = Fleet(file, clock)
    assert again.report({tmp_path: None}, {}) == fleet.report({tmp_path: None}, {})
    # this relay has not met it yet
    assert again.heard(tmp_path, word("desk"))
    here = json.dumps(str(tmp_path))
    for damage in (
        "{",
        f"{{{here}: 1}}",
        f'{{{here}: {{"desk": ["refs/heads/main", "no commit", 1, null, true]}}}}',
        f'{{{here}: {{"desk": ["main", "{ONE}", 1, null, true]}}}}',
        "[1]",
    ):
        file.write_text(damage)
        assert Fleet(file, clock).report({tmp_path: None}, {}) == []


def test_a_machine_is_forgotten_until_it_speaks_again(fleet, file, clock, tmp_path):
    fleet.heard(tmp_path, word("desk"))
    assert fleet.forget("desk")
    assert not fleet.forget("desk")
    assert Fleet(file, clock).report({tmp_path: None}, {}) == []
    fleet.heard(tmp_path, word("desk"))
    assert fleet.report({tmp_path: None}, {})


def test_what_the_network_says_is_bounded(fleet, tmp_path):
    for number in range(1100):
        fleet.heard(tmp_path, word(f"m{number}"))
    rows = fleet.report({tmp_path: None}, {})
    assert len(rows) == 1000
    assert "m1099" in {row["machine"] for row in rows}


def test_words_are_written_once_a_minute_however_many_come(fleet, clock, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("autosync.relay.fleet.atomic.write", lambda file, data: written.append(data))
    for number in range(100):
        fleet.heard(tmp_path, word(f"m{number}"))
    assert len(written) == 1
    clock.now += 61
    fleet.heard(tmp_path, word("desk"))
    assert len(written) == 2


def test_where_a_machine_is_is_said_once_and_a_push_says_it_too(fleet, tmp_path):
    assert fleet.to_say(tmp_path, BRANCH, ONE)
    assert not fleet.to_say(tmp_path, BRANCH, ONE)
    fleet.pushed(tmp_path, BRANCH, OTHER)
    assert not fleet.to_say(tmp_path, BRANCH, OTHER)
    assert fleet.to_say(tmp_path, BRANCH, OTHER, again=True)


def test_of_many_machines_not_all_tell_all(fleet, tmp_path):
    for number in range(MANY + 1):
        fleet.heard(tmp_path, word(f"m{number}"))
    assert not fleet.to_say(tmp_path, BRANCH, ONE)
    assert fleet.to_say(tmp_path, BRANCH, ONE, again=True)


def test_silence_counts_from_when_one_could_hear(fleet, clock, tmp_path):
    other = tmp_path / "other"
    fleet.heard(tmp_path, word("desk"))
    heard = clock.now
    clock.now += 100
    assert fleet.silent({tmp_path: 99.0}, since=0.0) == {"desk": heard}
    assert fleet.silent({tmp_path: 101.0}, since=0.0) == {}
    assert fleet.silent({tmp_path: 0.0}, since=0.0) == {}
    assert fleet.silent({tmp_path: 99.0}, since=clock.now - 50) == {}
    # a word about another repository is a word
    fleet.heard(other, word("desk"))
    assert fleet.silent({tmp_path: 99.0, other: 0.0}, since=0.0) == {}


def test_a_server_that_only_passes_pushes_on_is_not_missed(fleet, file, clock, tmp_path):
    fleet.heard(tmp_path, word("server", kind="pushed"))
    fleet.heard(tmp_path, word("desk"))
    fleet.heard(tmp_path, word("desk", kind="pushed"))
    fleet.save()
    clock.now += 100
    for known in (fleet, Fleet(file, clock)):
        assert set(known.silent({tmp_path: 50.0}, since=0.0)) == {"desk"}


@pytest.fixture
def notes(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main", "notes")
    return Repository.open(tmp_path / "notes")


def pushed(notes: Repository, fleet: Fleet, clock: Clock, name: str, saved: float) -> str:
    """A file that was saved then, committed and pushed now."""
    file = notes.path / name
    file.write_text(name)
    os.utime(file, (saved, saved))
    git(notes.path, "add", name)
    git(notes.path, "commit", "-qm", name)
    commit = git(notes.path, "rev-parse", "HEAD")
    fleet.pushed(notes.path, BRANCH, commit)
    return commit


def seconds(notes: Repository, fleet: Fleet, announcement: Announcement) -> float | None:
    fleet.heard(notes.path, announcement)
    asyncio.run(fleet.time(notes, announcement))
    return fleet.report({notes.path: None}, {})[0]["seconds"]


def test_the_time_from_save_to_visible_is_measured_by_one_clock(notes, fleet, clock):
    commit = pushed(notes, fleet, clock, "ä b", clock.now - 2.5)
    clock.now += 0.25
    assert seconds(notes, fleet, word("desk", commit)) == 2.75
    clock.now += 60
    # the same word over another transport
    assert seconds(notes, fleet, word("desk", commit)) == 2.75


def test_what_tells_no_time_is_not_counted(notes, fleet, clock):
    old = pushed(notes, fleet, clock, "moved here", clock.now - 86400)
    assert seconds(notes, fleet, word("desk", old)) is None
    again = pushed(notes, fleet, clock, "saved again meanwhile", clock.now + 1)
    assert seconds(notes, fleet, word("desk", again)) is None
    mine = pushed(notes, fleet, clock, "fine", clock.now - 1)
    assert seconds(notes, fleet, word("desk", mine, "pushed")) is None
    assert seconds(notes, fleet, word("desk", OTHER)) is None


# who says what, and when -------------------------------------------------------------------------------------


class Stage:
    """A vigil over one worker, with what it said and which alarms it gave."""

    def __init__(self, fleet: Fleet, path, silent_after: float = 0.0) -> None:
        upstream = SimpleNamespace(ref=BRANCH)
        self.worker = SimpleNamespace(
            repo=SimpleNamespace(path=path),
            settings=Settings.model_construct(**(dict(Settings()) | {"silent_after": silent_after})),
            seen=SimpleNamespace(upstream=upstream, head=ONE, tip=ONE, ahead=0, behind=0),
            status=SimpleNamespace(name="in sync"),
            repository=None,
        )
        self.said: list[tuple[str, str]] = []
        self.alarms: list[tuple[str, float | None]] = []
        online = SimpleNamespace(health=SimpleNamespace(state="online", since=0.0))
        self.hub = SimpleNamespace(
            transports=[online], announce=lambda worker, move, kind: self.said.append((move.commit, kind))
        )
        self.vigil = Vigil(fleet, lambda: self.hub, lambda: [self.worker], lambda *alarm: self.alarms.append(alarm))

    def hear(self, machine: str) -> None:
        self.vigil.heard(word(machine), self.worker, lambda work: work.close())


def test_a_machine_that_rests_in_sync_says_so(fleet, tmp_path):
    stage = Stage(fleet, tmp_path)
    stage.worker.status.name = "ahead"
    stage.vigil.rested(stage.worker)
    assert stage.said == []
    stage.worker.status.name = "in sync"
    stage.vigil.rested(stage.worker)
    stage.vigil.rested(stage.worker)
    assert stage.said == [(ONE, "has")]


def test_one_that_announces_nothing_does_not_say_this_either(fleet, tmp_path):
    stage = Stage(fleet, tmp_path)
    stage.worker.settings = Settings.model_construct(**(dict(Settings()) | {"announce": False}))
    stage.vigil.rested(stage.worker)
    assert stage.said == []


def test_a_machine_that_is_met_is_told_where_this_one_is(fleet, tmp_path):
    async def meet() -> None:
        stage = Stage(fleet, tmp_path)
        stage.vigil.rested(stage.worker)
        stage.hear("desk")
        await eventually(lambda: len(stage.said) == 2, "the answer")
        stage.hear("desk")

    asyncio.run(meet())


def test_words_now_and_then_an_alarm_and_its_end(fleet, clock, tmp_path):
    async def watch() -> None:
        stage = Stage(fleet, tmp_path, silent_after=0.03)
        fleet.heard(tmp_path, word("desk"))
        heard = clock.now
        task = asyncio.ensure_future(stage.vigil.run())
        # it speaks in any state, but not of what waits to be pushed
        stage.worker.status.name = "paused"
        stage.worker.seen.ahead, stage.worker.seen.head = 1, OTHER
        await eventually(lambda: stage.said[:2] == [(ONE, "has")] * 2, "words")
        assert stage.alarms == []
        # nobody can be heard
        stage.hub.transports[0].health.state = "offline"
        clock.now += 10
        said = len(stage.said)
        await eventually(lambda: len(stage.said) > said + 1, "words")
        assert stage.alarms == []
        stage.hub.transports[0].health.state = "online"
        await eventually(lambda: stage.alarms == [("desk", heard)], "the alarm")
        assert fleet.report({tmp_path: None}, stage.vigil.silent)[0]["silent"]
        stage.hear("desk")
        assert stage.alarms[-1] == ("desk", None)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(watch())


def test_without_silent_after_nothing_wakes_up(fleet, tmp_path):
    async def idle() -> None:
        stage = Stage(fleet, tmp_path)
        task = asyncio.ensure_future(stage.vigil.run())
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        assert not [handle for handle in loop._scheduled if not handle.cancelled()]
        # a configuration that asks for it is noticed
        stage.worker.settings = Settings.model_construct(**(dict(Settings()) | {"silent_after": 0.03}))
        stage.vigil.rested(stage.worker)
        await eventually(lambda: len(stage.said) > 1, "words")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(idle())


def test_where_a_machine_is_makes_no_look_and_our_own_echo_is_no_word(tmp_path):
    looked: list[str] = []

    class Worker:
        repo = SimpleNamespace(path=tmp_path, settings=Settings())
        identity = SimpleNamespace(matches=lambda repository: True, names=frozenset())
        news = None

        def heard(self, announcement: Announcement) -> bool:
            looked.append(announcement.kind)
            return True

    async def hear() -> None:
        spoken: list[str] = []
        hub = Hub("laptop", spoken=lambda announcement, worker: spoken.append(announcement.machine))
        hub.set_workers([Worker()])
        for announcement in (word("desk"), word("laptop"), word("desk", OTHER, "pushed")):
            hub.heard(announcement, "reflector")
        assert spoken == ["desk", "desk"]
        assert looked == ["pushed"]
        hub.set_workers([])

    asyncio.run(hear())
