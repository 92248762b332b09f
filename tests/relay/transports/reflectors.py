"""Transports that run against a reflector in the same loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from autosync.common.config import Reflector
from autosync.relay.announcement import Announcement
from autosync.relay.transports.base import Subscription
from autosync.relay.transports.reflector import ReflectorTransport
from tests.support.wait import eventually

from .listener import Recorder

ID = "5ca1ab1e" * 5
COMMIT = "c0ffee00" * 5
OTHER = "deadbeef" * 5


def announcement(commit: str = COMMIT, ref: str = "refs/heads/main", machine: str = "laptop", repository: str = ID):
    return Announcement("pushed", repository, ref, commit, machine)


def transport(port: int, machine: str = "laptop", **keys) -> ReflectorTransport:
    keys = {"url": f"tcp://127.0.0.1:{port}"} | keys
    made = ReflectorTransport(Reflector(**keys), machine, longest_pause=0.02)
    made.subscribe([Subscription(ID)])
    return made


@contextlib.asynccontextmanager
async def running(made: ReflectorTransport, online: bool = True) -> AsyncIterator[Recorder]:
    recorder = Recorder()
    before = asyncio.all_tasks()
    task = asyncio.create_task(made.run(recorder))
    try:
        if online:
            await eventually(lambda: made.health.state == "online", "the transport is online")
        yield recorder
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(1):
                await task
        # a server in the same loop may be about to learn that we are gone
        await eventually(lambda: not asyncio.all_tasks() - before, "no task is left")
