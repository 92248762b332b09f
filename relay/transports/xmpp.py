"""Announcements over XMPP: one connection for all repositories, opened again for as long as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from autosync.common.config import Xmpp

from ..announcement import Announcement, Malformed
from ..failures import Backoff, Kind
from ..reflector.rates import Bucket
from . import xmpp_login, xmpp_stanza
from .base import Health, Listener, Peer, State, Subscription
from .xmpp_audience import Audience, bare
from .xmpp_places import places
from .xmpp_stanza import CLIENT, Machine
from .xmpp_trouble import Trouble

if TYPE_CHECKING:
    from .xmpp_client import Connection

_log = logging.getLogger(__name__)

#: Stanzas that are listened to from one sender: so many a second, and so many at once.
RATE = 20.0
BURST = 100.0

# A session that held for so many seconds was a good one: the next pause is a short one.
_STEADY = 10.0
# Announcements that are said again to who turns up within so many seconds, the newest of each branch. A connection
# that died unnoticed is noticed, and replaced, within that time.
_SAID_AGAIN = 60.0
_SAID_MOST = 256
# Messages to persons that wait for a connection.
_LETTERS = 20
# Senders whose rates are remembered.
_SENDERS = 256
# Seconds that `flush` waits at most.
_FLUSH = 5.0
# Seconds that it waits for machines of peers.
_MEETING = 1.0
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
    """The transport `xmpp`.

    ``machine`` is this machine's name, ``instance`` tells instances on one machine apart, ``version`` is told to
    others.
    """

    def __init__(self, config: Xmpp, machine: str, instance: str, version: str, limits: Limits | None = None) -> None:
        self._config = config
        self._machine = Machine("".join(c if c.isprintable() else "?" for c in machine)[:64], version)
        self._limits = limits or Limits()
        # with -1 a server gives us nothing that is for the account as such: a person's words go to the person's
        # clients, or wait for them. dvcs-autosync speaks to the account as such.
        self._priority = 0 if config.dvcs_autosync else -1
        self._resource = self._given_resource = xmpp_login.resource(machine, instance)
        self._audience = Audience(config.jid, config.peers)
        self._said: dict[tuple[str, str, str], tuple[float, Announcement]] = {}
        self._rates: dict[str, Bucket] = {}
        self._letters: deque[tuple[str, str]] = deque(maxlen=_LETTERS)
        self._by_url: dict[str, set[str]] = {}
        self._listener: Listener | None = None
        self._connection: Connection | None = None
        self._health = Health("offline")
        self._changed = asyncio.Event()
        self._attempting = False
        self._dropped = 0
        self._strangers = 0

    @property
    def name(self) -> str:
        return "xmpp"

    @property
    def health(self) -> Health:
        return self._health

    @property
    def dropped(self) -> int:
        return self._dropped

    def peers(self) -> list[Peer]:
        return self._audience.machines()

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """One account hears of everything; only what dvcs-autosync says has to be put down to a repository."""
        self._by_url = {}
        for subscription in subscriptions:
            for url in subscription.urls:
                self._by_url.setdefault(_plain_url(url), set()).add(subscription.repository)

    async def run(self, listener: Listener) -> None:
        self._listener = listener
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
            self._listener = None
            self._settle()
            self._become("offline")

    def announce(self, announcement: Announcement) -> None:
        """As in Transport; besides, it is said to whoever turns up within a minute, also over the next connection."""
        now = time.monotonic()
        key = (announcement.repository, announcement.ref, announcement.kind)
        self._said.pop(key, None)
        self._said[key] = (now, announcement)
        if len(self._said) > _SAID_MOST:
            del self._said[next(iter(self._said))]
        self._tell(self._audience.addresses(), [announcement])
        if self._config.dvcs_autosync and announcement.kind == "pushed":
            self._say(partial(xmpp_stanza.dvcs_autosync, self._audience.own, announcement))

    async def flush(self) -> None:
        """As in Transport: waits until the server has dealt with all, but not for one that cannot be reached, and some
        seconds at most."""
        await asyncio.sleep(0)  # a run() that was started just now begins
        with contextlib.suppress(TimeoutError, Trouble):
            async with asyncio.timeout(_FLUSH):
                while self._connection is None and self._attempting:
                    self._changed.clear()
                    await self._changed.wait()
                await self._met()
                if self._connection is not None:
                    await self._connection.pong(_FLUSH)

    async def _met(self) -> None:
        """Machines of peers answer our greeting, if there are any; a moment is allowed for that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MEETING):
                while self._connection is not None and self._audience.unmet():
                    self._changed.clear()
                    await self._changed.wait()

    def tell(self, persons: Sequence[str], text: str) -> None:
        """As in Messenger."""
        for person in persons:
            self._letters.append((person, text))
        self._post()

    # the connection ---------------------------------------------------------------------------------

    async def _attempt(self, client: ModuleType, listener: Listener) -> Trouble:
        """Connect, and stay connected for as long as it goes; returns why it ended."""
        self._attempting = True
        try:
            self._audience = Audience(
                client.normalised(self._config.jid), [client.normalised(peer) for peer in self._config.peers]
            )
            domain = self._audience.own.partition("@")[2]
            password = await xmpp_login.password(self._config)
            context = xmpp_login.trust(self._config.ca_file)
            trouble = Trouble(f"there is no address of {domain}")
            for place in await places(self._config, domain):
                jid = f"{self._audience.own}/{self._resource}"
                connection: Connection = client.Connection(jid, password, context, self._heard)
                try:
                    await connection.open(place, self._limits.connect, self._limits.login)
                    return await self._session(connection, listener)
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

    def _settle(self) -> None:
        self._attempting = False
        self._changed.set()

    async def _session(self, connection: Connection, listener: Listener) -> Trouble:
        self._connection = connection
        self._audience.begin(connection.me)
        try:
            connection.say(xmpp_stanza.presence(self._machine, self._priority))
            for peer in self._audience.peers:
                self._greet(peer)
            if self._config.dvcs_autosync:
                self._greet(self._audience.own)
            self._tell(self._audience.addresses(), self._recent())
            self._post()
            self._become("online")
            listener.connected(self.name)
            return await self._watch(connection)
        finally:
            self._connection = None
            self._audience.end()
            self._changed.set()

    async def _watch(self, connection: Connection) -> Trouble:
        """Until the connection is lost, or the server falls silent."""
        loop = asyncio.get_running_loop()
        while not connection.lost.done():
            quiet = loop.time() - connection.heard_at
            if quiet >= self._limits.idle:
                try:
                    await connection.pong(self._limits.patience)
                except Trouble as trouble:
                    return trouble
            else:
                await asyncio.wait({connection.lost}, timeout=self._limits.idle - quiet)
        return connection.lost.result()

    async def _rest(self, seconds: float, kind: Kind) -> None:
        """Pause; when the person has to mend something, until a file that may be the reason was changed."""
        files = [file for file in (self._config.password_file, self._config.ca_file) if file is not None]
        before = _signatures(files)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _GLANCE) if kind is Kind.AUTH else left)
            if kind is Kind.AUTH and _signatures(files) != before:
                return

    def _become(self, state: State, trouble: Trouble | None = None) -> None:
        old = self._health
        error, remedy = (trouble.what, trouble.remedy) if trouble else (None, None)
        if (old.state, old.error) == (state, error):
            return
        self._health = Health(state, error, remedy, old.since if old.state == state else time.time())
        self._changed.set()
        if trouble is not None:
            _log.warning("xmpp: %s: %s", trouble.what, trouble.remedy)
        elif state == "online":
            assert self._connection is not None
            _log.info("xmpp: connected as %s", self._connection.me)

    # speaking ---------------------------------------------------------------------------------------

    def _greet(self, address: str) -> None:
        self._say(partial(xmpp_stanza.presence, self._machine, self._priority, address))

    def _tell(self, addresses: Sequence[str], announcements: Sequence[Announcement]) -> None:
        for announcement in announcements:
            for address in addresses:
                self._say(partial(xmpp_stanza.headline, address, announcement))

    def _say(self, make: Callable[[], ET.Element]) -> None:
        if self._connection is None or not self._speaking():
            return
        try:
            self._connection.say(make())
        except Malformed as error:
            _log.warning("xmpp: something is not sent: %s", error)

    def _post(self) -> None:
        while self._letters and self._speaking():
            person, text = self._letters.popleft()
            self._say(partial(xmpp_stanza.letter, person, text))

    def _speaking(self) -> bool:
        connection = self._connection
        return connection is not None and not connection.lost.done() and not connection.congested

    def _recent(self) -> list[Announcement]:
        """What was announced a moment ago: who was not there, or not known to be there, has missed it."""
        now = time.monotonic()
        self._said = {key: said for key, said in self._said.items() if now - said[0] < _SAID_AGAIN}
        return [announcement for _, announcement in self._said.values()]

    # hearing ----------------------------------------------------------------------------------------

    def _heard(self, stanza: ET.Element) -> None:
        sender = stanza.get("from") or self._audience.own
        if sender == self._audience.me:
            return
        if not self._audience.believes(sender):
            if stanza.tag == f"{{{CLIENT}}}iq" and sender == self._audience.own.partition("@")[2]:
                self._answer(stanza)
            else:
                self._drop_stranger(sender)
            return
        if not self._permits(sender):
            self._dropped += 1
            return
        try:
            if stanza.tag == f"{{{CLIENT}}}presence":
                self._on_presence(stanza)
            elif stanza.tag == f"{{{CLIENT}}}message":
                self._on_message(stanza, sender)
            else:
                self._answer(stanza)
        except Malformed:
            self._dropped += 1

    def _on_presence(self, stanza: ET.Element) -> None:
        presence = xmpp_stanza.read_presence(stanza)
        if presence is None or not self._audience.saw(presence, time.time()):
            return
        if presence.machine is not None and bare(presence.sender) != self._audience.own:
            # a machine of a peer can learn our address from us only
            self._greet(presence.sender)
        if self._audience.needs_own_copy(presence.sender):
            self._tell([presence.sender], self._recent())
        self._changed.set()

    def _on_message(self, stanza: ET.Element, sender: str) -> None:
        assert self._listener is not None
        announcement = xmpp_stanza.read_announcement(stanza)
        if announcement is not None:
            self._audience.heard(sender, announcement.machine, time.time())
            self._listener.heard(announcement, self.name)
        elif self._config.dvcs_autosync and not self._audience.is_machine(sender):
            url = xmpp_stanza.read_dvcs_autosync(stanza)
            if url is not None and bare(sender) == self._audience.own:
                for repository in self._by_url.get(_plain_url(url), {None}):
                    self._listener.look(self.name, repository)

    def _answer(self, stanza: ET.Element) -> None:
        answer = xmpp_stanza.answer(stanza, self._machine)
        if answer is not None:
            self._say(lambda: answer)

    def _permits(self, sender: str) -> bool:
        """Whether a sender is below its limit: each own machine for itself, a peer with all its resources."""
        key = sender if bare(sender) == self._audience.own else bare(sender)
        now = time.monotonic()
        bucket = self._rates.pop(key, None) or Bucket(RATE, BURST)
        self._rates[key] = bucket
        if len(self._rates) > _SENDERS:
            del self._rates[next(iter(self._rates))]
        if bucket.charge(now) == 0:
            return True
        bucket.refund()
        return False

    def _drop_stranger(self, sender: str) -> None:
        self._dropped += 1
        self._strangers += 1
        if self._strangers == 1:
            _log.warning(
                "xmpp: %r is neither this account nor in peers, so it is not listened to; the next are only counted",
                sender[:200],
            )


def _plain_url(url: str) -> str:
    """A remote's URL without what makes no difference."""
    return url.strip().rstrip("/").removesuffix(".git")


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
