"""Waiting on a condition that other processes bring about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

#: Seconds. Generous: a step that works takes a fraction of one, on a busy machine a few.
LIMIT = 60.0
#: Seconds between two looks, and so how exact the times of the tour are.
PAUSE = 0.004
#: The same where looking is work and the time is not shown.
LONG_PAUSE = 0.05


def wait_for(condition: Callable[[], _T], pause: float = PAUSE, limit: float = LIMIT) -> _T:
    """The first true result of ``condition``. Raises TimeoutError after ``limit`` seconds."""
    end = time.monotonic() + limit
    while not (result := condition()):
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(pause)
    return result
