"""When a worker may try what: pauses after failures, the delay before a push, the poll."""

from __future__ import annotations

import random
from collections.abc import Callable

from autosync.common.config import Settings

from .failures import Backoff, Kind
from .state import Action, FastForward, Fetch, Merge, Observed, Push

#: Seconds between looks at the remote of a repository in which nothing is committed yet: without a first
#: commit there is no id by which an announcement could be known.
_UNBORN_POLL = 5.0


class Schedule:
    """All times are monotonic seconds. ``fetch_from``, ``push_from`` and ``move_from``: when the next try of
    each kind is allowed. ``next_poll``: when the remote is asked without any hint."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.next_poll = 0.0
        # the head that push_from was set for; a head not seen before has its delay
        self._head: str | None = None
        self._undelayed = True
        self.forget_pauses()

    def forget_pauses(self) -> None:
        """What was in the way may be gone: everything may be tried now."""
        self.fetch_from = self.push_from = self.move_from = 0.0
        self.fetch, self.push, self.move = (Backoff(random.random) for _ in range(3))

    def push_now(self) -> None:
        """Whatever is ahead shall be pushed without delay."""
        self._head, self._undelayed = None, True

    def merged(self) -> None:
        """A merge of ours is pushed at once: others may be at the same merge."""
        self._undelayed = True

    def fetch_in(self, seconds: float) -> None:
        """An announcement was heard: fetch after so many seconds, whatever pause was under way."""
        self.fetch_from = self._clock() + seconds

    def polled(self, seen: Observed | None, settings: Settings) -> None:
        """The remote is being asked: the next poll is a whole time away, give or take, as machines should spread."""
        unborn = seen is not None and not seen.bare and seen.head is None
        pause = min(settings.poll, _UNBORN_POLL) if unborn else settings.poll
        self.next_poll = self._clock() + pause * random.uniform(0.85, 1.15)  # noqa: S311 - hides nothing

    def observe(self, seen: Observed, settings: Settings) -> None:
        """Take note of a look: a new head starts the delay before its push."""
        if self.next_poll == 0.0:
            self.polled(seen, settings)
        if seen.head != self._head or self._undelayed:
            delay = 0.0 if self._undelayed else settings.push_delay
            self.push_from = max(self.push_from, self._clock() + delay)
            self._head, self._undelayed = seen.head, False

    def failed(self, action: Action, kind: Kind) -> None:
        """Pause before the next try of this kind of action."""
        now = self._clock()
        if isinstance(action, Fetch):
            self.fetch_from = now + self.fetch.pause(kind)
        elif isinstance(action, Push):
            self.push_from = now + self.push.pause(kind)
        else:
            self.move_from = now + self.move.pause(kind)

    def failures(self, action: Action) -> int:
        """How often in a row this kind of action has met its latest kind of trouble."""
        return (self.fetch if isinstance(action, Fetch) else self.push if isinstance(action, Push) else self.move).count

    def succeeded(self, action: Action) -> None:
        """The next failure of this kind of action starts with a short pause again."""
        if isinstance(action, Fetch):
            self.fetch.reset()
            self.fetch_from = 0.0
        elif isinstance(action, Push):
            self.push.reset()
        elif isinstance(action, (FastForward, Merge)):
            self.move.reset()
            self.move_from = 0.0
