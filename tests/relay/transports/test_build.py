"""A transport whose secret cannot be used keeps nothing else from working."""

from __future__ import annotations

import asyncio

from autosync.common import config
from autosync.common.instance import Instance
from autosync.relay.transports.build import build
from autosync.relay.transports.unusable import Unusable
from tests.support.wait import eventually


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
