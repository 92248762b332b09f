"""How far a piece of work is, for people: nothing for quick work, then what is done and how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

_T = TypeVar("_T")
#: Seconds of work that need no word, and between two words to somebody who waits.
QUIET, EVERY = 1.0, 0.5

# What git shows (progress.c), with or without "remote: " before it:
#   Receiving objects:  42% (420/1000), 1.20 MiB | 3.40 MiB/s
#   Enumerating objects: 17, done.
_LINE = re.compile(
    r"(?:remote: )?(?P<what>[A-Z][A-Za-z -]+): +"
    r"(?:(?P<percent>\d{1,3})% \((?P<done>\d+)/(?P<total>\d+)\)|(?P<count>\d+))"
    r"(?:, (?P<size>[\d.]+ (?:[KMGT]iB|bytes))(?: \| (?P<rate>[\d.]+ (?:[KMGT]iB|bytes)/s))?)?"
    r"(?:, done\.)?\s*"
)


def parse(line: str) -> str | None:
    """A line of git's progress as people read it: `receiving objects 42 % of 1,000, 1.20 MiB, 3.40 MiB/s`; None for any
    other line."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    what = found["what"].lower()
    if found["percent"]:
        what = f"{what} {found['percent']} % of {int(found['total']):,}"
    else:
        what = f"{what} {int(found['count']):,}"
    return ", ".join(filter(None, (what, found["size"], found["rate"])))


class Meter:
    """The work of one repository at this moment. ``clock`` is in monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._what: str | None = None
        self._began = 0.0
        self._detail: Callable[[], str | None] = lambda: None
        self._said = ""

    @contextlib.contextmanager
    def during(self, what: str, detail: Callable[[], str | None] = lambda: None) -> Iterator[None]:
        """Inside the block some work is done; ``detail`` is asked how far it is when somebody wants to know."""
        self._what, self._began, self._detail, self._said = what, self._clock(), detail, ""
        try:
            yield
        finally:
            self._what = None

    def said(self, line: str) -> None:
        """What git says of the work at hand."""
        self._said = line

    @property
    def text(self) -> str | None:
        """`pushing to origin: writing objects 42 % of 1,000, 1.20 MiB, 3.40 MiB/s`; None without work, and for its
        first second."""
        seconds = self._clock() - self._began
        if self._what is None or seconds < QUIET:
            return None
        known = parse(self._said) or self._detail()
        return f"{self._what}: {known}" if known else f"{self._what}, {seconds:.0f} s"


async def accompanied(work: Awaitable[_T], look: Callable[[], None]) -> _T:
    """The result of ``work``; ``look`` is called now and then while it goes on. Cancelling cancels the work."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=EVERY)
            if not task.done():
                look()
    finally:
        task.cancel()
    return task.result()
