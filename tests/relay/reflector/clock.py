"""An event loop whose clock jumps over the time in which nothing happens: hours of waiting take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

# Seconds that what was sent may take through the loopback before it counts as nothing.
_GRACE = 0.004


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(_GRACE)
        if not ready:
            self.now += timeout
        return ready


def run_jumping(body: Coroutine[Any, Any, Any]) -> None:
    """As asyncio.run, with such a loop."""
    selector = _JumpingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(body)


async def in_time(condition: Callable[[], object], seconds: float = 600.0) -> None:
    """Wait for a condition in the time of a loop that jumps."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "waited in vain"
        await asyncio.sleep(0.5)
