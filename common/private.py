"""Keeping secrets in memory out of files: a process that holds some leaves no core dump."""

from __future__ import annotations

import ctypes
import logging
import os

_log = logging.getLogger(__name__)
# prctl(2)
_SET_DUMPABLE = 4


def keep_from_dumps() -> None:
    """From now on this process leaves no core dump, and no other process of the user can read its memory. A limit of
    the size of core files would not do: it does not hold for those that are piped to a program (core(5))."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_SET_DUMPABLE, 0, 0, 0, 0):
        _log.debug("core dumps are still possible: %s", os.strerror(ctypes.get_errno()))
