"""The reflector: passes each announcement on to whoever subscribed to its channel.

One object per connection and no tasks, so that a thousand idle clients cost little. Nothing here waits for a client:
what one does not read is dropped with its connection, and one that sends too fast is read more slowly.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from . import protocol
from .connection import Connection
from .hub import Hub, LastWords
from .places import Places

_log = logging.getLogger(__name__)

#: `auto`: pace the connections that show themselves as SparkleShare's; `all`, `none`: as they say.
Pace = Literal["auto", "all", "none"]

#: Seconds between two lines to a paced connection.
PACE_INTERVAL = 1.2
#: Seconds for a TLS handshake.
_HANDSHAKE = 10.0
# Reading is cut into pieces of this size, which bounds what one client can make us hold at a time.
_RECEIVE = 8192


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all together, may use. Sizes in bytes."""

    connections: int = 4096
    #: Subscriptions of one connection.
    channels: int = 2048
    #: Subscriptions of all connections.
    subscriptions: int = 100_000
    #: What may wait to be read by one client, besides what the kernel holds.
    queue: int = 64 * 1024
    #: The last messages of all channels.
    memory: int = 4 * 1024 * 1024
    #: Allowance of a connection: tokens a second, and at once. An announcement takes ten, any other line one.
    rate: float = 200.0
    burst: float = 4000.0


@dataclass(slots=True)
class Counters:
    """What `info` tells, since the start."""

    started: float = field(default_factory=time.time)
    accepted: int = 0
    refused: int = 0
    gave_way: int = 0
    announcements: int = 0
    deliveries: int = 0
    slow: int = 0
    malformed: int = 0
    throttled: int = 0


class ReflectorServer:
    """A reflector inside an event loop. Use as an async context manager.

    Listens on ``host`` and ``port`` (0: any free one; ``host`` None: all interfaces) or on the given listening
    ``sockets``. With ``tls``, every connection has to speak TLS. Raises OSError when it cannot listen.
    """

    def __init__(
        self,
        host: str | None = "127.0.0.1",
        port: int = protocol.PORT,
        *,
        limits: Limits | None = None,
        pace: Pace = "auto",
        pace_interval: float = PACE_INTERVAL,
        tls: ssl.SSLContext | None = None,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        self.limits = limits or Limits()
        self.pace = pace
        self.pace_interval = pace_interval
        self.counters = Counters()
        self.hub: Hub[Connection] = Hub(self.limits.channels)
        self.last_words = LastWords(self.limits.memory)
        self.receive_buffer = bytearray(_RECEIVE)
        self._host = host
        self._port = port
        self._tls = tls
        self._given = sockets
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._places: Places[Connection] = Places(self.limits.connections)
        self._subscriptions: Places[Connection] = Places(self.limits.subscriptions)
        self._handshakes: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()

    async def __aenter__(self) -> ReflectorServer:
        loop = asyncio.get_running_loop()
        try:
            if not self._given:
                self._servers.append(await loop.create_server(lambda: Connection(self), self._host, self._port))
            for listener in self._given:
                self._servers.append(await loop.create_server(lambda: Connection(self), sock=listener))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in [*self._handshakes]:
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        for connection in [*self._connections]:
            connection.abort()
        if self._connections:
            await self._empty.wait()
        for server in self._servers:
            await server.wait_closed()

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as `host:port`."""
        names = [listener.getsockname() for server in self._servers for listener in server.sockets]
        return [_shown(name) for name in names]

    @property
    def port(self) -> int:
        """The port it listens on (the first one, when there are several sockets)."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Clients that are connected now."""
        return len(self._connections)

    def info(self) -> bytes:
        """The answer to `info`: lines without `!`, which no client takes for an announcement."""
        counters = self.counters
        rows = {
            "uptime": int(time.time() - counters.started),
            "connections": self.connections,
            "connections-limit": self.limits.connections,
            "channels": self.hub.channels,
            "subscriptions": self.hub.subscriptions,
            "accepted": counters.accepted,
            "refused": counters.refused,
            "gave-way": counters.gave_way,
            "announcements": counters.announcements,
            "deliveries": counters.deliveries,
            "slow-readers-dropped": counters.slow,
            "malformed": counters.malformed,
            "throttled": counters.throttled,
        }
        return "".join(f"{name}: {value}\n" for name, value in rows.items()).encode()

    def announce(self, channel: bytes, message: bytes) -> None:
        """Pass a message on to all who hear the channel."""
        self.counters.announcements += 1
        self.last_words.put(channel, message)
        line = protocol.delivery(channel, message)
        readers = self.hub.readers(channel)
        for reader in readers:
            reader.deliver(channel, line)
        self.counters.deliveries += len(readers)

    def opened(self, connection: Connection) -> bool:
        """A client connected; False when there is no room for it."""
        if not self._room(self._places, connection):
            self.counters.refused += 1
            return False
        self.counters.accepted += 1
        self._connections.add(connection)
        self._places.take(connection, connection.address)
        self._empty.clear()
        return True

    def closed(self, connection: Connection) -> None:
        """A client is gone."""
        self._connections.discard(connection)
        self._forget(connection)
        if not self._connections:
            self._empty.set()

    def subscribe(self, connection: Connection, channel: bytes) -> bool:
        """The client hears a channel; False when it did already, or there is no room."""
        if not self.hub.may_add(connection, channel) or not self._room(self._subscriptions, connection):
            return False
        self.hub.add(connection, channel)
        self._subscriptions.take(connection, connection.address)
        return True

    def unsubscribe(self, connection: Connection, channel: bytes) -> None:
        """It hears the channel no more."""
        if self.hub.remove(connection, channel):
            self._subscriptions.leave(connection, connection.address, 1)

    def _room(self, places: Places[Connection], connection: Connection) -> bool:
        """Whether there is a place for it. If all are taken, whoever has most gives way."""
        if not places.full:
            return True
        other = places.giving_way(connection.address)
        if other is None:
            return False
        self.counters.gave_way += 1
        # its place is free now, and not when the loop comes to its end
        self._forget(other)
        other.abort()
        return True

    def _forget(self, connection: Connection) -> None:
        self.hub.forget(connection)
        for places in (self._places, self._subscriptions):
            places.leave(connection, connection.address)

    @property
    def tls(self) -> bool:
        """Whether clients have to speak TLS."""
        return self._tls is not None

    def secure(self, connection: Connection, transport: asyncio.Transport) -> None:
        """Begin TLS on a new connection. It counts as a connection from the start: a stranger who never
        ends the handshake takes a place for at most some seconds."""
        task = asyncio.ensure_future(self._handshake(connection, transport))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _handshake(self, connection: Connection, transport: asyncio.Transport) -> None:
        assert self._tls is not None
        secured = None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                connection,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE,
                ssl_shutdown_timeout=_HANDSHAKE,
            )
        except OSError as error:  # ssl.SSLError, ConnectionError and TimeoutError are such
            self.counters.malformed += 1
            _log.debug("a client failed at TLS: %s", error)
            # their locals hold what OpenSSL has for the client, in a circle that is not looked for until much is waste
            traceback.clear_frames(error.__traceback__)
        finally:
            if secured is None:
                transport.abort()
                connection.connection_lost(None)
        if secured is not None:
            connection.begin(secured)


def _shown(name: object) -> str:
    if isinstance(name, tuple):
        host, port = name[0], name[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(name)
