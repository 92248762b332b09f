"""A full reflector: who has most gives way, and nobody is turned out by one who has as much."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosync.relay.reflector import places
from autosync.relay.reflector.places import Places
from autosync.relay.reflector.server import Limits, ReflectorServer
from tests.support.wait import eventually

from .clients import plain

_OTHER = ("127.0.0.2", 0)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.7", 5), "192.0.2.7"),
        (("2001:db8:1:2:3::4", 5, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::/64"),
        (("::ffff:192.0.2.7", 5, 0, 0), "192.0.2.7"),
        ("", ""),
        (None, ""),
        (("?", 1), ""),
    ],
)
def test_what_counts_as_one_address(peer, address):
    assert places.of(peer) == address


@given(st.lists(st.tuples(st.sampled_from(["take", "leave one", "leave"]), st.integers(0, 5))))
def test_the_sums_agree(steps):
    kept: Places[int] = Places(8)
    expected: list[int] = []
    for step, client in steps:
        address = "ab"[client % 2]
        if step == "take":
            kept.take(client, address)
            expected.append(client)
        else:
            kept.leave(client, address, 1 if step == "leave one" else None)
            gone = [client] if step == "leave one" else [client] * expected.count(client)
            for one in gone:
                if one in expected:
                    expected.remove(one)
        assert kept.taken == len(expected)
        assert kept.full is (len(expected) >= 8)
        odd, even = (sum(c % 2 == n for c in expected) for n in (1, 0))
        assert (kept.giving_way("a") is not None) is (odd >= even + 2)
        assert (kept.giving_way("c") is not None) is (max(odd, even) >= 2)
    assert kept._sums.total() == len(expected)


def test_one_address_cannot_have_all_connections():
    async def body():
        async with (
            ReflectorServer(port=0, limits=Limits(connections=4)) as server,
            contextlib.AsyncExitStack() as stack,
        ):
            many = [await stack.enter_async_context(plain(server.port)) for _ in range(4)]
            others = [await stack.enter_async_context(plain(server.port, local_addr=_OTHER)) for _ in range(2)]
            # the newest went
            assert await many[3].ended()
            assert await many[2].ended()
            await eventually(lambda: server.connections == 4, "four to be left")
            third = await stack.enter_async_context(plain(server.port, greeted=False, local_addr=_OTHER))
            assert await third.line() == "debug!busy"
            for client in (*many[:2], *others):
                assert await client.lines() == []
            assert (server.counters.gave_way, server.counters.refused) == (2, 1)

    asyncio.run(body())


def test_one_address_cannot_have_all_subscriptions():
    async def body():
        limits = Limits(subscriptions=8)
        async with (
            ReflectorServer(port=0, limits=limits) as server,
            plain(server.port, local_addr=_OTHER) as late,
            plain(server.port) as first,
            plain(server.port) as second,
        ):
            # each hears `all`, too
            first.send("subscribe a", "subscribe b")
            assert await first.lines() == []
            second.send("subscribe a", "subscribe b", "subscribe c")
            assert await second.lines() == []
            assert server.hub.subscriptions == 8
            late.send("subscribe x", "announce x 1")
            assert await late.line() == "x!1"
            assert await second.ended()
            first.send("announce a 1", "unsubscribe a", "announce a 2")
            assert await first.lines() == ["a!1"]

    asyncio.run(body())
