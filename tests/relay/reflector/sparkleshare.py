"""How SparkleShare's 1.x client behaves on the line, as observed: its habits and its faults."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator

# One read a second, of at most so many bytes; of what a read brings, the first line counts.
_READ_PAUSE = 1.0
_READ_SIZE = 4096
_PING_AFTER = 300.0
_PONG_WITHIN = 5.0


class OldClient:
    """One client with its channels, each with a HEAD. ``fetched`` is what made it fetch: channel and message."""

    def __init__(self, port: int, heads: dict[str, str]) -> None:
        self.heads = dict(heads)
        self.fetched: list[tuple[str, str]] = []
        self.pongs = 0
        self.dead = False
        self._recent: dict[str, deque[str]] = {channel: deque(maxlen=10) for channel in heads}
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setblocking(False)

    def start(self) -> None:
        for channel in self.heads:
            self._socket.sendall(f"subscribe {channel}\n".encode())

    def push(self, channel: str, commit: str) -> None:
        """It has committed and pushed: HEAD is another, and is announced."""
        self.heads[channel] = commit
        self._recent[channel].append(commit)
        self._socket.sendall(f"announce {channel} {commit}\n".encode())

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        pinged_at: float | None = None
        while not self.dead:
            await asyncio.sleep(_READ_PAUSE)
            try:
                data = self._socket.recv(_READ_SIZE)
            except BlockingIOError:
                if pinged_at is not None and loop.time() - pinged_at > _PONG_WITHIN:
                    self.dead = True
                elif pinged_at is None and loop.time() - heard_at >= _PING_AFTER:
                    self._socket.sendall(b"ping\n")
                    pinged_at = loop.time()
                continue
            self.dead = not data or (len(data) == _READ_SIZE and b"\n" not in data)
            self.pongs += pinged_at is not None
            heard_at, pinged_at = loop.time(), None
            self._line(data.split(b"\n")[0].decode())

    def _line(self, line: str) -> None:
        channel, mark, message = line.partition("!")
        if not mark or channel not in self.heads or message in self._recent[channel] or message == self.heads[channel]:
            return
        self._recent[channel].append(message)
        self.fetched.append((channel, message))

    def close(self) -> None:
        self._socket.close()


@contextlib.asynccontextmanager
async def old_client(port: int, heads: dict[str, str]) -> AsyncIterator[OldClient]:
    client = OldClient(port, heads)
    client.start()
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        client.close()
