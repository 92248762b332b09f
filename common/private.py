"""Keeping secrets in memory out of files: a process that holds some leaves no core dump."""

from __future__ import annotations

import resource


def keep_from_dumps() -> None:
    """From now on this process, and its children, leave no core dump. One byte is less than any core file has, and to
    the kernel it means that none is to be piped to a program either, for which no other limit holds (core(5))."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    if most != 0:
        resource.setrlimit(resource.RLIMIT_CORE, (1, most))
