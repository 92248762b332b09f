"""Giving memory back that a busy moment has used: a service rests nearly always."""

from __future__ import annotations

import contextlib
import ctypes

# mallopt(3), where the C library has it
_TRIM_THRESHOLD, _ARENA_MAX = -1, -8
_KEPT = 64 * 1024
_ARENAS = 2


def keep_little() -> None:
    """From now on what is freed goes back to the system sooner, and threads share what is allocated for them."""
    with contextlib.suppress(AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
        library.mallopt(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Give back now what is free, wherever it lies (malloc_trim(3))."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
