"""Hearing of moved branches over ssh: one connection for each server that repositories are on, with the person's own
keys and ssh settings. Nothing is announced over it, as whoever pushes to the server has told it all there is to tell.

Whether the far side has autosync is found out by asking. Where it has not, that is asked again seldom, and not worth a
word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Sequence

from ..announcement import Announcement
from ..failures import Backoff, Kind
from ..reflector.rates import Bucket
from ..remote import Place, Tracked
from ..ssh_protocol import MOST, Hello, Ping, Pong, Refused, Report, Unwatch, Watch
from .base import Health, Listener, Peer, State, Subscription
from .ssh_line import Line, Trouble

_log = logging.getLogger(__name__)

#: Seconds between two pings, by which the far side knows that somebody still listens, and seconds for an answer.
IDLE = 300.0
PATIENCE = 10.0
#: Seconds until a server that has no autosync is asked again: twice as many each time.
ABSENT = (3600.0, 86400.0)
#: What is listened to: so many lines a second, and so many at once besides the first of each branch. What comes
#: faster is read more slowly.
RATE, BURST = 20.0, 100.0

# A connection that held for so many seconds was a good one: the next pause is a short one.
_STEADY = 60.0


class SshTransport:
    """The transport ``name`` to one server."""

    def __init__(
        self, place: Place, name: str, *, idle: float = IDLE, patience: float = PATIENCE, absent: float = ABSENT[0]
    ) -> None:
        self.place = place
        self._name = name
        self._idle = idle
        self._patience = patience
        self._absent = absent
        self._wanted: dict[Tracked, list[str]] = {}
        self._numbers: dict[Tracked, int] = {}
        self._places: dict[int, Tracked] = {}
        self._next = 0
        self._refused: set[int] = set()
        self._line: Line | None = None
        self._hello: Hello | None = None
        self._heard: float | None = None
        self._health = Health("connecting", quiet=True)
        self._nudge = asyncio.Event()
        self._dropped = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def health(self) -> Health:
        return self._health

    @property
    def dropped(self) -> int:
        return self._dropped

    def peers(self) -> list[Peer]:
        if self._hello is None or self._health.state != "online":
            return []
        told = [tracked for number, tracked in self._places.items() if number not in self._refused]
        repositories = dict.fromkeys(name for tracked in told for name in self._wanted.get(tracked, ()))
        address = str(self.place)
        return [Peer(self._hello.name, address, self._heard, self._hello.version, tuple(repositories))]

    async def run(self, listener: Listener) -> None:
        pauses = Backoff(random.random)
        absences = 0
        known = False
        try:
            while True:
                began = time.monotonic()
                trouble = await self._session(listener)
                if self._health.state == "online":
                    known, absences = True, 0
                    if time.monotonic() - began >= _STEADY:
                        pauses.reset()
                if trouble.absent:
                    known = False
                    pause = min(self._absent * 2.0**absences, max(ABSENT[1], self._absent)) * random.uniform(0.5, 1)  # noqa: S311
                    absences = min(absences + 1, 16)
                else:
                    pause = pauses.pause(trouble.kind)
                self._become("failed" if trouble.kind is Kind.AUTH and known else "offline", trouble, quiet=not known)
                await self._rest(pause, trouble.absent)
        finally:
            self._become("offline", quiet=True)

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        wanted: dict[Tracked, list[str]] = {}
        for one in subscriptions:
            if one.tracked is not None and one.tracked.place == self.place and len(wanted) < MOST:
                wanted.setdefault(one.tracked, []).append(one.repository)
        self._wanted = wanted
        self._ask()

    def announce(self, announcement: Announcement) -> None:
        """Nothing: the push has told the server."""

    async def flush(self) -> None:
        """Nothing waits."""

    def retry(self) -> None:
        """As in Resting; a connection that stands is asked for a sign of life."""
        self._nudge.set()

    # ------------------------------------------------------------------------------------------------

    async def _session(self, listener: Listener) -> Trouble:
        """Connect, and stay connected for as long as it goes; returns why it ended."""
        try:
            async with Line(self.place) as line:
                self._hello = await line.hello()
                self._line = line
                self._become("online")
                self._ask()
                return await self._listen(line, listener)
        except Trouble as trouble:
            return trouble
        finally:
            self._line = None
            self._numbers.clear()
            self._places.clear()
            self._refused.clear()

    async def _listen(self, line: Line, listener: Listener) -> Trouble:
        allowance = Bucket(RATE, BURST + len(self._wanted))
        loop = asyncio.get_running_loop()
        self._nudge.clear()
        pinger = asyncio.create_task(self._ping(line))
        try:
            while True:
                answer = await line.answer()
                self._heard = time.time()
                match answer:
                    case Pong():
                        line.answered.set()
                    case Report(number, commit):
                        self._report(listener, number, commit)
                    case Refused(number, reason):
                        self._refused.add(number)
                        _log.info("%s: does not tell of %s (%s)", self._name, self._places.get(number), reason)
                    case _:
                        self._dropped += 1
                await asyncio.sleep(allowance.charge(loop.time()))
        finally:
            pinger.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pinger

    def _report(self, listener: Listener, number: int, commit: str | None) -> None:
        tracked = self._places.get(number)
        if tracked is None:  # the answer to a question that is outdated
            return
        self._refused.discard(number)
        for repository in self._wanted.get(tracked, ()):
            if commit is None:
                listener.look(self._name, repository)
            else:
                machine = str(self.place)[:64]
                listener.heard(Announcement("pushed", repository, tracked.ref, commit, machine), self._name)

    async def _ping(self, line: Line) -> None:
        """Ask for a sign of life now and then, and at a nudge; end a connection that gives none."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle):
                    await self._nudge.wait()
            self._nudge.clear()
            line.answered.clear()
            line.send(Ping())
            self._ask(again=True)
            try:
                async with asyncio.timeout(self._patience):
                    await line.answered.wait()
            except TimeoutError:
                line.kill(f"{self.place} has been silent for {self._patience:g} seconds")

    def _ask(self, again: bool = False) -> None:
        """Ask for what is wanted and not asked for yet; with ``again`` also for what was refused."""
        if self._line is None:
            return
        for tracked in self._numbers.keys() - self._wanted.keys():
            number = self._numbers.pop(tracked)
            del self._places[number]
            self._refused.discard(number)
            self._line.send(Unwatch(number))
        for tracked in self._wanted:
            if tracked not in self._numbers:
                self._next += 1
                self._numbers[tracked] = self._next
                self._places[self._next] = tracked
            elif not again or self._numbers[tracked] not in self._refused:
                continue
            self._line.send(Watch(self._numbers[tracked], tracked.path, tracked.ref))

    async def _rest(self, seconds: float, absent: bool) -> None:
        """Pause; a sign that the network is another ends it, unless the server was there and had no autosync."""
        end = time.monotonic() + seconds
        self._nudge.clear()
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._nudge.wait()
            if self._nudge.is_set() and not absent:
                return
            self._nudge.clear()

    def _become(self, state: State, trouble: Trouble | None = None, *, quiet: bool = False) -> None:
        old = self._health
        error, remedy = (trouble.what, trouble.remedy) if trouble and not quiet else (None, None)
        self._health = old.then(state, error, remedy, quiet)
        if self._health is old:
            return
        if trouble is not None and quiet:
            _log.debug("%s: %s", self._name, trouble.what)
        elif trouble is not None:
            _log.warning("%s: %s: %s", self._name, trouble.what, trouble.remedy)
        elif state == "online":
            _log.info("%s: connected", self._name)
