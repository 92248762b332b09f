"""What is done for a repository at rest: locks of killed gits taken away, its objects packed."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from autosync.common import reflocks
from autosync.common.repository import Repository

from .act import Actor

_log = logging.getLogger(__name__)
#: Seconds between two looks whether git's objects are to be packed.
_TIDY_EVERY = 900.0


class Upkeep:
    """``due`` is when to look at locks that were too new to be judged, in monotonic seconds. ``suspect``: a git may
    have been killed here, and locks of refs may be left."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.due = math.inf
        self.suspect = True
        #: git has written objects
        self.untidy = False
        self._clock = clock
        self._tidy_from = 0.0

    async def at_rest(self, repository: Repository, actor: Actor, *, paused: bool) -> None:
        """Do what is due. Raises OSError."""
        if (self.suspect or self._clock() >= self.due) and not paused:
            await self.drop_dead_locks(repository)
        if self.untidy and self._clock() >= self._tidy_from:
            self.untidy, self._tidy_from = False, self._clock() + _TIDY_EVERY
            await actor.tidy()

    async def drop_dead_locks(self, repository: Repository) -> None:
        """Take away the locks of refs that nobody holds. Raises OSError."""
        for path in await asyncio.to_thread(reflocks.drop_dead, repository):
            _log.warning("%s: %s was left by a git that was killed, and is removed", repository.path, path)
        left = await asyncio.to_thread(reflocks.left, repository)
        self.suspect, self.due = False, self._clock() + reflocks.OLD if left else math.inf
