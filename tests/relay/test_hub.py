"""Between workers and transports: floods, who is asked to look, what is subscribed to."""

from __future__ import annotations

import asyncio
import time

from autosync.common.config import Reflector, Repo, Settings
from autosync.common.instance import Instance
from autosync.relay.act import Actor
from autosync.relay.announcement import Announcement
from autosync.relay.carriers import Carriers
from autosync.relay.failures import Failure, Kind
from autosync.relay.hub import Hub
from autosync.relay.reflector.server import ReflectorServer
from autosync.relay.state import Move
from autosync.relay.transports.base import Health
from autosync.relay.transports.reflector import ReflectorTransport
from autosync.relay.worker import Worker
from tests.relay.reflector.clients import plain
from tests.support.git import git
from tests.support.server import free_port
from tests.support.wait import eventually

BRANCH = "refs/heads/main"


class Carrier:
    """A transport that notes what it is told."""

    name = "carrier"
    health = Health("online")
    dropped = 0

    def __init__(self) -> None:
        self.subscriptions = []
        self.times = 0
        self.told: list[str] = []
        self.announced: list[str] = []

    def subscribe(self, subscriptions):
        self.times += 1
        self.subscriptions = list(subscriptions)

    def announce(self, announcement):
        self.announced.append(announcement.commit)

    def tell(self, persons, text):
        self.told.append(text)


class Herald:
    hub: Hub

    def announce(self, worker, move, kind="pushed"):
        self.hub.announce(worker, move, kind)

    def changed(self, worker):
        self.hub.changed(worker)

    def resolved(self, worker, conflicts): ...


def clones(tmp_path, *names):
    for name in names:
        git(tmp_path, "init", "-q", "--bare", f"{name}.git")
        git(tmp_path, "clone", "-q", f"{name}.git", name)
        git(tmp_path / name, "commit", "-q", "--allow-empty", "-m", f"first of {name}")
        git(tmp_path / name, "push", "-q", "-u", "origin", "main")


def workers(tmp_path, herald, *names):
    instance = Instance.of(tmp_path / "config.toml")
    return [Worker(Repo(tmp_path / name, Settings(), frozenset()), instance, herald) for name in names]


def run_with_hub(tmp_path, names, scenario):
    async def body():
        herald = Herald()
        made = workers(tmp_path, herald, *names)
        herald.hub = hub = Hub("here")
        hub.set_workers(made)
        tasks = [asyncio.create_task(worker.run()) for worker in made]
        try:
            await eventually(lambda: all(w.status.name == "in sync" for w in made), "all to be in sync")
            await scenario(hub, *made)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(body())


def test_ten_thousand_announcements_a_second_are_a_look_a_second_and_other_repositories_are_unharmed(
    tmp_path, monkeypatch
):
    clones(tmp_path, "flooded", "quiet")
    fetched: dict[str, int] = {"flooded": 0, "quiet": 0}
    fetch = Actor.fetch

    async def counted(self, action):
        fetched[self.repository.path.name] += 1
        return await fetch(self, action)

    monkeypatch.setattr(Actor, "fetch", counted)

    async def scenario(hub, flooded, quiet):
        git(tmp_path, "clone", "-q", "quiet.git", "other")
        git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "news")
        git(tmp_path / "other", "push", "-q")
        news = git(tmp_path / "other", "rev-parse", "HEAD")
        began, before, turns, sent = time.monotonic(), dict(fetched), flooded._turns, 0
        heard = False
        while sent < 30_000 or fetched["flooded"] == before["flooded"]:
            for _ in range(1000):
                hub.heard(Announcement("pushed", flooded.identity.id, BRANCH, f"{sent:040x}", "stranger"), "x")
                hub.heard(Announcement("pushed", "unknown", BRANCH, f"{sent:040x}", "stranger"), "x")
                hub.look("x", flooded.identity.id)
                sent += 1
            if not heard:
                hub.heard(Announcement("pushed", quiet.identity.id, BRANCH, news, "other"), "x")
                heard = True
            await asyncio.sleep(0.01)
        await eventually(lambda: quiet.seen.head == news, "the quiet one to have its news")
        seconds = time.monotonic() - began
        assert 1 <= fetched["flooded"] - before["flooded"] <= seconds + 1
        # a look is a turn, and the fetch in it another step of the same turn
        assert flooded._turns - turns <= seconds + 2
        assert fetched["quiet"] - before["quiet"] == 1

    run_with_hub(tmp_path, ["flooded", "quiet"], scenario)


def test_transports_are_told_of_subscriptions_only_when_they_are_others(tmp_path):
    clones(tmp_path, "one", "two")

    async def scenario(hub, one, two):
        carrier = Carrier()
        hub.set_transports([carrier])
        assert {s.repository for s in carrier.subscriptions} == {one.identity.id, two.identity.id}
        assert carrier.subscriptions[0].urls == (str(tmp_path / "one.git"),)
        times = carrier.times
        for _ in range(3):
            hub.changed(one)
            await asyncio.sleep(0)
        assert carrier.times == times
        (tmp_path / "one" / ".sparkleshare").write_text("a" * 40)
        hub.changed(one)
        hub.changed(two)
        await eventually(lambda: carrier.times == times + 1, "the change to be told once")
        assert carrier.subscriptions[0].sparkleshare == "a" * 40

    run_with_hub(tmp_path, ["one", "two"], scenario)


