"""When a path has settled: a pure function of events and time.

Events only mark paths; what is committed is what the disk holds then. Rules:

- A path is due when it was quiet for ``settle`` seconds and nobody has it open for writing.
- A path that never rests is due ``max_wait`` seconds after its first event, as it stands.
- A path that vanished waits a little even with ``settle`` 0: programs replace a file by moving the old
  one away and writing a new one. One that was moved inside the tree waits for its new place instead, and new
  paths wait for vanished ones, so that a move is one commit.
- While new paths keep coming in large numbers (a checkout by hand, `tar x`), all wait for the end.
- A path that a writer closes without a word of its writing is read whatever its times say: what is written through
  memory (mmap(2)) makes no event, and need not change them.

All times are seconds of one monotonic clock, given by the caller. Every operation but the last step
of `due` costs the same however many paths are marked.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

#: Seconds that a vanished path waits at least.
GRACE = 0.25
#: So many new paths inside one window are a bulk operation ...
BULK = 20
#: ... with a window of ``settle`` seconds, but at least these.
BULK_WINDOW = 0.25


# Paths that come to rest within this share of ``settle`` after one another go together.
_SOON = 0.25
# Names that programs give to a file while they write it, and replace by the real one: rsync, sed
_ON_THE_WAY = re.compile(rb"(?:^|/)(?:\..+\.[A-Za-z0-9]{6}|sed[A-Za-z0-9]{6})$")


class Kind(enum.Enum):
    """What happened to a path, as far as settling cares."""

    CREATED = enum.auto()  # made by open(2), and so open until it is closed
    WRITTEN = enum.auto()
    CLOSED = enum.auto()
    CHANGED = enum.auto()  # mode, owner or times; or found changed by a scan
    ARRIVED = enum.auto()  # moved or linked here, complete
    GONE = enum.auto()


@dataclass(slots=True)
class _Mark:
    first: float
    last: float
    new: bool
    open: bool = False
    gone: bool = False
    written: bool = False  # events of its writing came, so that its times are others than when it was read
    touches: int = 0
    rehash: bool = False
    moved_to: bytes | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Paths to commit together, each with the number of events it had then. ``rehash`` are those whose
    content may have changed although their times and size did not."""

    paths: Mapping[bytes, int]
    rehash: Collection[bytes] = ()

    def __bool__(self) -> bool:
        return bool(self.paths)


