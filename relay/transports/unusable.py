"""A transport that cannot even be begun: its secret is unreadable, say. Everything else goes on without it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from autosync.common.errors import Problem

from ..announcement import Announcement
from .base import Attendant, Command, Health, Listener, Messenger, Peer, Resting, Subscription, Transport

_log = logging.getLogger(__name__)
#: Seconds between tries to begin. What is wrong is in a file of the person's, and mended there.
RETRY = 15.0


class Unusable:
    """Stands for the transport ``name`` until ``make`` succeeds, then passes everything on to it."""

    def __init__(self, name: str, make: Callable[[], Transport], problem: Problem, retry: float = RETRY) -> None:
        self._name = name
        self._make = make
        self._retry = retry
        self._health = Health("failed", problem.what, problem.remedy)
        self._real: Transport | None = None
        self._subscriptions: Sequence[Subscription] = ()
        self._offered: tuple[Sequence[Command], Sequence[str]] = ((), ())

    @property
    def name(self) -> str:
        return self._name

    @property
    def health(self) -> Health:
        return self._real.health if self._real else self._health

    @property
    def dropped(self) -> int:
        return self._real.dropped if self._real else 0

    async def run(self, listener: Listener) -> None:
        _log.error("%s: %s: %s", self._name, self._health.error, self._health.remedy)
        while self._real is None:
            await asyncio.sleep(self._retry)
            try:
                self._real = self._make()
            except Problem as problem:
                if problem.what != self._health.error:
                    self._health = Health("failed", problem.what, problem.remedy)
                    _log.error("%s: %s", self._name, problem)
        self._real.subscribe(self._subscriptions)
        self.offer(*self._offered)
        await self._real.run(listener)

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        self._subscriptions = subscriptions
        if self._real is not None:
            self._real.subscribe(subscriptions)

    def announce(self, announcement: Announcement) -> None:
        if self._real is not None:
            self._real.announce(announcement)

    async def flush(self) -> None:
        if self._real is not None:
            await self._real.flush()

    def peers(self) -> list[Peer]:
        return self._real.peers() if self._real else []

    # what only some transports can ------------------------------------------------------------------

    def offer(self, commands: Sequence[Command], persons: Sequence[str]) -> None:
        self._offered = (commands, persons)
        if isinstance(self._real, Attendant):
            self._real.offer(commands, persons)

    def tell(self, persons: Sequence[str], text: str) -> None:
        if isinstance(self._real, Messenger):
            self._real.tell(persons, text)

    def retry(self) -> None:
        if isinstance(self._real, Resting):
            self._real.retry()
