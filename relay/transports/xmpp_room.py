"""A room (XEP-0045) as the channel of a team: whoever is a member hears, and is believed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ..announcement import Announcement
from ..failures import Kind
from . import xmpp_stanza
from .xmpp_audience import Audience, bare
from .xmpp_channel import ANSWER, Channel
from .xmpp_stanza import CLIENT, form, request
from .xmpp_trouble import Trouble

if TYPE_CHECKING:
    from .xmpp_client import Connection

_MUC = "http://jabber.org/protocol/muc"
_USER, _ADMIN, _OWNER = f"{_MUC}#user", f"{_MUC}#admin", f"{_MUC}#owner"
_DISCO = "http://jabber.org/protocol/disco#info"
_SELF, _CREATED = "110", "201"
_SETTINGS = {
    "FORM_TYPE": f"{_MUC}#roomconfig",
    "muc#roomconfig_membersonly": "1",
    "muc#roomconfig_persistentroom": "1",
    "muc#roomconfig_publicroom": "0",
}
# Seconds before each look at the settings: another machine may be making the room at this moment.
_BEING_MADE = (0.0, 0.5, 1.0)
# Answers to a ping of ourselves that prove that we are in (XEP-0410, section 3.2), besides a result.
_STILL_IN = ("service-unavailable", "feature-not-implemented", "item-not-found")


class Room(Channel):
    """A room that is not there is made, for members only, and ``audience.peers`` are made members where we may.

    ``presence`` makes the presence that says who we are, for an address.
    """

    def __init__(
        self,
        connection: Connection,
        room: str,
        presence: Callable[[str], ET.Element],
        audience: Audience,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(connection, changed)
        self._room = room
        self._presence = presence
        self._audience = audience
        self._nick = connection.me.partition("/")[2]
        self._entered: asyncio.Future[tuple[set[str], str]] | None = None
        audience.room = room

    def __str__(self) -> str:
        return f"the room {self._room}"

    async def enter(self) -> None:
        self._entered = asyncio.get_running_loop().create_future()
        stanza = self._presence(self.us)
        join = ET.SubElement(stanza, f"{{{_MUC}}}x")
        ET.SubElement(join, f"{{{_MUC}}}history", {"maxchars": "0", "maxstanzas": "0"})
        self.connection.say(stanza)
        try:
            async with asyncio.timeout(ANSWER):
                statuses, affiliation = await self._entered
        except TimeoutError:
            raise Trouble(f"{self} does not answer") from None
        try:
            if _CREATED in statuses:
                await self._configure()
            else:
                await self._check_members_only()
        except Trouble:
            self.connection.say(xmpp_stanza.farewell(self.us))
            raise
        if affiliation in ("owner", "admin"):
            await self._admit_peers()

    async def check(self) -> None:
        condition = await self.ask(xmpp_stanza.ping(self.us))
        if condition is not None and condition not in _STILL_IN:
            raise Trouble(f"{self} was left ({condition})")

    def is_from(self, sender: str) -> bool:
        return bare(sender) == self._room

    def announcement(self, announcement: Announcement) -> ET.Element:
        stanza = xmpp_stanza.headline(self._room, announcement)
        stanza.set("type", "groupchat")
        return stanza

    def read(self, stanza: ET.Element) -> Announcement | None:
        if stanza.tag == f"{{{CLIENT}}}presence":
            self._on_presence(stanza)
        elif stanza.get("type") == "error":
            # what we said was refused: we are not in
            self.lose()
        elif stanza.get("type") == "groupchat" and stanza.get("from") != self.us and self.open:
            return xmpp_stanza.read_announcement(stanza)
        return None

    @property
    def us(self) -> str:
        """Our address in the room."""
        return f"{self._room}/{self._nick}"

    def _on_presence(self, stanza: ET.Element) -> None:
        statuses = {status.get("code", "") for status in stanza.iterfind(f"{{{_USER}}}x/{{{_USER}}}status")}
        waiting = self._entered is not None and not self._entered.done()
        if stanza.get("type") == "error":
            if self._entered is not None and waiting:
                self._entered.set_exception(self._refused(xmpp_stanza.error_condition(stanza) or ""))
            return
        if stanza.get("from") != self.us and _SELF not in statuses:
            presence = xmpp_stanza.read_presence(stanza)
            if presence is not None:
                self._audience.saw(presence, time.time())
        elif stanza.get("type") == "unavailable":
            self.lose()
        elif self._entered is not None and waiting:
            # the server may have changed our name
            self._nick = stanza.get("from", "").partition("/")[2] or self._nick
            item = stanza.find(f"{{{_USER}}}x/{{{_USER}}}item")
            self._entered.set_result((statuses, "" if item is None else item.get("affiliation", "")))

    def _refused(self, condition: str) -> Trouble:
        if condition == "conflict":
            self._nick = f"{self._nick}.{secrets.token_hex(4)}"
            return Trouble(f"our name in {self} is taken")
        if condition in ("registration-required", "forbidden", "not-authorized"):
            own = self._audience.own
            return Trouble(f"{self} does not let {own} in ({condition})", f"make {own} a member of it", Kind.AUTH)
        if condition in ("not-allowed", "not-acceptable"):
            return Trouble(f"{self} may not be made here ({condition})", "ask whoever runs the XMPP server", Kind.AUTH)
        return Trouble(f"{self} cannot be entered ({condition})")

    async def _configure(self) -> None:
        query = request("set", self._room, f"{{{_OWNER}}}query")
        query[0].append(form(_SETTINGS))
        condition = await self.ask(query)
        if condition is not None:
            raise Trouble(f"{self} cannot be made for members only ({condition})", kind=Kind.AUTH)

    async def _check_members_only(self) -> None:
        for pause in _BEING_MADE:
            await asyncio.sleep(pause)
            answer = await self.connection.ask(request("get", self._room, f"{{{_DISCO}}}query"), ANSWER)
            features = {feature.get("var") for feature in answer.iter(f"{{{_DISCO}}}feature")}
            if "muc_membersonly" in features:
                return
        raise Trouble(f"{self} is open to everybody, and so not used", "make it members-only", Kind.AUTH)

    async def _admit_peers(self) -> None:
        for peer in self._audience.peers:
            query = request("set", self._room, f"{{{_ADMIN}}}query")
            ET.SubElement(query[0], f"{{{_ADMIN}}}item", {"affiliation": "member", "jid": peer})
            # refused for those who are more than members: fine as well
            await self.ask(query)