class Settling:
    """The marked paths of one repository."""

    def __init__(self, settle: float, max_wait: float) -> None:
        self.settle = settle
        self.max_wait = max_wait
        self._marks: dict[bytes, _Mark] = {}  # in the order of their first event
        self._resting: OrderedDict[bytes, _Mark] = OrderedDict()  # closed ones, in the order of their last
        self._arrivals: deque[float] = deque(maxlen=BULK)
        self._last_gone = self._previous_gone = float("-inf")
        self._read_open: set[bytes] = set()
        #: How many events there were.
        self.events = 0

    def __len__(self) -> int:
        return len(self._marks)

    def __contains__(self, path: bytes) -> bool:
        return path in self._marks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._marks)

    def mark(self, path: bytes, kind: Kind, now: float) -> None:
        """Take note of one event."""
        self.events += 1
        mark = self._marks.get(path)
        if mark is None:
            mark = self._marks[path] = _Mark(now, now, kind in (Kind.CREATED, Kind.ARRIVED))
            self._arrivals.append(now)
        mark.last = now
        mark.touches += 1
        if kind is Kind.GONE:
            mark.gone, mark.open = True, False
            if not mark.new:
                self._previous_gone, self._last_gone = self._last_gone, now
        else:
            if kind is not Kind.CHANGED:
                mark.gone, mark.moved_to = False, None
            if kind in (Kind.CREATED, Kind.WRITTEN):
                mark.open = mark.written = True
            elif kind in (Kind.CLOSED, Kind.ARRIVED):
                mark.open = False
                mark.rehash |= path in self._read_open or (kind is Kind.CLOSED and not mark.written)
                self._read_open.discard(path)
        if mark.open:
            self._resting.pop(path, None)
        else:
            self._resting[path] = mark
            self._resting.move_to_end(path)

    def moved(self, old: bytes, new: bytes) -> None:
        """``old``, marked as gone just now, is ``new`` from now on."""
        mark = self._marks.get(old)
        if mark is not None and mark.gone:
            mark.moved_to = new
            if mark.last == self._last_gone:  # explained: nobody has to wait for more
                self._last_gone = self._previous_gone

    def events_lost(self, now: float) -> None:
        """Some events never came, and what was open may be closed."""
        for path, mark in self._marks.items():
            if mark.open:
                mark.open, mark.last = False, now
                self._resting[path] = mark
        for path in list(self._read_open):
            self.mark(path, Kind.CLOSED, now)

    def due(self, now: float, everything: bool = False) -> Batch:
        """What is to be committed now; ``everything`` does not wait for anything."""
        if everything:
            return self._batch(self._marks)
        overdue = self._overdue(now)
        if not overdue and (self._bulk_end(now) > now or self._together_at() > now):
            return Batch({})
        chosen = dict.fromkeys(overdue)
        for path, mark in self._resting.items():
            if mark.last + self.settle > now:
                break
            if self._rests_at(mark) <= now:
                chosen[path] = None
        return self._batch(chosen)

    def deadline(self, now: float) -> float | None:
        """When `due` may have more to say than now, without further events; None when nothing is marked."""
        if not self._marks:
            return None
        overdue = next(iter(self._marks.values())).first + self.max_wait
        if (bulk_end := self._bulk_end(now)) > now:
            return min(overdue, bulk_end)
        return min(overdue, self._together_at())

    def done(self, batch: Batch) -> None:
        """The batch is committed, or needs no commit: forget its paths, but those touched meanwhile."""
        for path, touches in batch.paths.items():
            mark = self._marks.get(path)
            if mark is None:
                continue
            if mark.open and not mark.gone:
                self._read_open.add(path)
            if mark.touches == touches:
                del self._marks[path]
                self._resting.pop(path, None)
            else:
                # what the old events said is committed
                self._wait_anew(path, mark, mark.last)
                mark.new = mark.written = False
                mark.rehash = not mark.open  # perhaps written just after it was read, in the same tick of the clock

    def forget(self, path: bytes) -> None:
        """The path is no longer of interest."""
        self._marks.pop(path, None)
        self._resting.pop(path, None)
        self._read_open.discard(path)

    def _wait_anew(self, path: bytes, mark: _Mark, now: float) -> None:
        """Let the longest wait of a path begin now."""
        del self._marks[path]
        self._marks[path] = mark
        mark.first = now

    def _batch(self, paths: Collection[bytes]) -> Batch:
        marks = {path: self._marks[path] for path in paths}
        return Batch(
            {path: mark.touches for path, mark in marks.items()},
            {path for path, mark in marks.items() if mark.rehash},
        )

    def _overdue(self, now: float) -> list[bytes]:
        """What has waited for as long as anything may."""
        found = []
        waited = itertools.takewhile(lambda item: item[1].first + self.max_wait <= now, self._marks.items())
        for path, mark in list(waited):
            if mark.new and mark.open and _ON_THE_WAY.search(path):
                self._wait_anew(path, mark, now)
            else:
                found.append(path)
        return found

    def _together_at(self) -> float:
        """When the next closed paths may be committed: those that come to rest soon after one another go
        together, but the first waits at most twice ``settle``."""
        times: list[float] = []
        first = float("inf")
        for mark in self._resting.values():
            if mark.last + self.settle > first + self.settle:
                break
            times.append(self._rests_at(mark))
            first = min(first, times[-1])
        together = first
        for at in sorted(times):
            if at > together + self.settle * _SOON or at > first + self.settle:
                break
            together = at
        return together

    def _rests_at(self, mark: _Mark) -> float:
        """When the closed path of ``mark`` may be committed, by its own rules."""
        if mark.gone and not mark.new:
            if mark.moved_to is None:
                return mark.last + max(self.settle, GRACE)
            return max(mark.last + self.settle, self._place_rests_at(mark.moved_to))
        if mark.new and not mark.gone:
            return max(mark.last + self.settle, min(self._last_gone_settles(), mark.first + self.max_wait))
        return mark.last + self.settle

    def _last_gone_settles(self) -> float:
        return self._last_gone + max(self.settle, GRACE)

    def _place_rests_at(self, path: bytes) -> float:
        # a file moved several times leaves a chain; its length is bounded by the marks
        seen = set()
        while (mark := self._marks.get(path)) is not None and mark.gone and mark.moved_to:
            if path in seen:
                return mark.last + self.settle
            seen.add(path)
            path = mark.moved_to
        if mark is None:
            return float("-inf")
        return mark.first + self.max_wait if mark.open else self._rests_at(mark)

    def _bulk_end(self, now: float) -> float:
        window = max(self.settle, BULK_WINDOW)
        if len(self._arrivals) < BULK or self._arrivals[-1] - self._arrivals[0] > window:
            return float("-inf")
        return self._arrivals[-1] + window
