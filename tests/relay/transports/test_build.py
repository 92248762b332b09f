"""A transport whose secret cannot be used keeps nothing else from working."""

from __future__ import annotations

import asyncio

from autosync.common import config
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.relay.transports.base import Attendant, Messenger, Resting
from autosync.relay.transports.build import build
from autosync.relay.transports.unusable import Unusable
from tests.support.wait import eventually

SEVERAL = """
[reflector]
url = "tcp://a"

[[transport]]
type = "reflector"
url = "tls://b:7"
secret-file = "secret"

[[transport]]
type = "xmpp"
jid = "rene@example.org"
password-file = "password"
"""


def test_several_transports_have_an_order_and_names_that_tell_them_apart(tmp_path):
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text("a secret of some length, for a test\n")
    file = tmp_path / "config.toml"
    file.write_text(SEVERAL)
    read, _ = config.load(file)
    assert read.transport[0].secret_file == tmp_path / "secret"
    assert read.transport[1].password_file == tmp_path / "password"
    made = build(read, Instance.of(file))
    assert [one.name for one in made] == ["reflector tcp://a", "reflector tls://b:7", "xmpp"]


def test_a_transport_that_was_mended_takes_commands_and_letters_too(tmp_path):
    words = []

    class Real:
        name = "xmpp"

        def subscribe(self, subscriptions): ...

        def offer(self, commands, persons):
            words.append(("offer", commands, persons))

        def tell(self, persons, text):
            words.append(("tell", persons, text))

        def retry(self):
            words.append("retry")

        async def run(self, listener):
            words.append("run")

    stand_in = Unusable("xmpp", Real, Problem("no password", "write one"), retry=0.0)
    assert all(isinstance(stand_in, kind) for kind in (Attendant, Messenger, Resting))
    stand_in.offer(["status"], ["rene"])
    stand_in.tell(["rene"], "lost: there is nothing yet that could carry it")
    stand_in.retry()
    asyncio.run(stand_in.run(None))
    stand_in.tell(["rene"], "hello")
    stand_in.retry()
    assert words == [("offer", ["status"], ["rene"]), "run", ("tell", ["rene"], "hello"), "retry"]


def test_a_secret_that_others_can_read_is_shown_and_mended_without_a_restart(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("a secret of some length, for a test\n")
    secret.chmod(0o644)
    file = tmp_path / "config.toml"
    file.write_text('name = "a"\n[reflector]\nurl = "tcp://127.0.0.1:1"\nsecret-file = "secret"\n')
    (transport,) = build(config.load(file)[0], Instance.of(file))
    assert isinstance(transport, Unusable)
    assert transport.name == "reflector"
    assert transport.health.state == "failed"
    assert "can be read by others" in transport.health.error
    assert transport.health.remedy == f"chmod 600 {secret}"
    transport.subscribe([])
    assert transport.peers() == []

    async def mended() -> None:
        transport._retry = 0.01
        running = asyncio.create_task(transport.run(None))
        secret.chmod(0o600)
        # nothing listens there: the real transport says so
        await eventually(lambda: "can be read" not in (transport.health.error or ""), "the transport to begin")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(mended())
