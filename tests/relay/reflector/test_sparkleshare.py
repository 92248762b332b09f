"""SparkleShare's 1.x clients at our reflector, and our client among them. The clock jumps."""

from __future__ import annotations

import asyncio

import pytest

from autosync.relay.reflector.server import ReflectorServer
from autosync.relay.transports.base import Subscription
from tests.relay.transports.reflectors import announcement, running, transport

from .clients import plain
from .clock import run_jumping
from .sparkleshare import old_client

CHANNELS = [f"{n:040x}" for n in range(1, 6)]
OLD = "0" * 40
NEW = [f"{n:040x}" for n in range(101, 106)]
BURST = [f"announce {channel} {commit}" for channel, commit in zip(CHANNELS, NEW, strict=True)]


def test_an_old_client_hears_all_of_a_burst():
    async def body():
        async with (
            ReflectorServer(port=0) as server,
            plain(server.port) as other,
            old_client(server.port, dict.fromkeys(CHANNELS, OLD)) as old,
        ):
            await asyncio.sleep(5)
            other.send(*BURST)
            await asyncio.sleep(20)
            assert sorted(old.fetched) == list(zip(CHANNELS, NEW, strict=True))

    run_jumping(body())


def test_without_pacing_an_old_client_loses_most_of_a_burst():
    async def body():
        async with (
            ReflectorServer(port=0, pace="none") as server,
            plain(server.port) as other,
            old_client(server.port, dict.fromkeys(CHANNELS, OLD)) as old,
        ):
            await asyncio.sleep(5)
            other.send(*BURST)
            await asyncio.sleep(20)
            assert len(old.fetched) < len(BURST)

    run_jumping(body())


def test_an_old_client_gets_the_latest_of_a_channel_and_what_was_said_before_it_came():
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as other:
            other.send(*BURST)
            async with old_client(server.port, dict.fromkeys(CHANNELS, OLD)) as old:
                await asyncio.sleep(20)
                assert sorted(old.fetched) == list(zip(CHANNELS, NEW, strict=True))
                other.send(*(f"announce {CHANNELS[0]} {commit}" for commit in NEW[1:]))
                await asyncio.sleep(20)
                # the first goes out at once, of the others the last one
                assert old.fetched[5:] == [(CHANNELS[0], NEW[1]), (CHANNELS[0], NEW[4])]

    run_jumping(body())


def test_an_idle_old_client_stays_connected():
    async def body():
        async with ReflectorServer(port=0) as server, old_client(server.port, {CHANNELS[0]: OLD}) as old:
            await asyncio.sleep(1000)
            assert not old.dead
            assert old.pongs >= 3

    run_jumping(body())


@pytest.mark.parametrize("pace", ["auto", "none"], ids=["our server", "one that does not pace"])
def test_our_client_among_old_ones_tells_and_hears(pace):
    async def body():
        async with ReflectorServer(port=0, pace=pace) as server:
            ours = transport(server.port, sparkleshare=True)
            ours.subscribe([Subscription(f"id{n}", channel) for n, channel in enumerate(CHANNELS)])
            async with old_client(server.port, dict.fromkeys(CHANNELS, OLD)) as old, running(ours) as recorder:
                await asyncio.sleep(5)
                for n, commit in enumerate(NEW):
                    ours.announce(announcement(commit, repository=f"id{n}"))
                await asyncio.sleep(20)
                assert sorted(old.fetched) == list(zip(CHANNELS, NEW, strict=True))
                assert recorder.looks == []
                old.push(CHANNELS[2], OLD[:-1] + "f")
                await asyncio.sleep(5)
                assert recorder.looks == ["id2"]
                assert len(old.fetched) == 5
                assert ours.dropped == 0

    run_jumping(body())


def test_our_client_never_says_more_than_one_line_per_interval_to_old_ones():
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as witness:
            ours = transport(server.port, sparkleshare=True)
            ours.subscribe([Subscription("id", CHANNELS[0])])
            witness.send("autosync 1", f"subscribe {CHANNELS[0]}")
            async with running(ours):
                for commit in NEW:
                    ours.announce(announcement(commit, repository="id"))
                await ours.flush()
                # what was replaced while it waited is never said
                assert await witness.lines() == [f"{CHANNELS[0]}!{NEW[0]}", f"{CHANNELS[0]}!{NEW[4]}"]

    run_jumping(body())


@pytest.mark.parametrize("message", ["x", "A" * 40, "a" * 41, "a" * 40 + " x", "../../etc/passwd", "--upload-pack=x"])
def test_only_a_commit_makes_our_client_look(message):
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as stranger:
            ours = transport(server.port, sparkleshare=True)
            ours.subscribe([Subscription("id", CHANNELS[0])])
            async with running(ours) as recorder:
                stranger.send(f"announce {CHANNELS[0]} {message}")
                await stranger.lines()
                await ours.flush()
                assert (recorder.looks, recorder.announcements, ours.dropped) == ([], [], 1)

    run_jumping(body())


def test_a_repository_without_the_file_is_announced_in_plain():
    async def body():
        async with ReflectorServer(port=0) as server:
            one, two = transport(server.port, sparkleshare=True), transport(server.port, "desktop")
            async with running(one), running(two) as recorder:
                one.announce(announcement())
                await one.flush()
                await two.flush()
                assert recorder.announcements == [announcement()]

    run_jumping(body())


def test_commits_that_are_not_pushed_yet_are_kept_from_old_clients():
    async def body():
        async with ReflectorServer(port=0) as server:
            ours = transport(server.port, sparkleshare=True)
            ours.subscribe([Subscription("id", CHANNELS[0])])
            async with running(ours):
                said = announcement(repository="id")
                ours.announce(type(said)("committed", said.repository, said.ref, said.commit, said.machine))
                await ours.flush()
                assert server.counters.announcements == 0

    run_jumping(body())
