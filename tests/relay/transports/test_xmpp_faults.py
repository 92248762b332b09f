"""What happens to a session while it lasts: sessions that end, accounts that go, certificates that change."""

from __future__ import annotations

import asyncio
import logging

import pytest

from autosync.relay.failures import PAUSES, Kind
from autosync.relay.transports import xmpp
from autosync.relay.transports.xmpp import Limits, XmppTransport
from tests.support.certificates import Authority
from tests.support.ejabberd import Ejabberd
from tests.support.played_xmpp import SASL, Stage, Talk, mechanisms
from tests.support.prosody import Prosody
from tests.support.proxy import Proxy
from tests.support.wait import eventually
from tests.support.xmpp import Machine, announcement, machines, settings

from .test_xmpp_login import name_server


@pytest.fixture(params=[Prosody, Ejabberd], ids=["prosody", "ejabberd"])
def server(request, tmp_path):
    with request.param(tmp_path) as server:
        server.add_account("rene", "secret")
        yield server


@pytest.fixture
def config(server, tmp_path):
    return settings(server, "rene", "secret", tmp_path)


def test_a_silent_server_is_noticed_within_half_a_minute():
    limits = Limits()
    assert limits.idle + limits.patience <= 30
    # nor does an attempt take longer
    assert limits.connect + limits.login <= 30


def test_pauses_grow_to_a_limit_and_are_spread():
    for kind, longest in ((Kind.OFFLINE, 60), (Kind.AUTH, 3600)):
        first, most = PAUSES[kind]
        assert 1 <= first < most <= longest
    assert PAUSES[Kind.AUTH][0] >= 30, "a wrong password is not tried again and again"


@pytest.mark.parametrize(("steady", "grow"), [(3600.0, True), (0.0, False)], ids=["short sessions", "long sessions"])
def test_pauses_grow_while_the_server_throws_us_out_at_once(tmp_path, monkeypatch, steady, grow):
    pauses = []

    async def rest(self, seconds, kind):
        pauses.append(seconds)
        await asyncio.sleep(0)

    async def part(talk: Talk) -> None:
        await talk.scram()
        await talk.bind()
        raise ConnectionResetError

    monkeypatch.setattr(XmppTransport, "_rest", rest)
    monkeypatch.setattr(xmpp, "_STEADY", steady)
    Stage(tmp_path, Authority(tmp_path / "authority"))(part, lambda machine, server: len(pauses) >= 4)
    assert (pauses[3] > PAUSES[Kind.OFFLINE][0]) is grow


# sessions are fresh ones (XEP-0198) -----------------------------------------------------------------------


def test_no_session_is_to_be_resumed(tmp_path):
    """Even where the server offers it."""
    said = []

    async def part(talk: Talk) -> None:
        await talk.scram()
        await talk.bind(more="<sm xmlns='urn:xmpp:sm:3'/>")
        said.append(await talk.everything())

    async def farewell(machine: Machine) -> None:
        await eventually(lambda: machine.state == "online", "the session")
        await machine.stop()
        await eventually(lambda: said, "the end of the stream")

    Stage(tmp_path, Authority(tmp_path / "authority"))(part, farewell)
    assert "urn:xmpp:sm" not in said[0]
    assert "<presence" in said[0]


def test_a_machine_whose_line_is_cut_is_gone_for_the_others_at_once(server, config):
    """A session that waits to be resumed would go on to be shown, and what is said to it be kept for nobody. What is
    said meanwhile is made good by the look that follows each connection."""

    async def scenario():
        async with Proxy(server.port) as proxy:
            through = config.model_copy(update={"port": proxy.port})
            async with machines((through, "laptop"), (config, "desk")) as (laptop, desk):
                await eventually(desk.knows, "them to meet")
                proxy.stall()
                proxy.cut()
                await eventually(lambda: not desk.knows(), "it to be gone")
                connections = laptop.recorder.connections
                proxy.flow()
                await eventually(lambda: laptop.recorder.connections > connections, "a new session, and a look")
                await eventually(desk.knows, "it to be there again")
                desk.transport.announce(announcement())
                await eventually(lambda: laptop.recorder.commits, "it to hear again")

    asyncio.run(scenario())


