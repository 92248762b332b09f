"""Who hears which channel, and what was said there last. No sockets here."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

_Reader = TypeVar("_Reader")

# What an entry of the memory costs besides its text, in bytes (two bytes objects and their place in a dict).
_ENTRY = 200


class Hub(Generic[_Reader]):
    """Subscriptions in both directions, at most ``per_reader`` each."""

    def __init__(self, per_reader: int) -> None:
        self._per_reader = per_reader
        self._readers: dict[bytes, set[_Reader]] = {}
        self._channels: dict[_Reader, set[bytes]] = {}
        self.subscriptions = 0

    @property
    def channels(self) -> int:
        """Channels that somebody hears."""
        return len(self._readers)

    def may_add(self, reader: _Reader, channel: bytes) -> bool:
        """Whether it is not subscribed yet, and has not too many."""
        own = self._channels.get(reader, ())
        return channel not in own and len(own) < self._per_reader

    def add(self, reader: _Reader, channel: bytes) -> bool:
        """Subscribe; False when it was subscribed already or has too many."""
        if not self.may_add(reader, channel):
            return False
        self._channels.setdefault(reader, set()).add(channel)
        self._readers.setdefault(channel, set()).add(reader)
        self.subscriptions += 1
        return True

    def remove(self, reader: _Reader, channel: bytes) -> bool:
        """End a subscription; False when there is none."""
        own = self._channels.get(reader)
        if own is None or channel not in own:
            return False
        own.remove(channel)
        readers = self._readers[channel]
        readers.remove(reader)
        if not readers:
            del self._readers[channel]
        self.subscriptions -= 1
        return True

    def forget(self, reader: _Reader) -> None:
        """End all subscriptions of a reader."""
        for channel in [*self._channels.get(reader, ())]:
            self.remove(reader, channel)
        self._channels.pop(reader, None)

    def readers(self, channel: bytes) -> Collection[_Reader]:
        """Who hears ``channel``. Not a copy: nothing may subscribe while it is looked through."""
        return self._readers.get(channel, ())


class LastWords:
    """The last message of each channel, within ``limit`` bytes: the longest unspoken channels are forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._messages: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, channel: bytes, message: bytes) -> None:
        """Remember a message in place of the channel's last one."""
        self._drop(channel)
        self._messages[channel] = message
        self._size += _ENTRY + len(channel) + len(message)
        while self._size > self._limit:
            self._drop(next(iter(self._messages)))

    def get(self, channel: bytes) -> bytes | None:
        """The last message of a channel."""
        return self._messages.get(channel)

    def _drop(self, channel: bytes) -> None:
        message = self._messages.pop(channel, None)
        if message is not None:
            self._size -= _ENTRY + len(channel) + len(message)
