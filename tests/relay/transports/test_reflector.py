"""The client, against a real reflector in the same loop."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from autosync.common.config import read_secret
from autosync.common.errors import Problem
from autosync.relay.reflector.server import Limits, ReflectorServer
from autosync.relay.transports.base import Subscription
from autosync.relay.transports.reflector import pause
from autosync.relay.transports.sealing import Sealer
from tests.relay.reflector.clients import plain
from tests.support.server import free_port
from tests.support.wait import DEADLINE, eventually

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
                assert [(peer.name, peer.repositories) for peer in one.peers()] == [("desktop", (ID,))]

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


def sealed(secret: Path, age: float, commit: str = OTHER, machine: str = "desktop") -> tuple[str, str]:
    """Channel and message of a machine that has the secret, sealed ``age`` seconds ago."""
    sealer = Sealer(read_secret(secret))
    channel = sealer.channel(ID)
    text = f"1 pushed {commit} 00000000 refs/heads/main {machine}".encode()
    return channel.decode(), sealer.seal(channel, text, time.time() - age).decode()


def test_a_sealed_message_is_believed_once(secret):
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as stranger:
            made = transport(server.port, **{"secret-file": secret})
            async with running(made) as recorder:
                channel, message = sealed(secret, 0)
                stranger.send(*[f"announce {channel} {message}"] * 3)
                await stranger.lines()
                await made.flush()
                assert recorder.announcements == [announcement(OTHER, machine="desktop")]
                assert (recorder.looks, made.dropped) == ([], 2)

    asyncio.run(body())


@pytest.mark.parametrize(("age", "words"), [(3600, "60 minutes old"), (-7200, "120 minutes ahead")])
def test_a_wrong_clock_is_reported_until_it_is_right(secret, age, words):
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as other:
            made = transport(server.port, **{"secret-file": secret})
            async with running(made) as recorder:
                for offset in (0, age):
                    other.send("announce {} {}".format(*sealed(secret, offset)))
                await other.lines()
                await made.flush()
                assert len(recorder.announcements) == 1
                assert (made.dropped, made.health.state) == (1, "online")
                assert "desktop" in made.health.error
                assert words in made.health.error
                assert "timedatectl" in made.health.remedy
                other.send("announce {} {}".format(*sealed(secret, 30)))
                await other.lines()
                await made.flush()
                assert len(recorder.announcements) == 2
                assert made.health.error is None

    asyncio.run(body())


def test_an_old_last_word_is_a_hint_and_a_new_one_is_heard(secret):
    async def body():
        for age, looks, heard in ((3600, [ID], []), (5, [], [announcement(OTHER, machine="desktop")])):
            async with ReflectorServer(port=0) as server, plain(server.port) as other:
                other.send("announce {} {}".format(*sealed(secret, age)))
                await other.lines()
                made = transport(server.port, **{"secret-file": secret})
                async with running(made) as recorder:
                    await made.flush()
                    assert (recorder.looks, recorder.announcements) == (looks, heard)
                    assert (made.dropped, made.health.error) == (0, None)

    asyncio.run(body())


def test_a_last_word_that_was_heard_before_is_nothing(secret):
    async def body():
        made = transport(free_port(), **{"secret-file": secret})
        channel, message = sealed(secret, 5)
        async with running(made, online=False) as recorder:
            for _ in range(2):
                async with ReflectorServer(port=made._endpoint.port) as server, plain(server.port) as other:
                    other.send(f"announce {channel} {message}")
                    await other.lines()
                    await eventually(lambda: made.health.state == "online", "it is connected")
                    await made.flush()
                await eventually(lambda: made.health.state == "offline", "the server is gone")
            assert len(recorder.announcements) == 1
            assert (recorder.looks, made.dropped) == ([], 0)

    asyncio.run(body())


def test_a_message_moved_to_another_channel_is_dropped(secret):
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as stranger:
            made = transport(server.port, **{"secret-file": secret})
            made.subscribe([Subscription(ID), Subscription("notes")])
            async with running(made) as recorder:
                _, message = sealed(secret, 0)
                other = Sealer(read_secret(secret)).channel("notes").decode()
                stranger.send(f"announce {other} {message}")
                await stranger.lines()
                await made.flush()
                assert (recorder.announcements, made.dropped) == ([], 1)

    asyncio.run(body())


def test_many_own_words_do_not_use_up_what_is_listened_to():
    async def body():
        async with ReflectorServer(port=0, limits=Limits(rate=1e9, burst=1e9)) as server:
            made, other = transport(server.port), transport(server.port, "desktop")
            async with running(made) as recorder, running(other):
                for n in range(500):
                    made.announce(announcement(f"{n:040x}"))
                await made.flush()
                other.announce(announcement(OTHER, machine="desktop"))
                await eventually(lambda: recorder.announcements, "the other is heard")
                assert (recorder.looks, made.dropped) == ([], 0)

    asyncio.run(body())


def test_other_machines_that_are_remembered_are_bounded():
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as stranger:
            made = transport(server.port)
            made.subscribe([Subscription(f"id{n}") for n in range(10)])
            async with running(made):
                for n in range(200):
                    stranger.send(f"announce id{n % 10} 1 pushed {COMMIT} 00000000 refs/heads/main machine{n}")
                await stranger.lines()
                await made.flush()
                names = [peer.name for peer in made.peers()]
                assert len(names) <= 64
                assert "machine199" in names

    asyncio.run(body())


def test_a_thousand_repositories_are_subscribed_at_once():
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as other:
            made = transport(server.port)
            made.subscribe([Subscription(f"id{n}") for n in range(1000)])
            async with running(made) as recorder:
                other.send(f"announce id999 1 pushed {COMMIT} 00000000 refs/heads/main desktop")
                await eventually(lambda: recorder.announcements, "the last one is heard")
                assert server.counters.throttled == 0

    asyncio.run(body())


def test_what_had_to_wait_for_a_server_that_did_not_read_goes_out_when_it_does():
    async def body():
        reading, last = asyncio.Event(), asyncio.Event()

        async def serve(reader, writer):
            writer.write(b"debug!connected...\n")
            while await reader.readline() != b"ping\n":
                pass
            writer.write(b"1\n")
            await reading.wait()
            while (line := await reader.readline()) and OTHER.encode() not in line:
                pass
            if line:
                last.set()
            writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        made = transport(server.sockets[0].getsockname()[1])
        async with server, running(made):
            while not made._link.congested:
                for n in range(100):
                    made.announce(announcement(ref=f"refs/heads/{n}-" + "x" * 150))
                await asyncio.sleep(0)
            made.announce(announcement(OTHER))
            reading.set()
            async with asyncio.timeout(DEADLINE):
                await last.wait()

    asyncio.run(body())


def test_the_secret_shows_nowhere(secret, caplog):
    caplog.set_level("DEBUG")

    async def body():
        async with ReflectorServer(port=0) as server:
            made = transport(server.port, **{"secret-file": secret})
            async with running(made):
                made.announce(announcement())
                await made.flush()
                shown = [repr(made), repr(made.health), repr(made.peers()), *map(repr, vars(made).values())]
                assert read_secret(secret) not in "".join(shown) + caplog.text

    asyncio.run(body())


def test_a_repository_may_have_the_name_of_the_servers_own_channel():
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as stranger:
            made = transport(server.port)
            made.subscribe([Subscription("debug"), Subscription("all")])
            async with running(made) as recorder:
                for name in ("debug", "all"):
                    stranger.send(f"announce {name} busy")
                    stranger.send(f"announce {name} 1 pushed {COMMIT} 00000000 refs/heads/main desktop")
                await eventually(lambda: len(recorder.announcements) == 2, "both are heard")
                assert (recorder.connects, made.dropped) == (1, 2)

    asyncio.run(body())
