"""The transport on a real server: finding each other, telling, healing."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.prosody import Prosody
from tests.support.wait import eventually
from tests.support.xmpp import Machine, announcement, machines, settings


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Prosody(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def config(server, tmp_path, request):
    user = f"u{abs(hash(request.node.nodeid))}"
    server.add_account(user, "secret")
    return settings(server, user, "secret", tmp_path)


def test_an_announcement_reaches_the_other_machines_and_not_the_sender(config):
    async def scenario():
        async with machines((config, "laptop"), (config, "desk"), (config, "attic")) as (laptop, desk, attic):
            laptop.transport.announce(announcement())
            await eventually(lambda: desk.recorder.commits and attic.recorder.commits, "both to hear")
            desk.transport.announce(announcement("b" * 40, "desk"))
            await eventually(lambda: laptop.recorder.commits, "the first to hear")
            assert desk.recorder.announcements == attic.recorder.announcements[:1] == [announcement()]
            assert laptop.recorder.announcements == [announcement("b" * 40, "desk")]

    asyncio.run(scenario())


def test_machines_see_each_other(config):
    async def scenario():
        async with machines((config, "laptop"), (config, "desk")) as (laptop, desk):
            await eventually(lambda: laptop.knows() == {"desk"} and desk.knows() == {"laptop"}, "them to meet")
            await desk.stop()
            await eventually(lambda: not laptop.knows(), "the farewell")

    asyncio.run(scenario())


def test_it_comes_back_when_the_server_was_killed(server, config):
    async def scenario():
        async with machines((config, "laptop"), (config, "desk")) as (laptop, desk):
            server.kill()
            await eventually(lambda: laptop.state == desk.state == "offline", "the loss to be noticed")
            server.start()
            await eventually(lambda: laptop.recorder.connections == desk.recorder.connections == 2, "the return")
            laptop.transport.announce(announcement())
            await eventually(lambda: desk.recorder.commits, "the other to hear")

    asyncio.run(scenario())


def test_it_may_start_before_the_server(server, config):
    async def scenario():
        server.stop()
        machine = Machine(config, "laptop")
        try:
            await eventually(lambda: machine.state == "offline", "the failure")
            server.start()
            await eventually(lambda: machine.state == "online", "the connection")
        finally:
            await machine.stop()
        assert machine.state == "offline"

    asyncio.run(scenario())
