"""Those who asked for a commit now (`autosync sync`), and wait for what comes of it."""

from __future__ import annotations

import asyncio

from autosync.common.errors import Problem

from .commit import Outcome


class Waiting:
    """The waiting ones of one repository."""

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[Outcome]] = []

    def __bool__(self) -> bool:
        return bool(self._futures)

    def join(self) -> asyncio.Future[Outcome]:
        """Wait, too: a future of what comes of it."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        return future

    def take(self) -> Waiting:
        """Those who wait now; whoever comes later waits for the next commit."""
        taken = Waiting()
        taken._futures, self._futures = self._futures, []
        return taken

    def answer(self, answer: Outcome | Problem) -> None:
        """Tell all of them."""
        for future in self.take()._futures:
            if future.done():
                continue
            if isinstance(answer, Problem):
                future.set_exception(answer)
            else:
                future.set_result(answer)
