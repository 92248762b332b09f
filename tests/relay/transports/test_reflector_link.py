"""The client against servers that are dead, silent, wrong or hostile. Where waiting is tested, the clock jumps."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from autosync.common.errors import Problem
from autosync.relay.reflector.server import Limits, ReflectorServer
from autosync.relay.transports import reflector_link
from autosync.relay.transports.base import Subscription
from tests.relay.reflector.clients import plain
from tests.relay.reflector.clock import in_time, run_jumping
from tests.support.certificates import Authority
from tests.support.proxy import Proxy
from tests.support.server import free_port
from tests.support.wait import eventually

from .reflectors import ID, OTHER, announcement, running, transport


@contextlib.asynccontextmanager
async def strange_server(
    say: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server that answers each connection with what ``say`` does."""
    writers = []

    async def serve(reader, writer):
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await say(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


async def answer_then_freeze(reader, writer):
    writer.write(b"debug!connected...\n")
    while await reader.readline() != b"ping\n":
        pass
    writer.write(b"1\n")


def test_a_silent_server_is_noticed_within_thirty_seconds():
    async def body():
        async with strange_server(answer_then_freeze) as port:
            made = transport(port)
            async with running(made):
                began = asyncio.get_running_loop().time()
                await in_time(lambda: made.health.state == "offline")
                assert "silent" in made.health.error
                assert asyncio.get_running_loop().time() - began <= 30

    run_jumping(body())


def test_an_idle_connection_is_asked_for_a_sign_of_life_and_kept():
    async def body():
        async with ReflectorServer(port=0) as server:
            made = transport(server.port)
            async with running(made) as recorder:
                await asyncio.sleep(600)
                assert (made.health.state, recorder.connects, server.counters.accepted) == ("online", 1, 1)

    run_jumping(body())


def test_a_server_that_never_answers_is_no_reflector():
    async def body():
        async with strange_server(lambda reader, writer: reader.read()) as port:
            made = transport(port)
            async with running(made, online=False) as recorder:
                await in_time(lambda: made.health.error)
                assert "does not answer as a reflector" in made.health.error
                assert recorder.connects == 0

    run_jumping(body())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"debug!busy\n", "no room"),
        (b"x" * 5000, "too long"),
        (b"", "closed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "closed"),
    ],
)
def test_what_is_wrong_with_a_server_is_said(said, words):
    async def say(reader, writer):
        writer.write(said)
        await writer.drain()
        writer.close()

    async def body():
        async with strange_server(say) as port:
            made = transport(port)
            async with running(made, online=False) as recorder:
                await eventually(lambda: made.health.error, "it is noticed")
                assert words in made.health.error
                assert recorder.connects == 0

    asyncio.run(body())


def test_a_full_reflector_takes_us_when_there_is_room():
    async def body():
        async with ReflectorServer(port=0, limits=Limits(connections=1)) as server:
            made = transport(server.port)
            async with plain(server.port), running(made, online=False):
                await eventually(lambda: made.health.error, "there is no room")
                assert "no room" in made.health.error
            async with running(made):
                pass

    asyncio.run(body())


def test_a_state_begins_once_however_often_it_is_tried(caplog):
    async def body():
        async with ReflectorServer(port=0) as server:
            port = server.port
        made = transport(port)
        async with running(made, online=False):
            await eventually(lambda: made.health.error, "nothing listens")
            since = made.health.since
            await asyncio.sleep(5)
            assert (made.health.state, made.health.since) == ("offline", since)

    run_jumping(body())
    assert len([record for record in caplog.records if "nothing listens" in record.message]) == 1


def test_a_state_that_goes_on_for_another_reason_began_when_it_began():
    async def body():
        made = transport(free_port())
        async with running(made, online=False):
            await eventually(lambda: made.health.error, "nothing listens")
            since, error = made.health.since, made.health.error
            async with ReflectorServer(port=made._endpoint.port, limits=Limits(connections=0)):
                await eventually(lambda: made.health.error != error, "another reason")
                assert (made.health.state, made.health.since) == ("offline", since)

    asyncio.run(body())


