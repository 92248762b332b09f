"""A service manager for tests: the socket that systemd would listen on, and what came to it."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path

from .wait import until


class Notified:
    """Use as a context manager; ``environment`` is what systemd would give to the service."""

    def __init__(self, folder: Path, abstract: bool = False) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{folder}/notify" if abstract else str(folder / "notify"))
        self._socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": f"@{folder}/notify" if abstract else str(folder / "notify")}
        self.messages: list[str] = []

    def __enter__(self) -> Notified:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def watching(self, seconds: float, pid: int | None = None) -> dict[str, str]:
        """The environment for a service with a watchdog."""
        named = {} if pid is None else {"WATCHDOG_PID": str(pid)}
        return self.environment | {"WATCHDOG_USEC": str(int(seconds * 1e6))} | named

    def drain(self) -> list[str]:
        """All lines that have come so far."""
        while True:
            try:
                self.messages += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.messages

    def until(self, line: str) -> None:
        """Wait for a line."""
        until(lambda: line in self.drain(), f"{line!r} to come")

    def comes(self, seconds: float) -> bool:
        """Whether something comes within this time, from now on."""
        self.drain()
        return bool(select.select([self._socket], [], [], seconds)[0])


def environment(extra: dict[str, str]) -> dict[str, str]:
    """The environment of this process, and what systemd adds."""
    return dict(os.environ) | extra
