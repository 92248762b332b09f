"""The transport on real servers: connections that end, or never begin, and how it goes on."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest

from autosync.relay.failures import PAUSES, Kind
from autosync.relay.transports.xmpp import Limits, XmppTransport
from tests.support.certificates import Authority
from tests.support.ejabberd import Ejabberd
from tests.support.prosody import Prosody
from tests.support.proxy import Proxy
from tests.support.wait import eventually
from tests.support.xmpp import QUICK, Machine, Recorder, announcement, machines, nothing_left


def test_flush_ends_when_nothing_can_be_reached(config):
    async def scenario():
        single = XmppTransport(config.model_copy(update={"port": 9}), "laptop", "default", "1.0")
        task = asyncio.create_task(single.run(Recorder()))
        single.announce(announcement())
        await single.flush()
        assert single.health.state == "offline"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


# healing ----------------------------------------------------------------------------------------------


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


def test_it_comes_back_when_the_server_was_restarted(server, config):
    async def scenario():
        async with machines((config, "laptop")) as (laptop,):
            server.restart()
            await eventually(lambda: laptop.recorder.connections == 2, "the return")

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
        assert machine.state == "stopped"

    asyncio.run(scenario())


def test_a_frozen_server_is_noticed(server, config):
    async def scenario():
        async with machines((config, "laptop"), limits=Limits(0.3, 0.3, 1.0, 1.0)) as (laptop,):
            server.freeze()
            await eventually(lambda: laptop.state == "offline", "the silence to be noticed")
            assert "silent" in laptop.transport.health.error
            server.thaw()
            await eventually(lambda: laptop.state == "online", "the return")

    asyncio.run(scenario())


def test_a_cut_connection_is_replaced_and_what_was_said_in_it_is_said_again(server, config):
    async def scenario():
        async with Proxy(server.port) as proxy:
            through = config.model_copy(update={"port": proxy.port})
            async with machines((through, "laptop"), (config, "desk")) as (laptop, desk):
                await eventually(laptop.knows, "them to meet")
                proxy.stall()
                laptop.transport.announce(announcement())
                proxy.cut()
                await eventually(lambda: laptop.state == "offline", "the loss")
                proxy.flow()
                await eventually(lambda: desk.recorder.commits, "what was lost")

    asyncio.run(scenario())


def test_a_connection_that_falls_silent_is_noticed(server, config):
    async def scenario():
        async with Proxy(server.port) as proxy:
            through = config.model_copy(update={"port": proxy.port})
            async with machines((through, "laptop"), limits=Limits(0.3, 0.3, 1.0, 1.0)) as (laptop,):
                proxy.stall()
                await eventually(lambda: laptop.state == "offline", "the silence to be noticed")
                # new connections are silent too, from the first byte on
                await eventually(lambda: proxy.connections >= 3, "more attempts")
                proxy.flow()
                await eventually(lambda: laptop.state == "online", "the return")

    asyncio.run(scenario())


def test_a_sign_that_the_network_is_another_ends_the_pause(server, config, monkeypatch):
    monkeypatch.setitem(PAUSES, Kind.OFFLINE, (3600.0, 3600.0))

    async def scenario():
        async with Proxy(server.port) as proxy:
            through = config.model_copy(update={"port": proxy.port})
            async with machines((through, "laptop"), limits=Limits(idle=3600.0, patience=0.5)) as (laptop,):
                proxy.stall()
                # nobody would notice for an hour
                laptop.transport.retry()
                await eventually(lambda: laptop.state == "offline", "the loss")
                proxy.flow()
                laptop.transport.retry()
                await eventually(lambda: laptop.state == "online", "the return")

    asyncio.run(scenario())


def test_two_instances_with_one_address_do_not_fight(config):
    async def scenario():
        async with machines((config, "twin")) as (one,):
            two = Machine(config, "twin")
            try:
                # the server throws the older one out; it comes back under another name, and stays
                await eventually(lambda: one.recorder.connections >= 2 and two.state == one.state == "online", "peace")
                before = one.recorder.connections, two.recorder.connections
                one.transport.announce(announcement())
                await eventually(lambda: two.recorder.commits, "one to hear the other")
                two.transport.announce(announcement("b" * 40))
                await eventually(lambda: one.recorder.commits, "the other to hear the one")
                assert (one.recorder.connections, two.recorder.connections) == before == (2, 1)
            finally:
                await two.stop()

    asyncio.run(scenario())


# logging in -------------------------------------------------------------------------------------------


def test_a_wrong_password_is_shown_once_and_a_corrected_one_is_used_at_once(server, account, caplog, monkeypatch):
    monkeypatch.setitem(PAUSES, Kind.AUTH, (3600.0, 3600.0))
    caplog.set_level(logging.INFO)

    async def scenario():
        config = account.config()
        config.password_file.write_text("wrong-word\n")
        async with Proxy(server.tls_port) as proxy:
            machine = Machine(config.model_copy(update={"port": proxy.port, "direct_tls": True}), "laptop")
            try:
                await eventually(lambda: machine.state == "failed", "the refusal")
                health = machine.transport.health
                assert account.jid in health.error
                assert "password-file" in health.remedy
                connections = proxy.connections
                config.password_file.write_text(f"{account.password}\n")
                await eventually(lambda: machine.state == "online", "the connection")
                assert (connections, proxy.connections) == (1, 2)
            finally:
                await machine.stop()

    asyncio.run(scenario())
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1


def test_no_secret_is_logged(account, caplog):
    caplog.set_level(logging.DEBUG)

    async def scenario():
        config = account.config()
        async with machines((config, "laptop")) as (laptop,):
            laptop.transport.announce(announcement())
            await laptop.transport.flush()
        config.password_file.write_text("wrong-word\n")
        machine = Machine(config, "laptop")
        await eventually(lambda: machine.state == "failed", "the refusal")
        await machine.stop()

    asyncio.run(scenario())
    assert account.password not in caplog.text
    assert "wrong-word" not in caplog.text


def test_direct_tls(server, config):
    async def scenario():
        update = {"port": server.tls_port, "direct_tls": True}
        async with machines((config.model_copy(update=update), "laptop")) as (laptop,):
            assert laptop.recorder.connections == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("server", "fault", "direct_tls"),
    [(Prosody, *rest) for rest in itertools.product(("authority", "name", "expired"), (False, True))]
    + [(Ejabberd, "authority", False)],
    indirect=["server"],
)
def test_a_certificate_that_is_not_to_be_trusted_is_refused(server, config, tmp_path, fault, direct_tls):
    if fault == "authority":
        server.renew_certificate(Authority(tmp_path / "other"))
    elif fault == "name":
        server.renew_certificate(None, "elsewhere.example")
    else:
        server.renew_certificate(expired=True)
    server.restart()
    try:

        async def scenario():
            port = server.tls_port if direct_tls else server.port
            machine = Machine(config.model_copy(update={"direct_tls": direct_tls, "port": port}), "laptop")
            try:
                await eventually(lambda: machine.state == "failed", "the refusal")
                assert "certificate" in machine.transport.health.error
                assert "ca-file" in machine.transport.health.remedy
            finally:
                await machine.stop()

        asyncio.run(scenario())
    finally:
        server.renew_certificate()
        server.restart()


def test_a_removed_account_is_the_persons_matter(server, account):
    async def scenario():
        async with machines((account.config(), "laptop")) as (laptop,):
            server.remove_account(account.user)
            server.restart()
            await eventually(lambda: laptop.state == "failed", "the refusal")

    asyncio.run(scenario())


def test_a_server_that_does_not_serve_the_domain(config):
    async def scenario():
        machine = Machine(config.model_copy(update={"jid": "user@elsewhere.example"}), "laptop")
        try:
            await eventually(lambda: machine.state == "failed", "the refusal")
            assert "elsewhere.example" in machine.transport.health.error
        finally:
            await machine.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("stage", ["first", "connecting", "silent", "online"])
def test_cancelling_leaves_nothing_at_any_stage(server, config, stage):
    async def scenario():
        async with Proxy(server.port) as proxy:
            before = asyncio.all_tasks()
            if stage == "silent":
                proxy.stall()
            machine = Machine(config.model_copy(update={"port": proxy.port}), "laptop", QUICK)
            if stage == "connecting":
                await eventually(lambda: proxy.connections, "the connection")
            elif stage == "silent":
                await eventually(lambda: proxy.seen, "the first bytes")
            elif stage == "online":
                await eventually(lambda: machine.state == "online", "the session")
            else:
                await asyncio.sleep(0)
            await machine.stop()
            nothing_left(before)
        assert machine.state == "stopped"

    asyncio.run(scenario())
