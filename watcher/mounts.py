"""An event whenever something is mounted or unmounted (proc(5), /proc/[pid]/mounts): a work tree that is mounted
over, unmounted or mounted again makes no event of inotify, or none that says when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def noticing(callback: Callable[[], None]) -> Iterator[None]:
    """Call ``callback`` on every change of the mounts while the block runs."""
    loop = asyncio.get_running_loop()
    with Path("/proc/self/mountinfo").open("rb") as table, contextlib.closing(select.epoll()) as changes:
        # the table is always readable; an epoll of its own lets only the exceptional condition through
        changes.register(table.fileno(), select.EPOLLPRI | select.EPOLLERR)

        def changed() -> None:
            changes.poll(0)
            callback()

        loop.add_reader(changes.fileno(), changed)
        try:
            yield
        finally:
            loop.remove_reader(changes.fileno())
