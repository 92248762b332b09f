"""What tests of the XMPP transport share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

from autosync.common.config import Xmpp
from autosync.relay.announcement import Announcement
from autosync.relay.transports.xmpp import Limits, XmppTransport

from .wait import eventually

#: A silent server is noticed within a second or two.
QUICK = Limits(idle=0.5, patience=1.0, connect=2.0, login=10.0)


class Server(Protocol):
    """What Prosody and ejabberd have in common here."""

    domain: str
    port: int
    tls_port: int
    ca_file: Path

    def add_account(self, user: str, password: str) -> str: ...

    def log(self) -> str: ...


def announcement(commit: str = "a" * 40, machine: str = "laptop", **fields: str) -> Announcement:
    """A well-formed announcement."""
    values = {"kind": "pushed", "repository": "notes", "ref": "refs/heads/main", **fields}
    return Announcement(**values, commit=commit, machine=machine)


class Recorder:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.announcements: list[Announcement] = []
        self.looks: list[str | None] = []
        self.connections = 0

    def heard(self, announcement: Announcement, transport: str) -> None:
        assert transport == "xmpp"
        self.announcements.append(announcement)

    def look(self, transport: str, repository: str | None = None) -> None:
        self.looks.append(repository)

    def connected(self, transport: str) -> None:
        self.connections += 1

    @property
    def commits(self) -> list[str]:
        return [a.commit for a in self.announcements]


def settings(server: Server, user: str, password: str, folder: Path, **more: Any) -> Xmpp:
    """An `[xmpp]` section for an account of the server; the account is not made."""
    file = folder / f"{user}-password"
    file.write_text(f"{password}\n")
    file.chmod(0o600)
    return Xmpp.model_validate(
        {
            "jid": f"{user}@{server.domain}",
            "password-file": str(file),
            "host": "127.0.0.1",
            "port": server.port,
            "ca-file": str(server.ca_file),
            **more,
        }
    )


class Machine:
    """A running transport, what it heard, and its task."""

    def __init__(self, config: Xmpp, name: str, limits: Limits = QUICK) -> None:
        self.recorder = Recorder()
        self.transport = XmppTransport(config, name, "default", "1.0", limits)
        self.task = asyncio.create_task(self.transport.run(self.recorder))

    @property
    def state(self) -> str:
        return self.transport.health.state

    def knows(self) -> set[str]:
        """The names of the machines it sees."""
        return {peer.name for peer in self.transport.peers()}

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@contextlib.asynccontextmanager
async def machines(*wanted: tuple[Xmpp, str], limits: Limits = QUICK) -> AsyncIterator[list[Machine]]:
    """Machines that are online; on leaving they are stopped, and nothing of them may be left."""
    before = asyncio.all_tasks()
    started = [Machine(config, name, limits) for config, name in wanted]
    try:
        for machine in started:
            await eventually(lambda m=machine: m.state == "online", "a machine to come online")
        yield started
    finally:
        for machine in started:
            await machine.stop()
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert not left, f"tasks are left: {left}"


def numbered(prefix: str) -> Iterator[str]:
    """Names that no other test uses."""
    count = 0
    while True:
        count += 1
        yield f"{prefix}{count}"