def test_stopping_while_the_server_does_not_read():
    async def body():
        async with strange_server(answer_then_freeze) as port:
            made = transport(port)
            async with running(made):
                n = 0
                while not made._link.congested:
                    made.announce(announcement(f"{n:040x}", ref=f"refs/heads/{n}-" + "x" * 150))
                    n += 1
                    if not n % 100:
                        await asyncio.sleep(0)
                # the newest of each branch waits, and what is too much is not even queued
                made.announce(announcement())
                made.announce(announcement(OTHER))
                assert len(made._outbox) == 1

    asyncio.run(body())


def test_a_flood_costs_at_most_a_look_a_second_and_other_repositories_nothing():
    async def body():
        limits = Limits(rate=1e9, burst=1e9)
        async with ReflectorServer(port=0, limits=limits) as server:
            made = transport(server.port)
            made.subscribe([Subscription(ID), Subscription("quiet")])
            friend = transport(server.port, "desktop")
            async with running(made) as recorder, running(friend), plain(server.port) as stranger:
                began = asyncio.get_running_loop().time()
                for _ in range(100):
                    stranger.send(*[f"announce {ID} 1 pushed {n:040x} 00000000 refs/heads/main x" for n in range(200)])
                    await stranger.lines()
                friend.announce(announcement(repository="quiet"))
                await eventually(
                    lambda: announcement(repository="quiet") in recorder.announcements, "the other is heard"
                )
                await eventually(lambda: made.dropped > 19_000, "the flood is dropped")
                seconds = asyncio.get_running_loop().time() - began
                assert len(recorder.announcements) <= 41 + 20 * (seconds + 1)
                assert recorder.looks == [ID] * len(recorder.looks)
                assert 1 <= len(recorder.looks) <= seconds + 1

    asyncio.run(body())


def test_a_sign_that_the_network_is_back_ends_a_pause():
    async def body():
        port = free_port()
        made = transport(port)
        made._longest_pause = 1e6
        async with running(made, online=False):
            for _ in range(12):  # pauses grow: at last it is one of an hour
                await in_time(lambda: made.health.state == "offline")
                made.retry()
                await asyncio.sleep(0.01)
            async with ReflectorServer(port=port):
                made.retry()
                await in_time(lambda: made.health.state == "online", 5)

    run_jumping(body())


def test_a_connection_that_died_unnoticed_is_noticed_at_a_sign_from_the_network():
    async def body():
        async with ReflectorServer(port=0) as server, Proxy(server.port) as way:
            made = transport(way.port)
            made._idle = 1e6
            async with running(made):
                way.stall()
                made.retry()
                made.retry()  # twice is as once
                await in_time(lambda: made.health.state == "offline", 15)
                way.flow()
                await in_time(lambda: made.health.state == "online", 15)

    run_jumping(body())


def test_hints_that_come_together_are_two_looks_at_most():
    async def body():
        async with ReflectorServer(port=0) as server:
            made = transport(server.port)
            async with running(made) as recorder, plain(server.port) as other:
                other.send(*[f"announce {ID} 1 look 00000000"] * 10)
                await other.lines()
                await made.flush()
                assert recorder.looks == [ID]
                await asyncio.sleep(10)
                assert recorder.looks == [ID, ID]

    run_jumping(body())


@pytest.fixture
def authority(tmp_path) -> Authority:
    made = Authority(tmp_path / "authority")
    made.issue(tmp_path / "cert.pem", tmp_path / "key.pem", "127.0.0.1", "localhost")
    made.issue(tmp_path / "other.pem", tmp_path / "other-key.pem", "reflector.example.org")
    made.issue(tmp_path / "expired.pem", tmp_path / "expired-key.pem", "127.0.0.1", expired=True)
    return made


