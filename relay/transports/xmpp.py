"""Announcements over XMPP: one connection for all repositories, opened again for as long as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from autosync.common.config import Xmpp

from ..announcement import Announcement
from ..failures import Backoff, Kind
from . import xmpp_login
from .base import Command, Health, Listener, Peer, State, Subscription
from .xmpp_audience import Audience
from .xmpp_places import places
from .xmpp_session import Memory, Session, plain_url
from .xmpp_stanza import Machine
from .xmpp_trouble import Trouble

if TYPE_CHECKING:
    from .xmpp_client import Connection

_log = logging.getLogger(__name__)

# A session that held for so many seconds was a good one: the next pause is a short one.
_STEADY = 10.0
# Seconds that `flush` waits at most.
_FLUSH = 5.0
# Seconds that it waits for machines of peers, and for a room or node.
_MEETING = 1.0
# Seconds in which repositories that become others count as one change.
_RENEWAL = 1.0
# Seconds between two glances at the files that a failed login may need to have corrected.
_GLANCE = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. A server that is silent for ``idle`` is asked for a sign of life and given up ``patience`` later (below
    30 together); ``connect`` and ``login`` are for one attempt at one address."""

    idle: float = 15.0
    patience: float = 10.0
    connect: float = 5.0
    login: float = 15.0


