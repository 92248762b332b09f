"""Between the fleet and the rest of the relay: who says where it is and when, and which silence is an alarm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from .announcement import Announcement
from .fleet import Fleet
from .hub import Hub
from .state import Move
from .worker import Worker

#: With `silent-after`, a machine says where it is so many times in that span.
_WORDS = 3
#: Seconds until a machine that was met just now is told where this one is: many may come at once.
_ANSWER = 0.5

#: Work beside the rest, in a task.
Aside = Callable[[Coroutine[Any, Any, None]], None]


class Vigil:
    """``alarm`` is called with a machine that has fallen silent and when it last spoke (seconds since the epoch), or
    with None when it has spoken again."""

    def __init__(
        self,
        fleet: Fleet,
        hub: Callable[[], Hub],
        workers: Callable[[], Iterable[Worker]],
        alarm: Callable[[str, float | None], None],
    ) -> None:
        self._fleet = fleet
        self._hub = hub
        self._workers = workers
        self._alarm = alarm
        self._changed = asyncio.Event()
        self._limits: dict[Path, float] = {}
        self.silent: dict[str, float] = {}

    def rested(self, worker: Worker) -> None:
        """The worker's status is another: when it is in sync, the others may know."""
        limit = worker.settings.silent_after
        if self._limits.get(worker.repo.path, 0.0) != limit:
            self._limits[worker.repo.path] = limit
            self._changed.set()
        if worker.status.name == "in sync":
            self._say(worker)

    def heard(self, announcement: Announcement, worker: Worker, aside: Aside) -> None:
        """A machine speaks of a repository."""
        path = worker.repo.path
        first = self._fleet.heard(path, announcement)
        if announcement.machine in self.silent:
            del self.silent[announcement.machine]
            self._alarm(announcement.machine, None)
        if announcement.kind == "has" and worker.repository is not None:
            aside(self._fleet.time(worker.repository, announcement))
        if first:
            asyncio.get_running_loop().call_later(_ANSWER, self._answer, worker)

    def _answer(self, worker: Worker) -> None:
        if worker.status.name == "in sync":
            self._say(worker, again=True)

    async def run(self) -> None:
        """While `silent-after` is set anywhere: say now and then where this machine is, and look who is silent."""
        while True:
            self._changed.clear()
            limits = [worker.settings.silent_after for worker in self._workers() if worker.settings.silent_after]
            try:
                async with asyncio.timeout(min(limits) / _WORDS if limits else None):
                    await self._changed.wait()
            except TimeoutError:
                for worker in self._workers():
                    if worker.settings.silent_after:
                        self._say(worker, again=True)
                self._look()

    def _look(self) -> None:
        online = [t.health.since for t in self._hub().transports if t.health.state == "online"]
        if not online:
            return  # nobody could be heard
        limits = {worker.repo.path: worker.settings.silent_after for worker in self._workers()}
        silent = self._fleet.silent(limits, min(online))
        for machine in silent.keys() - self.silent.keys():
            self._alarm(machine, silent[machine])
        for machine in self.silent.keys() - silent.keys():
            self._alarm(machine, None)
        self.silent = silent

    def _say(self, worker: Worker, *, again: bool = False) -> None:
        seen, path = worker.seen, worker.repo.path
        if seen is None or seen.upstream is None or seen.head is None or not worker.settings.announce:
            return
        # what others can know of: not what waits to be pushed
        commit = seen.tip if seen.ahead and not seen.behind and seen.tip else seen.head
        if self._fleet.to_say(path, seen.upstream.ref, commit, again=again):
            self._hub().announce(worker, Move(seen.upstream.ref, commit), "has")

    def report(self, paths: Iterable[Path]) -> list[dict[str, Any]]:
        """What is known of the machines, as in `status`."""
        return self._fleet.report(dict.fromkeys(paths), self.silent)
