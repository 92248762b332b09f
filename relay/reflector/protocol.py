"""The line protocol of SparkleShare's notification server, as pure rules: no sockets, no clocks.

Lines end with LF and are at most LINE_LIMIT bytes long, LF included. What a client may send and what comes back
is described in docs/reflector-protocol.md. Channels and messages are bytes: the server never looks into a message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

#: The port that SparkleShare's server uses.
PORT = 1986
#: Longest line in bytes, its LF included.
LINE_LIMIT = 1024
#: Longest name of a channel in bytes.
CHANNEL_LIMIT = 128
#: Every connection hears this channel from the start.
EVERYBODY = b"all"
CONNECTED = b"debug!connected...\n"
BUSY = b"debug!busy\n"
PING = b"ping\n"
#: A client that says so can take lines as fast as they come. Other servers ignore it, as all they do not know.
GREETING = b"autosync 1\n"

_CHANNEL = re.compile(rb"[^ !\n]{1,%d}" % CHANNEL_LIMIT)
_SPARKLESHARE_CHANNEL = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")

Verb = Literal["announce", "greeting", "info", "ping", "subscribe", "unsubscribe"]


class LineTooLong(ValueError):
    """More than LINE_LIMIT bytes without an LF."""


class Lines:
    """Cuts a stream of bytes into lines. Holds what was fed and not yet taken, and nothing else."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Add what was received."""
        self._held += data

    def take(self) -> bytes | None:
        """The next whole line without its LF, or None. Raises LineTooLong."""
        end = self._held.find(b"\n", 0, LINE_LIMIT)
        if end >= 0:
            line = bytes(self._held[:end])
            del self._held[: end + 1]
            return line
        if len(self._held) >= LINE_LIMIT:
            raise LineTooLong
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for. ``channel`` and ``message`` are empty where the verb has none."""

    verb: Verb
    channel: bytes = b""
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a server passes on."""

    channel: bytes
    message: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to `ping`."""


def parse_request(line: bytes) -> Request | None:
    """What a line from a client means; None for a line that is to be ignored."""
    verb, _, rest = line.partition(b" ")
    if verb == b"announce":
        channel, _, message = rest.partition(b" ")
        return Request("announce", channel, message) if message and is_channel(channel) else None
    if verb == b"subscribe":
        return Request("subscribe", rest) if is_channel(rest) else None
    if verb == b"unsubscribe":
        return Request("unsubscribe", rest) if is_channel(rest) else None
    if line == b"ping":
        return Request("ping")
    if line == b"info":
        return Request("info")
    return Request("greeting") if verb == b"autosync" else None


def parse_answer(line: bytes) -> Delivery | Pong | None:
    """What a line from a server means; None for a line that is to be ignored."""
    channel, mark, message = line.partition(b"!")
    if mark:
        return Delivery(channel, message)
    return Pong() if line.isdigit() else None


def is_channel(name: bytes) -> bool:
    """Whether a channel can have this name."""
    return _CHANNEL.fullmatch(name) is not None


def is_sparkleshare_channel(name: bytes) -> bool:
    """Whether SparkleShare could have made this name: 40 or 64 hex digits."""
    return _SPARKLESHARE_CHANNEL.fullmatch(name) is not None


def announce(channel: bytes, message: bytes) -> bytes:
    """The line that announces."""
    return b"announce %b %b\n" % (channel, message)


def subscribe(channel: bytes) -> bytes:
    """The line that subscribes."""
    return b"subscribe %b\n" % channel


def unsubscribe(channel: bytes) -> bytes:
    """The line that ends a subscription."""
    return b"unsubscribe %b\n" % channel


def delivery(channel: bytes, message: bytes) -> bytes:
    """The line that a subscriber of ``channel`` gets."""
    return b"%b!%b\n" % (channel, message)