class XmppTransport:
    """The transport ``name``.

    ``machine`` is this machine's name, ``instance`` tells instances on one machine apart, ``version`` is told to
    others.
    """

    def __init__(
        self,
        config: Xmpp,
        machine: str,
        instance: str,
        version: str,
        limits: Limits | None = None,
        *,
        name: str = "xmpp",
    ) -> None:
        self._config = config
        self._name = name
        self._machine = Machine("".join(c if c.isprintable() else "?" for c in machine)[:64], version)
        self._limits = limits or Limits()
        self._resource = self._given_resource = xmpp_login.resource(machine, instance)
        self._memory = Memory()
        self._session: Session | None = None
        self._connection: Connection | None = None
        self._health = Health("offline")
        self._changed = asyncio.Event()
        self._nudge = asyncio.Event()
        self._attempting = False
        self._renewal: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def health(self) -> Health:
        channel = self._session and self._session.channel
        if self._health.state != "online" or not channel or channel.trouble is None:
            return self._health
        return Health("online", channel.trouble.what, channel.trouble.remedy, self._health.since)

    @property
    def dropped(self) -> int:
        return self._memory.dropped

    def peers(self) -> list[Peer]:
        return self._session.audience.machines(self._memory.repositories) if self._session else []

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """One account hears of everything; but what dvcs-autosync says has to be put down to a repository, and others
        are told which repositories are here."""
        by_url: dict[str, set[str]] = {}
        for subscription in subscriptions:
            for url in subscription.urls:
                by_url.setdefault(plain_url(url), set()).add(subscription.repository)
        self._memory.by_url = by_url
        repositories = tuple(dict.fromkeys(subscription.repository for subscription in subscriptions))
        if repositories != self._memory.repositories:
            self._memory.repositories = repositories
            if self._session is not None and self._renewal is None:
                # one presence for all that change together
                self._renewal = asyncio.get_running_loop().call_later(_RENEWAL, self._renew)

    def _renew(self) -> None:
        self._renewal = None
        if self._session is not None:
            self._session.renew()

    async def run(self, listener: Listener) -> None:
        pauses = Backoff(random.random)
        self._attempting = True
        self._become("connecting")
        try:
            # importing takes a quarter of a second, in which others go on
            client = await asyncio.to_thread(importlib.import_module, f"{__package__}.xmpp_client")
            # what it has to say shows in `health`; at debug level it would log whole stanzas
            logging.getLogger("slixmpp").setLevel(logging.CRITICAL)
            while True:
                began = time.monotonic()
                trouble = await self._attempt(client, listener)
                if time.monotonic() - began >= _STEADY:
                    pauses.reset()
                self._become("failed" if trouble.kind is Kind.AUTH else "offline", trouble)
                if trouble.conflict:
                    # the name stays with whoever took it, else the two would throw each other out for ever
                    self._resource = f"{self._given_resource}.{secrets.token_hex(4)}"
                await self._rest(pauses.pause(trouble.kind), trouble.kind)
        finally:
            self._settle()
            self._become("offline")

    def announce(self, announcement: Announcement) -> None:
        """As in Transport; besides, it is said to whoever turns up within a minute, also over the next connection."""
        self._memory.outbox.add(announcement, time.monotonic())
        if self._session is not None:
            self._session.announce(announcement)

    def tell(self, persons: Sequence[str], text: str) -> None:
        """As in Messenger."""
        self._memory.outbox.letters.extend((person, text) for person in persons)
        if self._session is not None:
            self._session.post()

    def offer(self, commands: Sequence[Command], persons: Sequence[str]) -> None:
        """As in Attendant."""
        self._memory.commands = {command.name: command for command in commands}
        self._memory.persons = frozenset(person.lower() for person in persons)

    def retry(self) -> None:
        """The network may be another: try again now, or see whether the connection still lives."""
        self._nudge.set()

    async def flush(self) -> None:
        """As in Transport: waits until the server has dealt with all, but not for one that cannot be reached, and some
        seconds at most."""
        await asyncio.sleep(0)  # a run() that was started just now begins
        with contextlib.suppress(TimeoutError, Trouble):
            async with asyncio.timeout(_FLUSH):
                while self._session is None and self._attempting:
                    await self._change()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_MEETING):
                        while self._session is not None and not self._session.complete:
                            await self._change()
                if self._connection is not None:
                    await self._connection.pong(_FLUSH)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _attempt(self, client: ModuleType, listener: Listener) -> Trouble:
        """Connect, and stay connected for as long as it goes; returns why it ended."""
        self._attempting = True
        try:
            own = client.normalised(self._config.jid)
            peers = [client.normalised(peer) for peer in self._config.peers]
            password = await xmpp_login.password(self._config)
            context = xmpp_login.trust(self._config.ca_file)
            domain = own.partition("@")[2]
            trouble = Trouble(f"there is no address of {domain}")
            for place in await places(self._config, domain):
                audience = Audience(own, peers)
                session = Session(
                    self._config, self._machine, audience, self._memory, listener, self._changed.set, self._name
                )
                connection: Connection = client.Connection(f"{own}/{self._resource}", password, context, session.heard)
                try:
                    await connection.open(place, self._limits.connect, self._limits.login)
                    return await self._hold(connection, session, listener)
                except Trouble as error:
                    trouble = error
                finally:
                    await connection.close()
                if trouble.kind is Kind.AUTH or trouble.conflict:
                    break
        except Trouble as error:
            return error
        finally:
            self._settle()
        return trouble

    async def _hold(self, connection: Connection, session: Session, listener: Listener) -> Trouble:
        session.begin(connection)
        self._connection, self._session = connection, session
        try:
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(session.channel.keep()) if session.channel is not None else None
                self._become("online")
                _log.info("%s: connected as %s", self._name, connection.me)
                listener.connected(self.name)
                trouble = await self._watch(connection)
                if keeper is not None:
                    keeper.cancel()
            return trouble
        finally:
            self._connection = self._session = None
            self._changed.set()
            await session.end()

    async def _watch(self, connection: Connection) -> Trouble:
        """Until the connection is lost, or the server falls silent."""
        loop = asyncio.get_running_loop()
        connection.lost.add_done_callback(lambda _: self._nudge.set())
        self._nudge.clear()
        while not connection.lost.done():
            quiet = loop.time() - connection.heard_at
            if quiet >= self._limits.idle or self._nudge.is_set():
                self._nudge.clear()
                try:
                    await connection.pong(self._limits.patience)
                except Trouble as trouble:
                    return trouble
            else:
                await self._nudged(self._limits.idle - quiet)
        return connection.lost.result()

    async def _nudged(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudge.wait()

    async def _rest(self, seconds: float, kind: Kind) -> None:
        """Pause until something may have changed: the network, or, when the person has to mend something, a file that
        may be the reason."""
        files = [file for file in (self._config.password_file, self._config.ca_file) if file is not None]
        before = _signatures(files)
        end = time.monotonic() + seconds
        self._nudge.clear()
        while (left := end - time.monotonic()) > 0:
            if kind is Kind.AUTH:
                await asyncio.sleep(min(left, _GLANCE))
                if _signatures(files) != before:
                    return
            else:
                await self._nudged(left)
                if self._nudge.is_set():
                    return

    def _settle(self) -> None:
        self._attempting = False
        self._changed.set()

    def _become(self, state: State, trouble: Trouble | None = None) -> None:
        old = self._health
        error, remedy = (trouble.what, trouble.remedy) if trouble else (None, None)
        self._health = old.then(state, error, remedy)
        if self._health is old:
            return
        self._changed.set()
        if trouble is not None:
            _log.warning("%s: %s: %s", self._name, trouble.what, trouble.remedy)


def _signatures(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    """What changes when a file is written or replaced, or its mode."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
    return found
