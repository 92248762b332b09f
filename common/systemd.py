"""Telling systemd how a service is, over the socket that it names in the environment: sd_notify(3)."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import MutableMapping

_log = logging.getLogger(__name__)
# Seconds that a message may take: systemd reads at once, and when it does not, nothing of ours is to wait for it.
_SEND_LIMIT = 1.0
#: Pings within the time that systemd grants between two: sd_watchdog_enabled(3) recommends half of it.
_PINGS = 2


class ServiceManager:
    """What started this service and wants to know how it is. Without systemd everything here does nothing.

    The variables are taken out of ``environment``: what the service starts is not the service.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        allowed = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        #: Seconds between two signs of life; None where nobody waits for them.
        self.interval: float | None = None
        self._allowed = allowed
        if self._address and allowed.isdigit() and int(allowed) and meant in ("", str(os.getpid())):
            self.interval = int(allowed) / 1e6 / _PINGS
        self._ready = False
        self._status = ""

    def ready(self, status: str) -> None:
        """The service does its work from now on; ``status`` is one line for people. May be told again."""
        if not self._ready:
            self._ready = True
            self._status = status
            self._send(f"READY=1\nSTATUS={_line(status)}")
        else:
            self.status(status)

    def status(self, status: str) -> None:
        """One line that `systemctl status` shows. The same again sends nothing."""
        if status != self._status:
            self._status = status
            self._send(f"STATUS={_line(status)}")

    def stopping(self) -> None:
        """The service ends of its own accord or as told."""
        self._send("STOPPING=1")

    async def watchdog(self) -> None:
        """Give signs of life for ever: from inside the event loop, so that one that hangs gives none.

        Until the service is ready each puts off the end of the time for its start: a first look at a large tree may
        last. The clock is the monotonic one, as systemd's: a machine that sleeps is not a service that hangs.
        """
        while self.interval is not None:
            self._send("WATCHDOG=1" if self._ready else f"WATCHDOG=1\nEXTEND_TIMEOUT_USEC={self._allowed}")
            await asyncio.sleep(self.interval)

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
                connection.settimeout(_SEND_LIMIT)
                connection.sendto(text.encode(errors="replace"), self._address)
        except OSError as error:
            _log.debug("systemd was not told %r (%s)", text, error)


def _line(text: str) -> str:
    return " ".join(text.split())


def repositories(doing: str, number: int, trouble: int) -> str:
    """A status line: what is done with how many repositories, and how many of them have trouble."""
    line = f"{doing} 1 repository" if number == 1 else f"{doing} {number} repositories"
    return f"{line}; trouble with {trouble}: see autosync status" if trouble else line
