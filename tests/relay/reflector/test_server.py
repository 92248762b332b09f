"""The reflector, spoken to by plain clients over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from autosync.relay.reflector.server import Limits, ReflectorServer
from tests.support.wait import eventually

from .clients import plain


def test_an_announcement_reaches_every_subscriber_the_sender_included():
    async def body():
        async with (
            ReflectorServer(port=0) as server,
            plain(server.port) as one,
            plain(server.port) as two,
            plain(server.port) as deaf,
        ):
            one.send("subscribe notes")
            two.send("subscribe notes", "subscribe other")
            assert await one.lines() == await two.lines() == []
            one.send("announce notes a word! and another")
            assert await one.line() == "notes!a word! and another"
            assert await two.line() == "notes!a word! and another"
            assert await deaf.lines() == []

    asyncio.run(body())


def test_the_sender_need_not_subscribe_and_everybody_hears_all():
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as one, plain(server.port) as two:
            one.send("announce all hello")
            assert await two.line() == "all!hello"
            assert await one.line() == "all!hello"
            two.send("unsubscribe all")
            assert await two.lines() == []
            one.send("announce all again")
            assert await one.lines() == ["all!again"]
            assert await two.lines() == []

    asyncio.run(body())


def test_subscribing_twice_is_subscribing_once():
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as one:
            one.send("subscribe notes", "subscribe notes", "announce notes x")
            assert await one.lines() == ["notes!x"]
            one.send("unsubscribe notes", "announce notes y")
            assert await one.lines() == []

    asyncio.run(body())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "PING",
        " ping",
        "ping ",
        "ping\r",
        "subscribe",
        "subscribe ",
        "subscribe a!b",
        "subscribe a b",
        "announce",
        "announce x",
        "announce x ",
        "announce  x y",
        "announce a!b c",
        "announce " + "c" * 200 + " x",
        "quit",
        "\0\1\2",
    ],
)
def test_what_is_not_a_request_is_ignored(line):
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as one:
            one.send("subscribe x", line)
            assert await one.lines() == []
            assert server.counters.malformed == 1
            one.send("announce x y")
            assert await one.line() == "x!y"

    asyncio.run(body())


def test_the_last_word_of_a_channel_greets_a_new_subscriber():
    async def body():
        async with ReflectorServer(port=0) as server:
            async with plain(server.port) as one:
                one.send("announce notes old", "announce notes new", "announce all shout")
                await one.lines()
            async with plain(server.port) as two:
                two.send("subscribe notes", "subscribe notes", "subscribe empty", "subscribe all")
                assert await two.lines() == ["notes!new"]

    asyncio.run(body())


def test_a_line_that_is_too_long_ends_the_connection_and_nothing_else():
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as bad, plain(server.port) as good:
            bad.writer.write(b"announce x " + b"y" * 2000)
            assert await bad.ended()
            assert await good.lines() == []
            good.send("subscribe x", "announce x " + "y" * 1012)
            assert await good.line() == "x!" + "y" * 1012

    asyncio.run(body())


def test_a_full_server_says_so():
    async def body():
        async with ReflectorServer(port=0, limits=Limits(connections=1)) as server:
            async with plain(server.port), plain(server.port, greeted=False) as late:
                assert await late.line() == "debug!busy"
                assert await late.ended()
            await eventually(lambda: not server.connections, "the first client is gone")
            async with plain(server.port):
                pass

    asyncio.run(body())


def test_info_has_no_line_that_could_be_an_announcement():
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as one:
            one.send("info")
            found = await one.lines()
            assert "connections: 1" in found
            assert not any("!" in line for line in found)

    asyncio.run(body())


def test_a_reader_that_does_not_read_is_dropped_and_delays_nobody():
    async def body():
        limits = Limits(rate=1e6, burst=1e6)
        async with ReflectorServer(port=0, limits=limits) as server, plain(server.port) as good:
            good.send("subscribe x")
            async with plain(server.port, limit=1024) as slow:
                slow.send("subscribe x")
                await slow.lines()
                slow.reader._transport.pause_reading()
                for _ in range(200):
                    good.send(*["announce x " + "y" * 1000] * 50)
                    assert len(await good.lines()) == 50
                    if server.counters.slow:
                        break
                assert server.counters.slow == 1
            assert server.connections == 1

    asyncio.run(body())


def test_one_that_sends_too_fast_is_read_more_slowly_and_loses_nothing():
    async def body():
        limits = Limits(rate=1000.0, burst=50.0)
        async with ReflectorServer(port=0, limits=limits) as server, plain(server.port) as fast:
            fast.send("subscribe x", *(f"announce x {n}" for n in range(100)))
            assert await fast.lines() == [f"x!{n}" for n in range(100)]
            assert server.counters.throttled

    asyncio.run(body())


def test_subscriptions_are_bounded_for_each_and_for_all():
    async def body():
        limits = Limits(channels=3, subscriptions=5)
        async with ReflectorServer(port=0, limits=limits) as server, plain(server.port) as one:
            one.send(*(f"subscribe c{n}" for n in range(9)))
            await one.lines()
            assert server.hub.subscriptions == 3  # with `all`
            async with plain(server.port) as two:
                two.send(*(f"subscribe d{n}" for n in range(9)))
                await two.lines()
                assert server.hub.subscriptions == 5
            await eventually(lambda: server.hub.subscriptions == 3, "the second client's subscriptions are gone")

    asyncio.run(body())


def test_stopping_ends_all_connections():
    async def body():
        async with ReflectorServer(port=0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await reader.readline()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass

    asyncio.run(body())


@pytest.mark.parametrize("order", [1, -1], ids=["before", "after"])
def test_one_that_greets_is_not_paced_whatever_its_channels_are_called(order):
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as one:
            channel = "5ca1ab1e" * 5
            one.send(*["autosync 1", f"subscribe {channel}"][::order])
            one.send(*(f"announce {channel} {n}" for n in range(3)))
            assert await one.lines() == [f"{channel}!{n}" for n in range(3)]

    asyncio.run(body())


def test_all_can_be_paced_and_then_a_greeting_does_not_help():
    async def body():
        async with ReflectorServer(port=0, pace="all", pace_interval=0.01) as server, plain(server.port) as one:
            one.send("autosync 1", "subscribe x", *(f"announce x {n}" for n in range(9)))
            assert await one.lines() == ["x!8"]

    asyncio.run(body())
