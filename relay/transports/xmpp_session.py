"""One XMPP session: greeting, telling, and hearing who may be believed (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from autosync.common.config import Xmpp
from autosync.common.errors import Problem

from ..announcement import Announcement, Malformed
from ..reflector.rates import Bucket
from . import xmpp_stanza
from .base import Command, Listener
from .xmpp_answers import answer, capabilities, command_result, refusal, wanted_command
from .xmpp_audience import Audience, bare
from .xmpp_channel import Channel
from .xmpp_node import Node
from .xmpp_outbox import Outbox
from .xmpp_room import Room
from .xmpp_stanza import CLIENT, Machine

if TYPE_CHECKING:
    from .xmpp_client import Connection

_log = logging.getLogger(__name__)

#: Stanzas that are listened to from one sender: so many a second, and so many at once.
RATE = 20.0
BURST = 100.0

# Senders whose rates are remembered.
_SENDERS = 256
# Commands of people that run at a time.
_COMMANDS_AT_ONCE = 4


@dataclass(slots=True)
class Memory:
    """What outlives a session."""

    outbox: Outbox = field(default_factory=Outbox)
    #: Ids of the repositories of interest.
    repositories: tuple[str, ...] = ()
    #: Repository ids by the URLs of their remotes.
    by_url: Mapping[str, set[str]] = field(default_factory=dict)
    #: What people may ask for, by name, and who besides the own account.
    commands: Mapping[str, Command] = field(default_factory=dict)
    persons: frozenset[str] = frozenset()
    dropped: int = 0
    strangers: int = 0


class Session:
    """``changed`` is called when somebody has turned up, or the state of a channel is another; ``name`` is the
    transport's."""

    def __init__(
        self,
        config: Xmpp,
        machine: Machine,
        audience: Audience,
        memory: Memory,
        listener: Listener,
        changed: Callable[[], None],
        name: str = "xmpp",
    ) -> None:
        self._name = name
        self._config = config
        self._machine = machine
        # with -1 a server gives us nothing that is for the account as such: a person's words go to the person's
        # clients, or wait for them. dvcs-autosync speaks to the account as such.
        self._priority = 0 if config.dvcs_autosync else -1
        self._memory = memory
        self._listener = listener
        self._changed = changed
        self._rates: dict[str, Bucket] = {}
        self._connection: Connection | None = None
        self._running: set[asyncio.Task[None]] = set()
        self.audience = audience
        #: The room or node through which all are told at once, when one is configured.
        self.channel: Channel | None = None

    def begin(self, connection: Connection) -> None:
        """Say who we are, and what was said a moment ago."""
        self._connection = connection
        self.audience.begin(connection.me)
        connection.say(self._presence())
        for peer in self.audience.peers:
            self._greet(peer)
        if self._config.dvcs_autosync:
            self._greet(self.audience.own)
        if self._config.room is not None:
            self.channel = Room(connection, self._config.room, self._presence, self.audience, self._on_channel)
        elif self._config.pubsub is not None:
            self.channel = Node(connection, self._config.pubsub, self.audience, self._on_channel)
        if self._direct:
            self._tell(self.audience.addresses(), self._recent())
        self._tell_ancestors(self._recent())
        self.post()

    @property
    def complete(self) -> bool:
        """Whether all that are to be told have shown up, as far as that can be known."""
        if self.channel is not None and self.channel.trouble is None:
            return self.channel.open
        return not self.audience.unmet()

    # speaking ---------------------------------------------------------------------------------------

    def announce(self, announcement: Announcement) -> None:
        """Tell everybody."""
        self._spread([announcement])
        self._tell_ancestors([announcement])

    @property
    def _direct(self) -> bool:
        """Whether addresses are told one by one. While a channel is being entered, words wait for it."""
        return self.channel is None or self.channel.trouble is not None

    def _spread(self, announcements: Sequence[Announcement]) -> None:
        if self._direct:
            self._tell(self.audience.addresses(), announcements)
        elif self.channel is not None and self.channel.open:
            for announcement in announcements:
                self._say(partial(self.channel.announcement, announcement))

    def _tell_ancestors(self, announcements: Sequence[Announcement]) -> None:
        for announcement in announcements:
            if self._config.dvcs_autosync and announcement.kind == "pushed":
                self._say(partial(xmpp_stanza.dvcs_autosync, self.audience.own, announcement))

    def post(self) -> None:
        """Send the letters that wait."""
        letters = self._memory.outbox.letters
        while letters and self._speaking():
            person, text = letters.popleft()
            self._say(partial(xmpp_stanza.letter, person, text))

    def renew(self) -> None:
        """Our repositories are others: say so to whoever had our presence."""
        self._say(self._presence)
        known = [address for address in self.audience.known() if bare(address) in self.audience.peers]
        for address in [*self.audience.peers, *known]:
            self._greet(address)
        if isinstance(self.channel, Room) and self.channel.open:
            self._greet(self.channel.us)

    def _greet(self, address: str) -> None:
        self._say(partial(self._presence, address))

    def _presence(self, to: str | None = None) -> ET.Element:
        machine = replace(self._machine, repositories=xmpp_stanza.tags(self._memory.repositories))
        return xmpp_stanza.presence(machine, self._priority, capabilities(machine, self._titles), to)

    @property
    def _titles(self) -> dict[str, str]:
        return {name: command.title for name, command in self._memory.commands.items()}

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

    def _speaking(self) -> bool:
        connection = self._connection
        return connection is not None and not connection.lost.done() and not connection.congested

    def _recent(self) -> list[Announcement]:
        return self._memory.outbox.recent(time.monotonic())

    def _on_channel(self) -> None:
        self._spread(self._recent())
        self._changed()

    # hearing ----------------------------------------------------------------------------------------

    def heard(self, stanza: ET.Element) -> None:
        """A message, presence or request came in."""
        sender = stanza.get("from") or self.audience.own
        if sender == self.audience.me:
            return
        through = self.channel is not None and self.channel.is_from(sender)
        asks = stanza.tag == f"{{{CLIENT}}}iq" and self._may_ask(sender)
        if not through and not asks and not self.audience.believes(sender):
            self._drop_stranger(sender)
            return
        if not self._permits(sender):
            self._memory.dropped += 1
            return
        try:
            if stanza.tag == f"{{{CLIENT}}}iq" and stanza.get("type") in ("get", "set"):
                self._answer(stanza)
            elif through and self.channel is not None:
                self._on_channel_stanza(self.channel, stanza)
            elif stanza.tag == f"{{{CLIENT}}}presence":
                self._on_presence(stanza)
            elif stanza.tag == f"{{{CLIENT}}}message":
                self._on_message(stanza, sender)
        except Malformed:
            self._memory.dropped += 1

    def _on_channel_stanza(self, channel: Channel, stanza: ET.Element) -> None:
        announcement = channel.read(stanza)
        if announcement is not None and not self._memory.outbox.has_said(announcement):
            self.audience.heard(stanza.get("from", ""), announcement.machine, time.time())
            self._listener.heard(announcement, self._name)

    def _on_presence(self, stanza: ET.Element) -> None:
        presence = xmpp_stanza.read_presence(stanza)
        if presence is None:
            return
        new = self.audience.saw(presence, time.time())
        if self._may_be_ancestor(presence):
            # it passes over what comes while it logs in, and shows itself again after that
            self._greet(presence.sender)
        if not new:
            return
        if presence.machine is not None and bare(presence.sender) != self.audience.own:
            # a machine of a peer can learn our address from us only
            self._greet(presence.sender)
        if self._direct and self.audience.needs_own_copy(presence.sender):
            self._tell([presence.sender], self._recent())
        self._changed()

    def _may_be_ancestor(self, presence: xmpp_stanza.Presence) -> bool:
        """Whether dvcs-autosync may be there, which believes nobody whose presence it has not had."""
        own = bare(presence.sender) == self.audience.own
        return self._config.dvcs_autosync and own and presence.available and presence.machine is None

    def _on_message(self, stanza: ET.Element, sender: str) -> None:
        announcement = xmpp_stanza.read_announcement(stanza)
        if announcement is not None:
            self.audience.heard(sender, announcement.machine, time.time())
            self._listener.heard(announcement, self._name)
        elif self._config.dvcs_autosync and not self.audience.is_machine(sender):
            url = xmpp_stanza.read_dvcs_autosync(stanza)
            if url is not None and bare(sender) == self.audience.own:
                for repository in self._memory.by_url.get(plain_url(url), {None}):
                    self._listener.look(self._name, repository)

    def _may_ask(self, sender: str) -> bool:
        return sender == self.audience.domain or bare(sender) in self._memory.persons

    def _answer(self, stanza: ET.Element) -> None:
        sender = bare(stanza.get("from") or self.audience.own)
        entitled = sender == self.audience.own or sender in self._memory.persons
        wanted = self._memory.commands.get(wanted_command(stanza) or "") if entitled else None
        if wanted is not None and len(self._running) < _COMMANDS_AT_ONCE:
            task = asyncio.create_task(self._run(stanza, wanted))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return
        if wanted is not None:
            reply = refusal(stanza, "resource-constraint")
        else:
            reply = answer(stanza, self._machine, self._titles)
        if reply is not None:
            self._say(lambda: reply)

    async def _run(self, request: ET.Element, command: Command) -> None:
        try:
            text, failed = await command.run(), False
        except Problem as problem:
            text, failed = str(problem), True
        except Exception as error:  # noqa: BLE001 - a bug in a command must not end the session
            _log.exception("the command %s failed", command.name)
            text, failed = f"a bug in autosync ({type(error).__name__}); see the relay's log", True
        self._say(lambda: command_result(request, command.name, text, failed))

    async def end(self) -> None:
        """The connection is gone: what still runs for it is cancelled."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _permits(self, sender: str) -> bool:
        """Whether a sender is below its limit: a peer with all its resources, others for themselves."""
        key = bare(sender) if bare(sender) in self.audience.peers else sender
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
        self._memory.dropped += 1
        self._memory.strangers += 1
        if self._memory.strangers == 1:
            _log.warning(
                "xmpp: %r is neither this account nor in peers, so it is not listened to; the next are only counted",
                sender[:200],
            )


def plain_url(url: str) -> str:
    """A remote's URL without what makes no difference."""
    return url.strip().rstrip("/").removesuffix(".git")
