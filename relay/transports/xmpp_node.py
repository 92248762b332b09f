"""A node of publish-subscribe (XEP-0060) as the channel of a fleet: the server passes on, and keeps the last word."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ..announcement import Announcement
from ..failures import Kind
from . import xmpp_stanza
from .xmpp_audience import Audience
from .xmpp_channel import Channel
from .xmpp_stanza import CLIENT, form, request
from .xmpp_trouble import Trouble

if TYPE_CHECKING:
    from .xmpp_client import Connection

_PUBSUB = "http://jabber.org/protocol/pubsub"
_EVENT, _OWNER = f"{_PUBSUB}#event", f"{_PUBSUB}#owner"
_SETTINGS = {
    "FORM_TYPE": f"{_PUBSUB}#node_config",
    "pubsub#access_model": "whitelist",
    "pubsub#publish_model": "publishers",
    "pubsub#persist_items": "1",
    "pubsub#max_items": "1",
    "pubsub#deliver_payloads": "1",
    "pubsub#send_last_published_item": "on_sub",
    # anything else would be stored for, or passed to, a person's client when the machine is away
    "pubsub#notification_type": "headline",
}
_ITEM = "last"


class Node(Channel):
    """``place`` is `service/node`. A node that is not there is made, for the own account and ``audience.peers``, where
    the service lets us."""

    def __init__(self, connection: Connection, place: str, audience: Audience, changed: Callable[[], None]) -> None:
        super().__init__(connection, changed)
        self._service, _, self._node = place.partition("/")
        self._audience = audience

    def __str__(self) -> str:
        return f"the node {self._node} at {self._service}"

    async def enter(self) -> None:
        condition = await self._subscribe()
        if condition == "item-not-found":
            await self._make()
            condition = await self._subscribe()
        if condition is not None:
            raise self._refused(condition, "subscribed to")

    async def check(self) -> None:
        # a subscription that is there already is left as it is
        condition = await self._subscribe()
        if condition is not None:
            raise self._refused(condition, "subscribed to")

    def is_from(self, sender: str) -> bool:
        return sender == self._service

    def announcement(self, announcement: Announcement) -> ET.Element:
        stanza = request("set", self._service, f"{{{_PUBSUB}}}pubsub")
        publish = ET.SubElement(stanza[0], f"{{{_PUBSUB}}}publish", {"node": self._node})
        item = ET.SubElement(publish, f"{{{_PUBSUB}}}item", {"id": _ITEM})
        item.append(xmpp_stanza.announcement_element(announcement))
        return stanza

    def read(self, stanza: ET.Element) -> Announcement | None:
        if stanza.tag == f"{{{CLIENT}}}iq":
            if stanza.get("type") == "error":
                # a publication was refused
                self.lose()
            return None
        items = stanza.find(f"{{{_EVENT}}}event/{{{_EVENT}}}items")
        if items is None or items.get("node") != self._node or stanza.get("type") == "error":
            return None
        item = items.find(f"{{{_EVENT}}}item")
        return None if item is None else xmpp_stanza.read_announcement(item)

    async def _subscribe(self) -> str | None:
        stanza = request("set", self._service, f"{{{_PUBSUB}}}pubsub")
        # the full address: a server passes nothing on to the bare one of clients with a negative priority
        what = {"node": self._node, "jid": self.connection.me}
        ET.SubElement(stanza[0], f"{{{_PUBSUB}}}subscribe", what)
        return await self.ask(stanza)

    async def _make(self) -> None:
        stanza = request("set", self._service, f"{{{_PUBSUB}}}pubsub")
        ET.SubElement(stanza[0], f"{{{_PUBSUB}}}create", {"node": self._node})
        ET.SubElement(stanza[0], f"{{{_PUBSUB}}}configure").append(form(_SETTINGS))
        condition = await self.ask(stanza)
        if condition == "conflict":
            return  # another machine was quicker
        if condition is not None:
            raise self._refused(condition, "made by")
        if self._audience.peers:
            stanza = request("set", self._service, f"{{{_OWNER}}}pubsub")
            listed = ET.SubElement(stanza[0], f"{{{_OWNER}}}affiliations", {"node": self._node})
            for peer in self._audience.peers:
                ET.SubElement(listed, f"{{{_OWNER}}}affiliation", {"jid": peer, "affiliation": "publisher"})
            condition = await self.ask(stanza)
            if condition is not None:
                raise self._refused(condition, "opened to peers by")

    def _refused(self, condition: str, what: str) -> Trouble:
        own = self._audience.own
        if condition in ("forbidden", "not-allowed", "not-authorized", "closed-node", "registration-required"):
            return Trouble(
                f"{self} cannot be {what} {own} ({condition})",
                f"ask whoever runs {self._service}, to make it with {own} as a publisher",
                Kind.AUTH,
            )
        return Trouble(f"{self} cannot be {what} {own} ({condition})")
