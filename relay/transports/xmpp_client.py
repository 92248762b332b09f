"""One XMPP connection: opened, watched, closed. slixmpp is imported here, and for the login, and nowhere else.

slixmpp never comes back from a lost connection by itself, retries some failures and not others, and a client that
failed is better not used again: so each attempt gets a new one, and whoever owns it decides what follows.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any
from xml.etree import ElementTree as ET

from slixmpp import JID, ClientXMPP, InvalidJID
from slixmpp.xmlstream.stanzabase import StanzaBase

from ..failures import Kind
from .xmpp_audience import bare
from .xmpp_places import Place
from .xmpp_scram import MECHANISMS, Binding, choose
from .xmpp_stanza import CLIENT, farewell, ping
from .xmpp_trouble import Trouble, login_refused, no_mechanism, stream_ended, unreachable

# Bytes of one stanza; servers allow 256 KiB at most, ours are below 1 KiB.
_STANZA_LIMIT = 512 * 1024
# Bytes that may wait for a slow server before we say no more.
_CONGESTED = 256 * 1024
# Seconds for a stream to end in good order.
_FAREWELL = 0.3
_STREAM = "{http://etherx.jabber.org/streams}"


def normalised(address: str) -> str:
    """A bare address as servers write it (RFC 7622). Raises Trouble."""
    try:
        return str(JID(address).bare)
    except InvalidJID:
        raise Trouble(f"{address} is not an XMPP address", "correct jid or peers in [xmpp]", Kind.AUTH) from None


class Connection(ClientXMPP):
    """One attempt, and the session that comes of it. Made inside the running loop.

    ``on_stanza`` gets every message, presence and iq of the session (as an element), but for answers to own requests.
    """

    def __init__(
        self, jid: str, password: str, context: ssl.SSLContext, on_stanza: Callable[[ET.Element], None]
    ) -> None:
        super().__init__(
            jid,
            password,
            ssl_context=context,
            plugin_config={"feature_mechanisms": {"use_mechs": set(MECHANISMS), "encrypted_plain": False}},
        )
        loop = asyncio.get_running_loop()
        self._jid = jid
        self._login = self.plugin["feature_mechanisms"]
        self._login.sasl_callback = self._credentials
        self._binding: Binding | None = None
        self._on_stanza = on_stanza
        self._place: Place | None = None
        self._attempt: asyncio.Future[Any] | None = None
        self._connected = loop.create_future()
        self._online = loop.create_future()
        self._closed = loop.create_future()
        #: Set when the connection is lost, or never came to be.
        self.lost: asyncio.Future[Trouble] = loop.create_future()
        #: When the server last sent anything, on the loop's clock.
        self.heard_at = loop.time()
        self._pending = 0
        self._answers: dict[str, asyncio.Future[ET.Element]] = {}
        self._refused = ""
        self._unreachable: object = None
        # nobody is let into the person's roster by us
        self.roster.auto_authorize = None  # type: ignore[assignment]
        self.roster.auto_subscribe = False
        self.add_filter("in", self._admit)
        for event, handler in {
            "connected": self._on_connected,
            "session_start": self._on_session,
            "connection_failed": self._on_unreachable,
            "ssl_invalid_chain": self._on_bad_certificate,
            "failed_auth": self._on_refused,
            "failed_all_auth": self._on_all_refused,
            "disconnected": self._on_disconnected,
        }.items():
            self.add_event_handler(event, handler)

    @property
    def me(self) -> str:
        """Our full address, as the server gave it."""
        return str(self.boundjid.full)

    @property
    def congested(self) -> bool:
        """Whether the server takes what we send too slowly."""
        return self.transport is not None and self.transport.get_write_buffer_size() > _CONGESTED

    async def open(self, place: Place, connect_limit: float, login_limit: float) -> None:
        """Connect and log in, within so many seconds. Raises Trouble."""
        self._place = place
        self.enable_direct_tls = place.direct_tls
        self.enable_starttls = not place.direct_tls
        self._attempt = self.connect(place.address, place.port)
        await self._reached(self._connected, connect_limit, f"the XMPP server {place} does not answer")
        await self._reached(self._online, login_limit, f"the XMPP server {place} does not let us log in in time")

    async def _reached(self, stage: asyncio.Future[Any], limit: float, otherwise: str) -> None:
        either: set[asyncio.Future[Any]] = {stage, self.lost}
        await asyncio.wait(either, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if self.lost.done():
            raise self.lost.result()
        if not stage.done():
            raise Trouble(otherwise)

    def say(self, stanza: ET.Element) -> None:
        """Send a stanza."""
        self.send_xml(stanza)

    async def pong(self, limit: float) -> None:
        """Ask the server for a sign of life: when it answers, it has dealt with all that was said before.

        Raises Trouble when it does not answer in ``limit`` seconds.
        """
        await self.ask(ping(self.boundjid.host), limit, f"the XMPP server has been silent for {limit:g} seconds")

    async def ask(self, request: ET.Element, limit: float, otherwise: str | None = None) -> ET.Element:
        """Send a request (an iq with an id of its own) and return the answer, of type `result` or `error`.

        Raises Trouble, in the words ``otherwise``, when there is none in ``limit`` seconds.
        """
        identifier = request.get("id", "")
        waiter = self._answers[identifier] = asyncio.get_running_loop().create_future()
        try:
            self.say(request)
            await self._reached(waiter, limit, otherwise or f"{request.get('to')} does not answer")
            answer: ET.Element = waiter.result()
            return answer
        finally:
            del self._answers[identifier]
            waiter.cancel()

    async def close(self) -> None:
        """End the connection, in good order where the server plays along. Nothing of it is left afterwards."""
        try:
            if self._online.done() and self.transport is not None:
                self.say(farewell())
                await self.disconnect(wait=_FAREWELL)
        finally:
            self.cancel_connection_attempt()
            # without it slixmpp's sender outlives its client
            sender = self._run_out_filters
            left = [task for task in (self._attempt, sender) if task is not None]
            for task in left:
                task.cancel()
            if self.transport is not None:
                self.abort()
                left.append(self._closed)
            self._fail(Trouble("closed"))
            if left:
                await asyncio.wait(left, timeout=_FAREWELL)

    # what slixmpp tells -----------------------------------------------------------------------------

    def data_received(self, data: bytes | str) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        self._pending += len(data)
        super().data_received(data)
        if self._pending > _STANZA_LIMIT:
            self._fail(Trouble(f"the XMPP server sent a stanza of more than {_STANZA_LIMIT // 1024} KiB"))
            self.abort()

    def incoming_filter(self, xml: ET.Element) -> ET.Element:
        self._pending = 0
        return xml

    def reschedule_connection_attempt(self) -> None:
        """There is one attempt only: slixmpp's own retries would compete with the supervisor's."""
        self._fail(unreachable(str(self._place), self._unreachable))

    def connection_lost(self, exception: BaseException | None) -> None:
        super().connection_lost(exception)
        if not self._closed.done():
            self._closed.set_result(None)

    def exception(self, exception: BaseException) -> None:
        """A handler of slixmpp's stumbled over what the server sent (a malformed challenge)."""
        self._fail(
            Trouble(f"the XMPP server {self._place} does not speak XMPP as expected ({type(exception).__name__})")
        )
        self.abort()

    def _admit(self, stanza: StanzaBase) -> StanzaBase | None:
        """Only the log-in is left to slixmpp. So it keeps no roster, accepts nobody, follows no redirect."""
        xml = stanza.xml
        if xml.tag == f"{_STREAM}error":
            self._fail(stream_ended(str(stanza["condition"]), str(stanza["text"]), self._jid))
            return None
        if xml.tag == f"{_STREAM}features" and isinstance(self.socket, ssl.SSLObject) and not self.authenticated:
            self._login.use_mechs, self._binding = choose(xml, self.socket)
        if xml.tag not in (f"{{{CLIENT}}}{name}" for name in ("message", "presence", "iq")):
            return stanza
        if not self._online.done():
            return stanza if xml.tag == f"{{{CLIENT}}}iq" else None
        waiter = self._answers.get(xml.get("id", ""))
        if waiter is not None and xml.get("type") in ("result", "error") and xml.tag == f"{{{CLIENT}}}iq":
            if not waiter.done():
                waiter.set_result(xml)
        else:
            self._on_stanza(xml)
        return None

    def _credentials(self, required: Iterable[str], optional: Iterable[str]) -> dict[str, object]:
        """What a login may need, as slixmpp asks for it."""
        way, value = self._binding or Binding("", b"")
        return {
            "username": self.requested_jid.user,
            "password": self.password,
            "channel_binding": value,
            "binding_way": way,
        }

    def _on_connected(self, _: object) -> None:
        if not self._connected.done():
            self._connected.set_result(None)

    def _on_session(self, _: object) -> None:
        # slixmpp takes a refused binding for a session, and does without a login if the server does
        if not self.boundjid.resource:
            self._fail(stream_ended("conflict", "", self._jid))
            self.abort()
        elif not self.authenticated or self.boundjid.bare != self.requested_jid.bare:
            self._fail(Trouble(f"the XMPP server {self._place} gave us a session that is not {bare(self._jid)}'s"))
            self.abort()
        elif not self._online.done():
            self._online.set_result(None)

    def _on_unreachable(self, error: object) -> None:
        self._unreachable = error

    def _on_bad_certificate(self, error: object) -> None:
        self._fail(unreachable(str(self._place), error))
        self.abort()

    def _on_refused(self, stanza: Any) -> None:
        self._refused = str(stanza["condition"])

    def _on_all_refused(self, _: object) -> None:
        tied = self._binding is not None
        self._fail(login_refused(bare(self._jid), self._refused, tied) if self._refused else no_mechanism())

    def _on_disconnected(self, reason: object) -> None:
        if isinstance(reason, ssl.SSLError):
            self._fail(unreachable(str(self._place), reason))
        when = "" if self._online.done() else " during the login"
        detail = f" ({reason})" if isinstance(reason, OSError) else ""
        self._fail(Trouble(f"the XMPP server closed the connection{when}{detail}"))

    def _fail(self, trouble: Trouble) -> None:
        if not self.lost.done():
            self.lost.set_result(trouble)
