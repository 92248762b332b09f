"""One client of the reflector: its lines, its allowance, and how fast it may be written to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING, cast

from . import places, protocol
from .rates import Bucket, Pacer

if TYPE_CHECKING:
    from .server import ReflectorServer

# What a request costs of the connection's allowance; everything else costs 1.
_ANNOUNCE_COST = 10.0
# tcp(7): a peer that vanished is noticed after idle + interval * count seconds, or when
# it leaves unacknowledged data for so long (milliseconds).
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 120), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))
_USER_TIMEOUT = 60_000


class Connection(asyncio.BufferedProtocol):
    """One client."""

    __slots__ = ("_allowance", "_greeted", "_lines", "_pacer", "_server", "_timer", "_transport", "address")

    def __init__(self, server: ReflectorServer) -> None:
        self.address = ""
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
        self.address = places.of(transport.get_extra_info("peername"))
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
        """The connection is ready: greet, and answer what came meanwhile."""
        if self._transport is None:  # lost meanwhile
            return
        self._transport = transport
        self._allowance = Bucket(self._server.limits.rate, self._server.limits.burst)
        self._server.subscribe(self, protocol.EVERYBODY)
        self._write(protocol.CONNECTED)
        if self._server.pace == "all":
            self._pace()
        self._work()

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
        if self._allowance is None:  # not ready yet
            return
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
                if server.subscribe(self, request.channel) and last is not None:
                    self.deliver(request.channel, protocol.delivery(request.channel, last))
            case "unsubscribe":
                server.unsubscribe(self, request.channel)
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
            self._pace()

    def _pace(self) -> None:
        # when the last line went out is not known, so it was just now
        now = asyncio.get_running_loop().time()
        self._pacer = Pacer(self._server.pace_interval, self._server.limits.queue, now)

    def _unpace(self) -> None:
        pacer, self._pacer = self._pacer, None
        if pacer is not None:
            for line in pacer.drain():
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
