"""Lines that are cut, slow or lossy."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from autosync.common.config import Xmpp
from autosync.relay.transports.xmpp import Limits
from tests.support import network
from tests.support.ejabberd import Ejabberd
from tests.support.network import Network
from tests.support.prosody import Prosody
from tests.support.wait import eventually
from tests.support.xmpp import Machine, announcement, machines, settings

QUICK = Limits(idle=0.5, patience=0.5, connect=1.0, login=2.0)


both_servers = pytest.mark.parametrize("make", [Prosody, Ejabberd], ids=["prosody", "ejabberd"])


@both_servers
def test_a_line_that_drops_packets_is_noticed_and_used_again(tmp_path, make):
    with Network() as net, net.at_server(), make(tmp_path, address=network.SERVER) as server:
        server.add_account("rene", "secret")
        config = settings(server, "rene", "secret", tmp_path, host=network.SERVER)

        async def scenario():
            async with machines((config, "laptop"), (config, "desk"), limits=QUICK) as (laptop, desk):
                await eventually(laptop.knows, "them to meet")
                net.drop()
                laptop.transport.announce(announcement())
                await eventually(lambda: laptop.state == desk.state == "offline", "the loss")
                # an attempt meets the silence, too
                await eventually(lambda: "answer" in laptop.transport.health.error, "a vain attempt")
                net.flow()
                await eventually(lambda: desk.recorder.commits, "what was said into the cut line")

        with net.at_client():
            asyncio.run(scenario())


@both_servers
def test_a_slow_and_lossy_line_carries(tmp_path, make):
    """100 ms each way, and one packet in a hundred is lost."""
    with Network() as net, net.at_server(), make(tmp_path, address=network.SERVER) as server:
        server.add_account("rene", "secret")
        config = settings(server, "rene", "secret", tmp_path, host=network.SERVER)
        net.flow(delay=0.1, loss=0.01)

        async def scenario():
            limits = Limits(idle=1.0, patience=5.0)
            async with machines((config, "laptop"), (config, "desk"), limits=limits) as (laptop, desk):
                await eventually(lambda: laptop.knows() and desk.knows(), "them to meet")
                before, said = net.lost, 0
                while said < 40 or net.lost < before + 2:
                    # what is more than 20 a second would not be listened to
                    for _ in range(4):
                        said += 1
                        for machine in (laptop, desk):
                            machine.transport.announce(announcement(f"{said:040x}", ref=f"refs/heads/b{said}"))
                    last = f"{said:040x}"
                    await eventually(
                        lambda last=last: last in laptop.recorder.commits and last in desk.recorder.commits, "all"
                    )
                for machine in (laptop, desk):
                    assert len(set(machine.recorder.commits)) == said
                    assert machine.recorder.connections == 1

        with net.at_client():
            asyncio.run(scenario())


@both_servers
def test_a_server_with_an_address_of_ipv6(tmp_path, make):
    with Network() as net, net.at_server(), make(tmp_path, address=network.SERVER6) as server:
        server.add_account("rene", "secret")
        config = settings(server, "rene", "secret", tmp_path, host=network.SERVER6)

        async def scenario():
            async with machines((config, "laptop"), (config, "desk")) as (laptop, desk):
                await eventually(laptop.knows, "them to meet")
                laptop.transport.announce(announcement())
                await eventually(lambda: desk.recorder.commits, "it to be heard")

        with net.at_client():
            asyncio.run(scenario())


def test_an_address_that_does_not_answer_is_given_up(tmp_path):
    """A listener whose queue is full answers no more connection requests."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):

            async def scenario():
                machine = Machine(address(tmp_path / "password", port), "laptop", QUICK)
                try:
                    await eventually(lambda: machine.state == "offline", "the failure")
                    assert "does not answer" in machine.transport.health.error
                finally:
                    await machine.stop()

            asyncio.run(scenario())


def test_stopping_during_the_login_closes_the_connection(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)

        async def scenario():
            loop = asyncio.get_running_loop()
            machine = Machine(address(tmp_path / "password", silent.getsockname()[1]), "laptop", QUICK)
            accepted, _ = await loop.sock_accept(silent)
            with accepted:
                while b"<stream" not in await loop.sock_recv(accepted, 4096):
                    pass
                await machine.stop()
                # sooner or later the end, or a reset; without it this would wait for ever
                with contextlib.suppress(ConnectionResetError):
                    while await loop.sock_recv(accepted, 4096):
                        pass

        asyncio.run(scenario())


def address(password, port) -> Xmpp:
    password.write_text("secret")
    password.chmod(0o600)
    return Xmpp.model_validate(
        {"jid": "rene@localhost", "password-file": str(password), "host": "127.0.0.1", "port": port}
    )


def test_the_next_address_is_tried(tmp_path, monkeypatch):
    from autosync.relay.transports import xmpp
    from autosync.relay.transports.xmpp_places import Place

    with Prosody(tmp_path) as server:
        server.add_account("rene", "secret")
        config = settings(server, "rene", "secret", tmp_path)

        async def places(config, domain):
            return [Place("127.0.0.1", 9, False), Place("127.0.0.1", server.tls_port, True)]

        monkeypatch.setattr(xmpp, "places", places)

        async def scenario():
            async with machines((config, "laptop")) as (laptop,):
                assert laptop.recorder.connections == 1

        asyncio.run(scenario())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_names_and_addresses(tmp_path, host):
    with Prosody(tmp_path) as server:
        server.add_account("rene", "secret")

        async def scenario():
            async with machines((settings(server, "rene", "secret", tmp_path, host=host), "laptop")) as (laptop,):
                assert laptop.recorder.connections == 1

        asyncio.run(scenario())
