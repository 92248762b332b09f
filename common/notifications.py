"""A client of org.freedesktop.Notifications (Desktop Notifications Specification 1.2) on the session bus.

The protocol only: what is shown when, and how often, is in `desktop.py`. Only a bus on a unix socket is talked to, as
whoever shows notices may not use the network.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

_NAME = _INTERFACE = "org.freedesktop.Notifications"
_PATH = "/org/freedesktop/Notifications"
_BUS = "org.freedesktop.DBus"
# They show the action `default`, which the specification has for a click, as one more button.
_NOT_CLICKABLE = ("Xfce Notify Daemon", "lxqt-notificationd")
#: Seconds until a bus that is ending has ended.
_LAST_WORDS = 1.0

#: What a call may raise when there is no bus, no server, or one that fails.
ERRORS = (DBusError, OSError, EOFError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person did: ``number`` is the notification's; ``action`` the key of a button, ``reply`` a text that was
    typed. Both None: it is closed (or the server has gone, and the number is 0)."""

    number: int
    action: str | None = None
    reply: str | None = None


class NotificationServer:
    """The server that the session bus knows, over one connection. ``heard`` gets what persons do, in the event loop."""

    def __init__(self, bus: MessageBus, heard: Callable[[Shown], None]) -> None:
        self._bus = bus
        self._heard = heard
        self._end = asyncio.ensure_future(self._ended())
        #: What the server can do: `actions`, `body-markup`, `inline-reply` ...
        self.capabilities: frozenset[str] = frozenset()
        #: Whether a click beside the buttons may have a meaning.
        self.clickable = True

    @classmethod
    async def connect(cls, address: str, heard: Callable[[Shown], None]) -> NotificationServer:
        """Connect and ask what the server can do. Raises one of ERRORS."""
        bus = await MessageBus(bus_address=address).connect()
        server = cls(bus, heard)
        try:
            bus.add_message_handler(server._signal)
            for rule in (
                f"type='signal',sender='{_NAME}',path='{_PATH}',interface='{_INTERFACE}'",
                f"type='signal',sender='{_BUS}',interface='{_BUS}',member='NameOwnerChanged',arg0='{_NAME}'",
            ):
                await server._call(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", "s", [rule])
            (found,) = await server._ask("GetCapabilities")
            server.capabilities = frozenset(found)
            server.clickable = (await server._ask("GetServerInformation"))[0] not in _NOT_CLICKABLE
        except BaseException:
            await server.disconnect()
            raise
        return server

    @property
    def connected(self) -> bool:
        return bool(self._bus.connected)

    async def notify(
        self,
        replaces: int,
        icon: str,
        title: str,
        body: str,
        actions: Sequence[tuple[str, str]],
        hints: Mapping[str, Variant],
        stays: bool,
    ) -> int:
        """Show a notification, in the place of the one with the number ``replaces`` (0: of none); returns its number.
        ``actions`` are pairs of key and label, ``stays``: it does not vanish by itself. Raises one of ERRORS."""
        flat = [word for pair in actions for word in pair]
        body = _escaped(body) if "body-markup" in self.capabilities else body
        arguments = ["autosync", replaces, icon, title, body, flat, dict(hints), 0 if stays else -1]
        (number,) = await self._ask("Notify", "susssasa{sv}i", arguments)
        return int(number)

    async def close_notification(self, number: int) -> None:
        """Take a notification away; one that has gone is fine."""
        with contextlib.suppress(DBusError):
            await self._ask("CloseNotification", "u", [number])

    async def show_files(self, paths: Sequence[Path], *, folders: bool) -> None:
        """Let the file manager show files in their folders, or ``folders`` themselves. Raises one of ERRORS.

        It is the bus that starts it: a file manager is not to live inside of a service.
        """
        method = "ShowFolders" if folders else "ShowItems"
        name, path = "org.freedesktop.FileManager1", "/org/freedesktop/FileManager1"
        await self._call(name, path, name, method, "ass", [[p.as_uri() for p in paths], ""])

    async def disconnect(self) -> None:
        """Let go of the bus."""
        self._heard = lambda _: None
        self._bus.disconnect()
        await asyncio.wait([self._end], timeout=_LAST_WORDS)
        self._end.cancel()

    async def _ended(self) -> None:
        """Notice that the bus has gone, with the session."""
        with contextlib.suppress(*ERRORS):
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._heard(Shown(0))

    async def _ask(self, method: str, signature: str = "", arguments: Sequence[Any] = ()) -> list[Any]:
        return await self._call(_NAME, _PATH, _INTERFACE, method, signature, arguments)

    async def _call(
        self, name: str, path: str, interface: str, method: str, signature: str, arguments: Sequence[Any]
    ) -> list[Any]:
        message = Message(
            destination=name,
            path=path,
            interface=interface,
            member=method,
            signature=signature,
            body=list(arguments),
        )
        answer: Message | None = await self._bus.call(message)
        if answer is None:
            raise ConnectionError("the session bus has ended")
        if answer.message_type is MessageType.ERROR:
            raise DBusError(answer.error_name or "", str(answer.body[0]) if answer.body else "no reason given")
        return list(answer.body)

    def _signal(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        body = message.body
        if message.member == "NameOwnerChanged" and message.interface == _BUS:
            if body[0] == _NAME and not body[2]:
                self._heard(Shown(0))
        elif message.interface == _INTERFACE and body and isinstance(body[0], int):
            if message.member == "ActionInvoked" and message.signature == "us":
                self._heard(Shown(body[0], action=body[1]))
            elif message.member == "NotificationReplied" and message.signature == "us":
                self._heard(Shown(body[0], reply=body[1]))
            elif message.member == "NotificationClosed":
                self._heard(Shown(body[0]))


def _escaped(text: str) -> str:
    """A body for a server that reads markup: file names are no markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
