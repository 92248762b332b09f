"""The client, against a real reflector in the same loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from autosync.common.errors import Problem
from autosync.relay.reflector.server import ReflectorServer
from autosync.relay.transports.base import Subscription
from autosync.relay.transports.reflector import pause
from tests.relay.reflector.clients import plain
from tests.support.wait import eventually

from .reflectors import COMMIT, ID, OTHER, announcement, running, transport


@pytest.fixture
def secret(tmp_path) -> Path:
    path = tmp_path / "secret"
    path.write_text("a secret that is long enough\n")
    path.chmod(0o600)
    return path


@pytest.fixture(params=["plain", "sealed"])
def keys(request, secret) -> dict[str, object]:
    return {} if request.param == "plain" else {"secret-file": secret}


def test_what_one_machine_announces_the_others_hear_and_it_does_not(keys):
    async def body():
        async with ReflectorServer(port=0) as server:
            one, two = transport(server.port, **keys), transport(server.port, "desktop", **keys)
            async with running(one) as first, running(two) as second:
                said = announcement(ref="refs/heads/büro/räume", machine="Renés Laptop")
                one.announce(said)
                await eventually(lambda: second.announcements, "the other hears it")
                assert second.announcements == [said]
                two.announce(announcement(OTHER, machine="desktop"))
                await eventually(lambda: first.announcements, "and answers")
                assert first.announcements == [announcement(OTHER, machine="desktop")]
                assert second.announcements == [said]
                assert (first.connects, first.looks, one.dropped) == (1, [], 0)
                assert [peer.name for peer in one.peers()] == ["desktop"]

    asyncio.run(body())


def test_a_reflector_learns_nothing_from_sealed_announcements(secret):
    async def body():
        async with ReflectorServer(port=0) as server:
            made = transport(server.port, **{"secret-file": secret})
            async with running(made):
                made.announce(announcement())
                await made.flush()
            (channel, message), *_ = server.last_words._messages.items()
            for known in (ID, COMMIT, "laptop", "main", "pushed"):
                assert known.encode() not in channel + message

    asyncio.run(body())


def test_the_connection_is_made_when_a_server_appears_and_again_when_it_returns():
    async def body():
        async with ReflectorServer(port=0) as server:
            port = server.port
        made = transport(port)
        async with running(made, online=False) as recorder:
            await eventually(lambda: made.health.error, "nothing listens")
            assert made.health.remedy and str(port) in made.health.error
            for round in (1, 2):
                async with ReflectorServer(port=port):
                    await eventually(lambda: made.health.state == "online", "the server is there")
                    assert recorder.connects == round
                    assert made.health.error is None
                await eventually(lambda: made.health.state == "offline", "the server is gone")

    asyncio.run(body())


def test_what_is_announced_without_a_connection_is_dropped():
    async def body():
        async with ReflectorServer(port=0) as server:
            made = transport(server.port)
            made.announce(announcement())
            await made.flush()
            async with running(made):
                await made.flush()
                assert server.counters.announcements == 0

    asyncio.run(body())


def test_subscriptions_change_while_connected(keys):
    async def body():
        async with ReflectorServer(port=0) as server:
            one, two = transport(server.port, **keys), transport(server.port, "desktop", **keys)
            async with running(one), running(two) as recorder:
                two.subscribe([Subscription("notes")])
                await two.flush()
                one.announce(announcement())
                one.announce(announcement(repository="notes"))
                await eventually(lambda: recorder.announcements, "the new one is heard")
                assert recorder.announcements == [announcement(repository="notes")]

    asyncio.run(body())


def test_what_strangers_say_is_dropped_and_counted(keys):
    async def body():
        async with ReflectorServer(port=0) as server:
            made = transport(server.port, **keys)
            async with running(made) as recorder, plain(server.port) as stranger:
                (route,) = made._routes.all()
                for word in ("x", "1 pushed", f"1 pushed {COMMIT} 00000000 /etc/passwd laptop", "é" * 400, "A" * 800):
                    stranger.send(f"announce {route.channel.decode()} {word}")
                await eventually(lambda: made.dropped == 5, "all are dropped")
                assert recorder.announcements == recorder.looks == []

    asyncio.run(body())


def test_another_secret_is_a_stranger(secret, tmp_path):
    async def body():
        other = tmp_path / "other"
        other.write_text("another secret, long enough too\n")
        other.chmod(0o600)
        async with ReflectorServer(port=0) as server:
            made = transport(server.port, **{"secret-file": secret})
            stranger = transport(server.port, **{"secret-file": other})
            async with running(made) as recorder, running(stranger):
                stranger.announce(announcement())
                await stranger.flush()
                await made.flush()
                assert recorder.announcements == []

    asyncio.run(body())


def test_a_secret_that_others_can_read_is_refused(secret):
    secret.chmod(0o644)
    with pytest.raises(Problem, match="can be read by others"):
        transport(1986, **{"secret-file": secret})


def test_a_secret_that_can_be_guessed_is_refused(secret):
    secret.write_text("hunter2\n")
    with pytest.raises(Problem, match="can be guessed"):
        transport(1986, **{"secret-file": secret})


def test_pauses_grow_to_a_limit_and_are_never_all_alike():
    assert [pause(n, 30.0, 1.0) for n in (0, 1, 2, 3, 4, 5, 6, 1000)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert pause(1000, 30.0, 0.0) == 15