# accounts -------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_shown_once_however_often_it_is_tried(server, config, caplog, monkeypatch):
    monkeypatch.setitem(PAUSES, Kind.AUTH, (0.01, 0.01))
    caplog.set_level(logging.INFO)
    config.password_file.write_text("wrong-word\n")

    async def scenario():
        async with Proxy(server.tls_port) as proxy:
            machine = Machine(config.model_copy(update={"port": proxy.port, "direct_tls": True}), "laptop")
            try:
                await eventually(lambda: proxy.connections >= 3, "more attempts")
                assert machine.state == "failed"
            finally:
                await machine.stop()

    asyncio.run(scenario())
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "password" in warnings[0]


def test_a_refused_password_is_not_tried_at_the_domains_other_addresses(tmp_path, monkeypatch):
    """An account is not locked for it."""
    one = xmpp.places

    async def two(config, domain):
        return await one(config, domain) * 2

    async def part(talk: Talk) -> None:
        await talk.stream(mechanisms("SCRAM-SHA-1"))
        await talk.hear("<auth")
        talk.say(f"<failure {SASL}><not-authorized/></failure>")

    def refused(machine, server):
        connections.append(server.connections)
        return machine.state == "failed"

    connections = []
    monkeypatch.setattr(xmpp, "places", two)
    Stage(tmp_path, Authority(tmp_path / "authority"))(part, refused)
    assert connections[-1] == 1


def test_an_account_that_is_removed_while_we_are_online(tmp_path):
    """ejabberd ends its sessions at once (Prosody does so only by its own command)."""
    with Ejabberd(tmp_path) as server:
        server.add_account("rene", "secret")

        async def scenario():
            async with machines((settings(server, "rene", "secret", tmp_path), "laptop")) as (laptop,):
                server.remove_account("rene")
                await eventually(lambda: laptop.state == "failed", "the refusal")
                assert "password-file" in laptop.transport.health.remedy
                server.add_account("rene", "another")
                laptop.transport._config.password_file.write_text("another\n")
                await eventually(lambda: laptop.state == "online", "the return")

        asyncio.run(scenario())


# certificates ---------------------------------------------------------------------------------------------


def test_a_certificate_that_is_renewed_is_not_even_noticed(server, config):
    async def scenario():
        async with machines((config, "laptop")) as (laptop,):
            server.renew_certificate()
            server.restart()
            await eventually(lambda: laptop.recorder.connections == 2, "the return")

    asyncio.run(scenario())


def test_a_certificate_of_another_authority_is_refused_until_that_is_trusted(server, config, tmp_path):
    another = Authority(tmp_path / "another")

    async def scenario():
        async with machines((config, "laptop")) as (laptop,):
            server.renew_certificate(another)
            server.restart()
            await eventually(lambda: laptop.state == "failed", "the refusal")
            assert "certificate" in laptop.transport.health.error
            assert laptop.recorder.connections == 1
            config.ca_file.write_bytes(another.file.read_bytes())
            await eventually(lambda: laptop.state == "online", "the return")

    asyncio.run(scenario())


# places ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["_xmpps-client", "_xmpp-client"])
def test_a_server_is_found_by_its_domains_records(server, tmp_path, monkeypatch, service):
    port = server.tls_port if service == "_xmpps-client" else server.port
    config = settings(server, "rene", "secret", tmp_path).model_copy(update={"host": None, "port": 5222})
    asked = {"_xmpps-client._tcp.localhost": [], "_xmpp-client._tcp.localhost": []}
    # the first of the two leads nowhere
    asked[f"{service}._tcp.localhost"] = [(1, 0, 9, "localhost"), (2, 0, port, "localhost")]

    async def scenario():
        async with name_server(monkeypatch, asked), machines((config, "laptop")) as (laptop,):
            assert laptop.recorder.connections == 1

    asyncio.run(scenario())
