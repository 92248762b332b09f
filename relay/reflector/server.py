"""The reflector: passes each announcement on to whoever subscribed to its channel.

One object per connection and no tasks, so that a thousand idle clients cost little. Nothing here waits for a client:
what one does not read is dropped with its connection, and one that sends too fast is read more slowly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from . import protocol
from .hub import Hub, LastWords
from .rates import Bucket, Pacer

_log = logging.getLogger(__name__)

#: `auto`: pace the connections that show themselves as SparkleShare's; `all`, `none`: as they say.
Pace = Literal["auto", "all", "none"]

#: Seconds between two lines to a paced connection.
PACE_INTERVAL = 1.2
#: Seconds for a TLS handshake.
_HANDSHAKE = 10.0
# Reading is cut into pieces of this size, which bounds what one client can make us hold at a time.
_RECEIVE = 8192
# tcp(7): a peer that vanished is noticed after idle + interval * count seconds, or when
# it leaves unacknowledged data for so long (milliseconds).
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 120), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))
_USER_TIMEOUT = 60_000
# What a request costs of the connection's allowance; everything else costs 1.
_ANNOUNCE_COST = 10.0


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
        self.hub: Hub[_Connection] = Hub(self.limits.channels, self.limits.subscriptions)
        self.last_words = LastWords(self.limits.memory)
        self.receive_buffer = bytearray(_RECEIVE)
        self._host = host
        self._port = port
        self._tls = tls
        self._given = sockets
        self._servers: list[asyncio.Server] = []
        self._connections: set[_Connection] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()

    async def __aenter__(self) -> ReflectorServer:
        loop = asyncio.get_running_loop()
        try:
            if not self._given:
                self._servers.append(await loop.create_server(lambda: _Connection(self), self._host, self._port))
            for listener in self._given:
                self._servers.append(await loop.create_server(lambda: _Connection(self), sock=listener))
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
        if channel != protocol.EVERYBODY:
            self.last_words.put(channel, message)
        line = protocol.delivery(channel, message)
        readers = self.hub.readers(channel)
        for reader in readers:
            reader.deliver(channel, line)
        self.counters.deliveries += len(readers)

    def opened(self, connection: _Connection) -> bool:
        """A client connected; False when there is no room for it."""
        if len(self._connections) >= self.limits.connections:
            self.counters.refused += 1
            return False
        self.counters.accepted += 1
        self._connections.add(connection)
        self._empty.clear()
        return True

    def closed(self, connection: _Connection) -> None:
        """A client is gone."""
        self._connections.discard(connection)
        self.hub.forget(connection)
        if not self._connections:
            self._empty.set()

    @property
    def tls(self) -> bool:
        """Whether clients have to speak TLS."""
        return self._tls is not None

    def secure(self, connection: _Connection, transport: asyncio.Transport) -> None:
        """Begin TLS on a new connection. It counts as a connection from the start: a stranger who never
        ends the handshake takes a place for at most some seconds."""
        task = asyncio.ensure_future(self._handshake(connection, transport))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _handshake(self, connection: _Connection, transport: asyncio.Transport) -> None:
        assert self._tls is not None
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport,
                connection,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE,
                ssl_shutdown_timeout=_HANDSHAKE,
            )
        except OSError as error:  # also ssl.SSLError, ConnectionError and TimeoutError
            self.counters.malformed += 1
            _log.debug("a client failed at TLS: %s", error)
            secured = None
        except asyncio.CancelledError:
            transport.abort()
            raise
        if secured is None:
            transport.abort()
            connection.connection_lost(None)
        else:
            connection.begin(secured)


class _Connection(asyncio.BufferedProtocol):
    """One client."""

    __slots__ = ("_allowance", "_greeted", "_lines", "_pacer", "_server", "_timer", "_transport")

    def __init__(self, server: ReflectorServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._lines = protocol.Lines()
        self._allowance: Bucket | None = None
        self._greeted = False
        self._pacer: Pacer | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        self._transport = transport
        if not self._server.opened(self):
            if not self._server.tls:
                transport.write(protocol.BUSY)
            transport.close()
            return
        _tune(transport.get_extra_info("socket"), self._server.limits.queue)
        if self._server.tls:
            transport.pause_reading()
            self._server.secure(self, transport)
        else:
            self.begin(transport)

    def begin(self, transport: asyncio.Transport) -> None:
        """The connection is ready: greet."""
        self._transport = transport
        now = asyncio.get_running_loop().time()
        self._allowance = Bucket(self._server.limits.rate, self._server.limits.burst, now)
        self._server.hub.add(self, protocol.EVERYBODY)
        self._write(protocol.CONNECTED)
        if self._server.pace == "all":
            self._pacer = Pacer(self._server.pace_interval, now)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._server.closed(self)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        # One buffer for all: what is in it is taken out before anybody else reads.
        return memoryview(self._server.receive_buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self._lines.feed(memoryview(self._server.receive_buffer)[:nbytes])
        self._work()

    def deliver(self, channel: bytes, line: bytes) -> None:
        """Pass a line on to this client."""
        if self._pacer is None:
            self._write(line)
        else:
            self._pacer.offer(channel, line)
            self._pump()

    def _work(self) -> None:
        """Answer all whole lines, as far as the allowance goes."""
        loop = asyncio.get_running_loop()
        while self._transport is not None and not self._transport.is_closing():
            try:
                line = self._lines.take()
            except protocol.LineTooLong:
                self._server.counters.malformed += 1
                self.abort()
                return
            if line is None:
                return
            request = protocol.parse_request(line)
            if request is None:
                self._server.counters.malformed += 1
            else:
                self._answer(request)
            assert self._allowance is not None
            cost = _ANNOUNCE_COST if request is not None and request.verb == "announce" else 1.0
            wait = self._allowance.charge(loop.time(), cost)
            if wait:
                self._server.counters.throttled += 1
                self._transport.pause_reading()
                loop.call_later(wait, self._go_on)
                return

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._work()

    def _answer(self, request: protocol.Request) -> None:
        server = self._server
        match request.verb:
            case "announce":
                server.announce(request.channel, request.message)
            case "subscribe":
                self._recognise(request.channel)
                last = server.last_words.get(request.channel)
                if server.hub.add(self, request.channel) and last is not None:
                    self.deliver(request.channel, protocol.delivery(request.channel, last))
            case "unsubscribe":
                server.hub.remove(self, request.channel)
            case "ping":
                # to a paced client any line is an answer, so that one that waits already will do
                self.deliver(b"", b"%d\n" % int(time.time()))
            case "info":
                self._write(server.info())
            case "greeting":
                self._greeted = True
                if server.pace == "auto":
                    self._unpace()

    def _recognise(self, channel: bytes) -> None:
        """SparkleShare's client never greets, and names its channels by hashes."""
        if (
            self._server.pace == "auto"
            and self._pacer is None
            and not self._greeted
            and protocol.is_sparkleshare_channel(channel)
        ):
            # what was sent last is not known, so it was a moment ago
            self._pacer = Pacer(self._server.pace_interval, asyncio.get_running_loop().time())

    def _unpace(self) -> None:
        pacer, self._pacer = self._pacer, None
        if pacer is not None:
            for line in pacer.waiting():
                self._write(line)

    def _pump(self) -> None:
        """Send the line that is due; come back when the next one is."""
        if self._pacer is None or self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        line = self._pacer.pop(loop.time())
        if line is not None:
            self._write(line)
        due = self._pacer.due()
        if due is not None:
            self._timer = loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._pump()

    def _write(self, line: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(line)
        if self._transport.get_write_buffer_size() > self._server.limits.queue:
            self._server.counters.slow += 1
            self._transport.abort()


def _tune(connection: socket.socket | None, queue: int) -> None:
    """Bound what the kernel holds for a client, and notice one that vanished."""
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # the client may be gone already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, queue)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT)


def _shown(name: object) -> str:
    if isinstance(name, tuple):
        host, port = name[0], name[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(name)