def test_a_repository_that_is_no_longer_configured_is_no_longer_asked_to_look(tmp_path):
    clones(tmp_path, "one", "two")

    async def scenario(hub, one, two):
        hub.set_workers([two])
        turns = one._turns
        hub.look("x")
        hub.changed(one)
        await eventually(lambda: two._turns > 1, "the other to look")
        assert one._turns == turns

    run_with_hub(tmp_path, ["one", "two"], scenario)


def test_what_a_transport_has_missed_is_told_once_when_it_is_back_and_each_repository_looks(tmp_path):
    clones(tmp_path, "one", "two")

    async def scenario(hub, one, two):
        carrier = Carrier()
        carrier.health = Health("offline")
        hub.set_transports([carrier])
        for commit, kind in (("a", "pushed"), ("b", "pushed"), ("c", "committed")):
            hub.announce(one, Move(BRANCH, commit * 40), kind)
        # as when the configuration is read again
        hub.set_transports([carrier])
        assert hub.has_untold("carrier") and not carrier.announced
        turns = one._turns, two._turns
        for _ in range(2):
            hub.connected("carrier")
            assert carrier.announced == ["b" * 40]
        await eventually(lambda: one._turns > turns[0] and two._turns > turns[1], "both to look")

    run_with_hub(tmp_path, ["one", "two"], scenario)


def test_what_is_heard_is_for_the_worker_that_is_there_now(tmp_path):
    clones(tmp_path, "one", "two")

    async def scenario(hub, one, two):
        (other,) = workers(tmp_path, Herald(), "one")
        asked = []
        other.fetch_hint = lambda: asked.append("other")
        hub.look("x")
        hub.look("x")
        waiting = hub._attention[one.repo.path]
        assert waiting._timer is not None
        hub.set_workers([other, two])
        hub.look("x")
        assert asked == ["other"]
        hub.set_workers([two])
        assert waiting._timer is None
        assert set(hub._attention) == {two.repo.path}

    run_with_hub(tmp_path, ["one", "two"], scenario)


def test_a_person_is_told_once_over_the_first_transport_that_works():
    first, second, third = Carrier(), Carrier(), Carrier()
    first.health = Health("offline")
    for number, carrier in enumerate((first, second, third)):
        carrier.name = str(number)
    hub = Hub("here")
    hub.set_transports([first, second, third])
    hub.tell(["rene@example.org"], "hello")
    assert (first.told, second.told, third.told) == ([], ["hello"], [])


def test_with_several_reflectors_a_dead_one_delays_nothing_and_a_returning_one_is_told(tmp_path):
    clones(tmp_path, "one")

    async def scenario(hub, one):
        dead = free_port()
        async with ReflectorServer(port=0) as server, plain(server.port) as ear, asyncio.TaskGroup() as group:
            ear.send(f"subscribe {one.identity.id}")
            await ear.lines()
            urls = {"first": f"tcp://127.0.0.1:{dead}", "second": f"tcp://127.0.0.1:{server.port}"}
            made = [
                ReflectorTransport(Reflector(url=url), "here", name=name, longest_pause=0.05)
                for name, url in urls.items()
            ]
            carriers = Carriers(group, hub, tmp_path)
            carriers.replace(made)
            first, second = made
            await eventually(lambda: (first.health.state, second.health.state) == ("offline", "online"), "both states")
            assert first.health.error and second.health.error is None
            hub.announce(one, Move(BRANCH, "a" * 40))
            assert any("a" * 40 in line for line in await ear.lines())
            async with ReflectorServer(port=dead) as late, plain(dead) as other:
                other.send(f"subscribe {one.identity.id}")
                await eventually(lambda: first.health.state == "online", "the first to be back")
                await eventually(lambda: late.last_words.get(one.identity.id.encode()), "it to be told")
            carriers.replace([])

    run_with_hub(tmp_path, ["one"], scenario)


def test_a_bare_repository_has_nothing_to_hear(tmp_path):
    clones(tmp_path, "one")

    async def scenario(hub, one, central):
        await eventually(lambda: len(carrier.subscriptions) == 1, "the clone to be subscribed to, and nothing else")
        # and needs no look when the network is back, unless it is in trouble
        turns = central._turns
        central.retry()
        assert not central._wake.is_set()
        central.condition.failure = Failure(Kind.UNSAFE, "", "")
        central.retry()
        await eventually(lambda: central._turns > turns, "the look")

    carrier = Carrier()

    async def with_carrier(hub, *made):
        hub.set_transports([carrier])
        await scenario(hub, *made)

    run_with_hub(tmp_path, ["one", "one.git"], with_carrier)
