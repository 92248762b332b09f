"""Waiting for something to happen in a folder: looking now and then would take time from what is measured."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

from autosync.common.inotify import CLOSE_WRITE, CREATE, MOVED_TO, Inotify


@contextlib.contextmanager
def happenings(folder: Path) -> Iterator[Callable[[], None]]:
    """Inside, a call returns when a file was made, written or moved to in the folder since the last one, and after a
    second in any case."""
    events, poll = Inotify(), select.poll()
    events.watch(os.fsencode(folder), CREATE | CLOSE_WRITE | MOVED_TO)
    poll.register(events.fileno(), select.POLLIN)

    def wait() -> None:
        poll.poll(1000)
        list(events.read())

    try:
        yield wait
    finally:
        events.close()