def server_context(tmp_path, name="cert", key="key") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{key}.pem")
    return context


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_is_verified_and_works(tmp_path, authority, host):
    async def body():
        async with ReflectorServer(port=0, tls=server_context(tmp_path)) as server:
            keys = {"url": f"tls://{host}:{server.port}", "ca-file": authority.file}
            one, two = transport(server.port, **keys), transport(server.port, "desktop", **keys)
            async with running(one), running(two) as recorder:
                one.announce(announcement())
                await eventually(lambda: recorder.announcements, "it is heard")
            await eventually(lambda: not server.connections, "both are gone")

    asyncio.run(body())


@pytest.mark.parametrize(
    ("name", "key", "trusted", "words"),
    [
        ("cert", "key", False, "self-signed|unable to get"),
        ("other", "other-key", True, "mismatch|not valid for"),
        ("expired", "expired-key", True, "expired"),
    ],
)
def test_a_certificate_that_does_not_fit_is_refused(tmp_path, authority, name, key, trusted, words):
    async def body():
        async with ReflectorServer(port=0, tls=server_context(tmp_path, name, key)) as server:
            keys = {"url": f"tls://127.0.0.1:{server.port}"} | ({"ca-file": authority.file} if trusted else {})
            made = transport(server.port, **keys)
            async with running(made, online=False) as recorder:
                await eventually(lambda: made.health.state == "failed", "it is refused")
                assert re.search(words, made.health.error)
                assert recorder.connects == 0

    asyncio.run(body())


def test_a_server_without_tls_is_told_from_one_with_a_bad_certificate(tmp_path, authority):
    async def body():
        async with ReflectorServer(port=0) as server:
            made = transport(server.port, url=f"tls://127.0.0.1:{server.port}", **{"ca-file": authority.file})
            async with running(made, online=False):
                await eventually(lambda: made.health.error, "it fails")
                assert made.health.state == "offline"
                assert "tcp://" in made.health.remedy

    asyncio.run(body())


def test_a_ca_file_that_is_not_there_needs_the_person(tmp_path):
    async def body():
        made = transport(1, url="tls://127.0.0.1:1", **{"ca-file": tmp_path / "none.pem"})
        async with running(made, online=False):
            await eventually(lambda: made.health.state == "failed", "it is said")
            assert "none.pem" in made.health.error

    asyncio.run(body())


def test_stopping_does_not_wait_for_a_name_server(monkeypatch):
    asked, over = threading.Event(), threading.Event()

    def silent(*_args, **_keys):
        asked.set()
        over.wait(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    async def body():
        made = transport(1, url="tcp://reflector.example.org:1986")
        async with running(made, online=False):
            await eventually(asked.is_set, "the name server is asked")

    try:
        began = time.monotonic()
        asyncio.run(body())
        assert time.monotonic() - began < 30
    finally:
        over.set()


def test_a_host_without_an_address_is_said(monkeypatch):
    def unknown(*_args, **_keys):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    async def body():
        made = transport(1, url="tcp://reflector.example.org:1986")
        async with running(made, online=False):
            await eventually(lambda: made.health.error, "it fails")
            assert "cannot find reflector.example.org" in made.health.error

    asyncio.run(body())


def test_stopping_while_a_server_does_not_take_the_connection():
    async def body():
        # a full backlog: the kernel answers no further connection
        with socket.socket() as listener, contextlib.ExitStack() as stack:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(address)
            made = transport(address[1])
            async with running(made, online=False):
                await asyncio.sleep(0)

    asyncio.run(body())


def test_stopping_while_the_server_does_not_end_the_connection(tmp_path, authority):
    """A frozen TLS server never answers the farewell."""

    async def body():
        async with strange_server(answer_then_freeze, server_context(tmp_path)) as port:
            made = transport(port, url=f"tls://127.0.0.1:{port}", **{"ca-file": authority.file})
            async with running(made):
                pass

    asyncio.run(body())


def test_a_url_without_a_place_is_refused():
    with pytest.raises(Problem, match="no host and port"):
        reflector_link.Endpoint.of("tcp://host:99999")


def test_the_port_has_a_default():
    assert reflector_link.Endpoint.of("tls://[::1]").port == 1986
    assert reflector_link.Endpoint.of("tls://[::1]").host == "::1"
