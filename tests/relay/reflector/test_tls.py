"""The reflector behind TLS, and what strangers do at its door."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl

import pytest

from autosync.relay.reflector.connection import Connection
from autosync.relay.reflector.server import Limits, ReflectorServer
from tests.support.certificates import Authority
from tests.support.wait import eventually

from .clients import plain


@pytest.fixture
def contexts(tmp_path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = Authority(tmp_path / "authority")
    authority.issue(tmp_path / "cert.pem", tmp_path / "key.pem", "127.0.0.1")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return server, ssl.create_default_context(cafile=authority.file)


def test_lines_go_both_ways(contexts):
    async def body():
        ours, theirs = contexts
        async with (
            ReflectorServer(port=0, tls=ours) as server,
            plain(server.port, ssl=theirs) as one,
            plain(server.port, ssl=theirs) as two,
        ):
            one.send("subscribe x")
            assert await one.lines() == []
            two.send("announce x " + "y" * 900)
            assert await one.line() == "x!" + "y" * 900

    asyncio.run(body())


def test_throttling_and_slow_readers_are_the_same_behind_tls(contexts):
    async def body():
        ours, theirs = contexts
        limits = Limits(rate=1000.0, burst=50.0, queue=16_384)
        async with ReflectorServer(port=0, tls=ours, limits=limits) as server, plain(server.port, ssl=theirs) as one:
            one.send("subscribe x", *(f"announce x {n}" for n in range(20)))
            assert await one.lines() == [f"x!{n}" for n in range(20)]
            assert server.counters.throttled
        limits = Limits(rate=1e9, burst=1e9)
        async with (
            ReflectorServer(port=0, tls=ours, limits=limits) as server,
            plain(server.port, ssl=theirs) as slow,
            plain(server.port, ssl=theirs) as good,
        ):
            slow.send("subscribe x")
            await slow.lines()
            slow.writer.transport.pause_reading()
            for _ in range(500):
                good.send(*["announce x " + "y" * 1000] * 50)
                assert await good.lines() == []
                if server.counters.slow:
                    break
            assert server.counters.slow == 1

    asyncio.run(body())


def test_a_stranger_without_tls_gets_nothing_and_costs_nothing(contexts):
    async def body():
        async with ReflectorServer(port=0, tls=contexts[0]) as server, plain(server.port, greeted=False) as stranger:
            stranger.send("subscribe x", "announce x y")
            assert await stranger.ended()
            await eventually(lambda: not server.connections, "it is forgotten")
            assert (server.hub.subscriptions, server.counters.announcements) == (0, 0)

    asyncio.run(body())


def test_one_that_never_ends_its_handshake_takes_a_place_only_for_a_while(contexts):
    async def body():
        ours, theirs = contexts
        async with (
            ReflectorServer(port=0, tls=ours, limits=Limits(connections=1)) as server,
            plain(server.port, greeted=False),
        ):
            await eventually(lambda: server.connections == 1, "it has a place")
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await asyncio.open_connection("127.0.0.1", server.port, ssl=theirs)
            assert server.counters.refused == 1

    asyncio.run(body())


def test_what_comes_together_with_the_end_of_the_handshake_is_answered(contexts):
    async def body():
        ours, theirs = contexts
        async with ReflectorServer(port=0, tls=ours) as server, plain(server.port, greeted=False) as raw:
            reader, writer = raw.reader, raw.writer
            received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = theirs.wrap_bio(received, sent, server_hostname="127.0.0.1")
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(sent.read())
                    received.write(await reader.read(65536))
            client.write(b"subscribe x\nannounce x y\n")
            writer.write(sent.read())  # the end of the handshake and two lines in one piece
            lines = b""
            while b"x!y\n" not in lines:
                received.write(await reader.read(65536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    while record := client.read():
                        lines += record
            assert lines == b"debug!connected...\nx!y\n"

    asyncio.run(body())


def test_one_that_is_gone_before_it_is_greeted_leaves_nothing():
    async def body():
        async with ReflectorServer(port=0) as server:
            async with plain(server.port) as any:
                connection = Connection(server)
                connection.connection_made(any.writer.transport)
                connection.connection_lost(None)
                connection.begin(any.writer.transport)
            await eventually(lambda: not server.connections, "both are forgotten")
            assert server.hub.subscriptions == 0

    asyncio.run(body())


def test_stopping_in_the_middle_of_a_handshake(contexts):
    async def body():
        async with ReflectorServer(port=0, tls=contexts[0]) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await eventually(lambda: server.connections == 1, "it has a place")
        writer.transport.abort()
        assert not server.connections

    asyncio.run(body())


@pytest.mark.parametrize(
    "words", [b"", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "noise", "half"]
)
def test_a_handshake_that_fails_leaves_nothing_for_the_collector(contexts, words):
    def held() -> int:
        return sum(isinstance(one, ssl.SSLObject) for one in gc.get_objects())

    async def body():
        async with ReflectorServer(port=0, tls=contexts[0]) as server:
            before = held()
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(words)
                writer.close()
                await writer.wait_closed()
            await eventually(lambda: server.counters.malformed == 20 and not server.connections, "all have failed")
            await eventually(lambda: held() == before, "nothing is left of them")

    gc.disable()
    try:
        asyncio.run(body())
    finally:
        gc.enable()
