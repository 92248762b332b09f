"""What a worker announces, of its own pushes and of those by hand, and what it makes of announcements."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from autosync.common.config import Repo, Settings
from autosync.common.instance import Instance
from autosync.relay.announcement import Announcement
from autosync.relay.state import Move
from autosync.relay.worker import Worker
from tests.relay.clones import BRANCH, Clone, Listener
from tests.support.git import git


def test_a_push_is_announced_once_and_a_fetch_never(two):
    a, b = two
    head = a.commit("f", "2\n")
    assert a.turn() == "in sync"
    assert b.turn() == "in sync"
    assert a.turn() == "in sync"
    assert a.heard.moves == [Move(BRANCH, head)]
    assert b.heard.moves == []
    assert b.heard.arrivals == [(git(a.path, "rev-parse", "HEAD~"), head)]
    assert a.heard.arrivals == []
    assert b.read("f") == "2\n"


@pytest.mark.parametrize("how", [(), ("--no-verify",)])
def test_a_push_by_hand_is_announced(two, how):
    a, _ = two
    a.turn(fetch=False)
    head = a.commit("f", "2\n")
    git(a.path, "push", "-q", *how)
    a.turn(fetch=False)
    assert a.heard.moves == [Move(BRANCH, head)]


def test_a_rejected_push_by_hand_and_a_dry_run_are_not_announced(two):
    a, b = two
    b.commit("f", "b\n")
    b.turn()
    a.commit("f", "a\n")
    git(a.path, "push", "-q", check=False)
    git(a.path, "push", "-q", "--dry-run", "--force")
    a.settings = a.settings.model_copy(update={"push": "manual", "pull": "never"})
    a.worker = None
    a.turn(fetch=False)
    assert a.heard.moves == []


def test_pushed_and_deleted_branches_are_announced(two):
    a, _ = two
    git(a.path, "branch", "side")
    git(a.path, "push", "-q", "origin", "side")
    a.turn(fetch=False)
    git(a.path, "push", "-q", "origin", ":side")
    a.turn(fetch=False)
    assert a.heard.moves == [Move("refs/heads/side", a.head), Move("refs/heads/side", "0" * 40)]


def test_a_push_by_url_is_announced_after_asking_the_remote(two, central):
    a, _ = two
    head = a.commit("f", "2\n")
    git(a.path, "push", "-q", str(central), "main")
    a.settings = a.settings.model_copy(update={"push": "manual"})
    a.worker = None

    async def note() -> None:
        a.worker = Worker(Repo(a.path, a.settings, frozenset({"push"})), a.instance, a.heard)
        a.worker.expect(BRANCH, head)
        await a.worker._turn()

    asyncio.run(note())
    assert a.heard.moves == [Move(BRANCH, head)]


def test_an_announcement_makes_no_work_or_a_fetch_that_is_spread(two):
    a, b = two
    b.settings = b.settings.model_copy(update={"fetch_jitter": 1000.0})
    b.worker = None
    b.turn()
    waits = set()
    head = a.commit("f", "1\n")
    a.turn()

    def hear(commit: str) -> None:
        async def run() -> None:
            b.worker._wake.clear()
            b.worker.heard(Announcement("pushed", "1" * 40, BRANCH, commit, "a-machine"))

        asyncio.run(run())

    hear(b.head)
    assert not b.worker._wake.is_set()
    for _ in range(20):
        hear(head)
        assert b.worker._wake.is_set()
        waits.add(b.worker._schedule.fetch_from - b.worker._clock())
        asyncio.run(b.worker._turn())
        assert b.head != head
    assert all(0 < wait <= 1000 for wait in waits)
    assert len(waits) == 20
    assert b.turn() == "in sync"
    assert b.head == head


def test_a_commit_is_fetched_directly_before_it_is_pushed(two, tmp_path, central):
    a, b = two
    a.settings = a.settings.model_copy(update={"direct": True, "push_delay": 1000.0})
    a.worker = None
    a.turn()
    head = a.commit("f", "direct\n")

    async def without_push() -> None:
        a.worker.hint()
        await a.worker._turn()

    asyncio.run(without_push())
    assert a.heard.offers == [Move(BRANCH, head)]
    assert git(central, "rev-parse", "main") != head

    git(b.path, "remote", "add", "a-machine", str(a.path))
    offer = Announcement("committed", "1" * 40, BRANCH, head, "a-machine")

    def hear(announcement: Announcement) -> str:
        async def run() -> None:
            b.worker.heard(announcement)
            await b.worker._turn()

        asyncio.run(run())
        return b.worker.status.name

    assert hear(offer) == "in sync"
    assert b.head == head
    assert b.read("f") == "direct\n"
    # b leaves the push to a, and needs no network when it hears of it
    assert git(central, "rev-parse", "main") != head
    git(a.path, "push", "-q")
    central.rename(central.with_suffix(".away"))
    assert hear(replace(offer, kind="pushed")) == "in sync"
    central.with_suffix(".away").rename(central)
    assert b.turn() == "in sync"
    assert b.heard.moves == []


def test_a_machine_that_cannot_be_reached_is_passed_over(two, tmp_path):
    a, b = two
    head = a.commit("f", "1\n")
    a.turn()
    git(b.path, "remote", "add", "a-machine", str(tmp_path / "nowhere"))

    async def run() -> None:
        b.worker.heard(Announcement("pushed", "1" * 40, BRANCH, head, "a-machine"))
        await b.worker._turn()

    asyncio.run(run())
    assert b.head == head


def test_a_forged_offer_is_one_wasted_look(two):
    a, b = two
    git(b.path, "remote", "add", "a-machine", str(a.path))

    async def run() -> None:
        b.worker.heard(Announcement("committed", "1" * 40, BRANCH, "f" * 40, "a-machine"))
        await b.worker._turn()

    before = b.head
    asyncio.run(run())
    assert b.head == before
    assert b.worker.status.name == "in sync"


def test_a_bare_repository_announces_what_moves(tmp_path, central):
    bare = Clone.__new__(Clone)
    bare.path, bare.settings, bare.worker = central, Settings(), None
    bare.instance, bare.heard = Instance.of(tmp_path / "server.toml"), Listener()
    bare.turn()
    a = Clone(tmp_path, "a", central)
    head = a.commit("f", "1\n")
    git(a.path, "push", "-q")
    git(a.path, "push", "-q", "origin", "main:side")
    bare.turn()
    bare.turn()
    git(a.path, "push", "-q", "origin", ":side")
    bare.turn()
    assert bare.heard.moves == [Move(BRANCH, head), Move("refs/heads/side", head), Move("refs/heads/side", "0" * 40)]
