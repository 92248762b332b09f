"""One connection to a reflector: opened, watched, closed. What is said over it is no concern of this module."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from autosync.common.errors import Problem

from ..reflector import protocol
from .resolver import addresses

#: Seconds for finding an address, for connecting to one, and for TLS.
_STEP = 5.0
#: Seconds for a connection to end in good order.
_FAREWELL = 0.5


class Trouble(Exception):
    """Why there is no connection; ``lasting`` when it needs the person."""

    def __init__(self, what: str, remedy: str, lasting: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a reflector is: `tcp://host:port` or `tls://host:port`, and which authority alone to trust for it."""

    url: str
    host: str
    port: int
    tls: bool
    ca_file: Path | None = None

    @classmethod
    def of(cls, url: str, ca_file: Path | None = None) -> Endpoint:
        """Raises Problem when the URL names no place."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None:
            raise Problem(f"the reflector's address {url} names no host and port", "correct url in [reflector]")
        return cls(url, host, protocol.PORT if port is None else port, parts.scheme == "tls", ca_file)

    def context(self) -> ssl.SSLContext | None:
        """How to verify the server; None without TLS. Raises Trouble."""
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Trouble(
                f"cannot use the ca-file {self.ca_file} ({_reason(error)})", "correct ca-file in [reflector]", True
            ) from error


class Link(asyncio.Protocol):
    """A connection.

    ``on_line`` gets the connection and every line that is no answer to a ping. ``on_room`` is called when writing may
    go on after ``congested`` was true. A server that says nothing for ``idle`` seconds is asked for a sign of life,
    and given up ``patience`` seconds later.
    """

    def __init__(
        self, on_line: Callable[[Link, bytes], None], on_room: Callable[[], None], idle: float, patience: float
    ) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[Trouble] = loop.create_future()
        self.congested = False
        self._loop = loop
        self._on_line = on_line
        self._on_room = on_room
        self._idle = idle
        self._patience = patience
        self._lines = protocol.Lines()
        self._transport: asyncio.Transport | None = None
        self._closed = loop.create_future()
        self._greeted = loop.create_future()
        self._pongs: set[asyncio.Future[None]] = set()
        self._heard_at = loop.time()
        self._asked_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """End the connection, in good order where the server plays along. Nothing of it is left afterwards."""
        if self._transport is None:
            return
        try:
            self._transport.close()
            async with asyncio.timeout(_FAREWELL):
                await asyncio.shield(self._closed)
        except TimeoutError:
            pass
        finally:
            if self._transport is not None:
                self._transport.abort()
        await self._closed

    def send(self, data: bytes) -> None:
        """Send whole lines."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def pong(self) -> None:
        """Ping, and wait until the server has answered (and so has dealt with all that was sent before), or is lost."""
        waiter = self._loop.create_future()
        self._pongs.add(waiter)
        self.send(protocol.PING)
        try:
            await asyncio.wait({waiter, self.lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pongs.discard(waiter)
            waiter.cancel()

    async def greeted(self) -> None:
        """Wait for the server's first line, or until it is lost. A server that has no room says so and closes; what
        is sent to it before that may cost us its word."""
        await asyncio.wait({self._greeted, self.lost}, return_when=asyncio.FIRST_COMPLETED)

    def fail(self, trouble: Trouble) -> None:
        """Give the connection up."""
        if not self.lost.done():
            self.lost.set_result(trouble)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._heard_at = self._loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if not self.lost.done():
            reason = "the server closed the connection" if exc is None else f"the connection broke ({_reason(exc)})"
            self.lost.set_result(Trouble(reason, "nothing: it is tried again"))
        self._closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._lines.feed(data)
        while not self.lost.done():
            try:
                line = self._lines.take()
            except protocol.LineTooLong:
                self.fail(
                    Trouble(
                        "the server sends lines that are too long for a reflector's",
                        "is url in [reflector] the address of a reflector, and tls:// right for it?",
                    )
                )
                return
            if line is None:
                return
            if not self._greeted.done():
                self._greeted.set_result(None)
            if isinstance(protocol.parse_answer(line), protocol.Pong):
                for waiter in self._pongs:
                    if not waiter.done():
                        waiter.set_result(None)
            else:
                self._on_line(self, line)

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        self._on_room()

    def ask(self) -> None:
        """Ask for a sign of life now."""
        if self._timer is not None and self._transport is not None:
            self._timer.cancel()
            self._watch(at_once=True)

    def _watch(self, at_once: bool = False) -> None:
        now = self._loop.time()
        if self._asked_at is not None and self._heard_at < self._asked_at:
            if now >= self._asked_at + self._patience:
                self.fail(
                    Trouble(f"the server has been silent for {now - self._heard_at:.0f} seconds", "see to the server")
                )
                return
            due = self._asked_at + self._patience
        elif at_once or now >= self._heard_at + self._idle:
            self._asked_at = now
            self.send(protocol.PING)
            due = now + self._patience
        else:
            due = self._heard_at + self._idle
        self._timer = self._loop.call_at(due, self._watch)


async def connect(endpoint: Endpoint, make: Callable[[], Link]) -> Link:
    """Open a connection to the first address of ``endpoint`` that takes one. Raises Trouble."""
    context = endpoint.context()
    trouble = Trouble(f"{endpoint.host} has no address", "correct url in [reflector]")
    for address in await _resolve(endpoint):
        try:
            async with asyncio.timeout(2 * _STEP):
                _, link = await asyncio.get_running_loop().create_connection(
                    make,
                    address,
                    endpoint.port,
                    ssl=context,
                    server_hostname=endpoint.host if context else None,
                    ssl_handshake_timeout=_STEP if context else None,
                    ssl_shutdown_timeout=_FAREWELL if context else None,
                )
        except (OSError, TimeoutError) as error:
            trouble = _explain(endpoint, error)
        else:
            return link
    raise trouble


async def _resolve(endpoint: Endpoint) -> list[str]:
    try:
        return await addresses(endpoint.host, _STEP)
    except TimeoutError:
        raise Trouble(f"no name server tells the address of {endpoint.host}", "see to the network") from None
    except OSError as error:
        raise Trouble(
            f"cannot find {endpoint.host} ({error.strerror or error})",
            "see to the network, or correct url in [reflector]",
        ) from error


def _explain(endpoint: Endpoint, error: OSError) -> Trouble:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble(
            f"the certificate of {endpoint.url} is not to be trusted ({error.verify_message})",
            "renew it, or name its authority as ca-file in [reflector]",
            lasting=True,
        )
    if isinstance(error, ssl.SSLError):
        return Trouble(
            f"{endpoint.url} does not speak TLS that we know ({_reason(error)})",
            "write tcp:// in [reflector] for a server without TLS",
        )
    if isinstance(error, ConnectionRefusedError):
        return Trouble(
            f"nothing listens on {endpoint.url}", "start autosync-reflector there, or correct url in [reflector]"
        )
    if isinstance(error, TimeoutError):
        return Trouble(f"{endpoint.url} does not answer", "see to the network and the server")
    return Trouble(f"cannot reach {endpoint.url} ({_reason(error)})", "see to the network")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
