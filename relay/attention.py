"""How much others can make one repository work: a look a second, and more only while hints prove true."""

from __future__ import annotations

import asyncio
from typing import Protocol

from .announcement import Announcement
from .reflector.rates import Bucket

#: Seconds between two looks that others ask for.
INTERVAL = 1.0
#: Announcements that are looked into, as to whether their commit is here already: so many a second, so many at once.
RATE, BURST = 20.0, 40.0
# Hints that wait for their look; of more, the look alone is left.
_WAITING = 8

#: Something is said of a repository: an announcement, or (None) only that it is worth a look.
Hint = Announcement | None


class Listening(Protocol):
    """The worker of a repository, as far as hints go."""

    def heard(self, announcement: Announcement) -> bool: ...

    def fetch_hint(self) -> None: ...

    @property
    def news(self) -> object:
        """Another value means that a look has found something."""


class Attention:
    """For one repository.

    The first hint is taken in at once. Those that follow within INTERVAL wait, and one look is for all of them; but
    when the last look has found something, they are taken in at once, too: machines that really push more often than
    once a second are heard without delay.
    """

    def __init__(self, worker: Listening) -> None:
        self.worker = worker
        self._news = worker.news
        self._allowance = Bucket(RATE, BURST)
        self._closed_until = 0.0
        self._waiting: dict[Hint, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def hear(self, hint: Hint) -> None:
        """Take in a hint now, or when it is its time. Costs next to nothing in a flood."""
        if self._timer is not None:
            self._wait(hint)
            return
        now = asyncio.get_running_loop().time()
        if now < self._closed_until or self._allowance.charge(now):
            self._wait(hint)
            self._timer = asyncio.get_running_loop().call_at(max(self._closed_until, now + INTERVAL / 2), self._open)
        else:
            self._take([hint])

    def changed(self) -> None:
        """The repository may have news: what waits need not wait longer if so."""
        if self.worker.news == self._news:
            return
        self._news = self.worker.news
        self._closed_until = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._open()

    def _work(self, hint: Hint) -> bool:
        if hint is not None:
            return self.worker.heard(hint)
        self.worker.fetch_hint()
        return True

    def close(self) -> None:
        """Forget what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()

    def _wait(self, hint: Hint) -> None:
        if len(self._waiting) < _WAITING:
            self._waiting[hint] = None
        else:
            self._waiting = {None: None}

    def _open(self) -> None:
        self._timer = None
        hints, self._waiting = list(self._waiting), {}
        self._take(hints)

    def _take(self, hints: list[Hint]) -> None:
        # all are taken in: each may name a machine to fetch from
        worked = [self._work(hint) for hint in hints]
        if any(worked):
            self._news = self.worker.news
            self._closed_until = asyncio.get_running_loop().time() + INTERVAL
