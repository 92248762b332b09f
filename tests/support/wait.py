"""Waiting on conditions with a deadline: the only way tests wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
#: Seconds. Generous, as a test machine may be busy; a passing test never waits this long.
DEADLINE = 60.0
_PAUSE = 0.01


def until(condition: Callable[[], _T], what: str, deadline: float = DEADLINE) -> _T:
    """Return the first true result of ``condition``; fail, naming ``what``, when the deadline passes."""
    end = time.monotonic() + deadline
    while True:
        if result := condition():
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:g} s in vain for: {what}")
        time.sleep(_PAUSE)


async def eventually(condition: Callable[[], _T], what: str, deadline: float = DEADLINE) -> _T:
    """The same inside an event loop."""
    end = time.monotonic() + deadline
    while True:
        if result := condition():
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:g} s in vain for: {what}")
        await asyncio.sleep(_PAUSE)
