"""What tests of the XMPP transport share."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol
from xml.etree import ElementTree as ET

from slixmpp import ClientXMPP

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
        """As in its health; `new` or `stopped` while it has not tried, or no longer tries, to connect."""
        health = self.transport.health
        if health.state == "offline" and health.error is None:
            return "stopped" if self.task.done() else "new"
        return health.state

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
    nothing_left(before)


def nothing_left(before: set[asyncio.Task[Any]]) -> None:
    """Fail when a task runs that is not in ``before`` (nor a proxy's)."""
    left = {task for task in asyncio.all_tasks() - before if not task.done() and task.get_name() != "proxy"}
    assert not left, f"tasks are left: {left}"


class Person(ClientXMPP):
    """An ordinary client, as a person uses it; use as an async context manager."""

    def __init__(self, server: Server, user: str, password: str, resource: str, priority: int = 5) -> None:
        context = ssl.create_default_context(cafile=server.ca_file)
        super().__init__(f"{user}@{server.domain}/{resource}", password, ssl_context=context)
        self.enable_direct_tls = False
        self._port = server.port
        self._priority = priority
        self._online = asyncio.get_running_loop().create_future()
        self._gone = asyncio.get_running_loop().create_future()
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.messages: list[ET.Element] = []
        self.presences: list[ET.Element] = []
        self.add_filter("in", self._note)
        self.add_event_handler("session_start", lambda _: self._online.set_result(None))
        self.add_event_handler("disconnected", lambda _: self._gone.done() or self._gone.set_result(None))

    def _note(self, stanza: Any) -> Any:
        if stanza.name in ("message", "presence"):
            getattr(self, f"{stanza.name}s").append(stanza.xml)
        return stanza

    async def __aenter__(self) -> Person:
        attempt = self.connect("127.0.0.1", self._port)
        await asyncio.wait_for(asyncio.shield(self._online), 30)
        await attempt
        self.send_presence(ppriority=self._priority)
        # it comes back to us: the server knows now that we are there
        await eventually(lambda: self.presences, "the own presence")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
        await asyncio.wait({self._gone}, timeout=5)
        self._run_out_filters.cancel()
        await asyncio.wait({self._run_out_filters})

    @property
    def bodies(self) -> list[str | None]:
        return [message.findtext("{jabber:client}body") for message in self.messages]
