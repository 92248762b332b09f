"""How much is too much: rules with the clock as an argument (seconds, monotonic)."""

from __future__ import annotations


class Bucket:
    """A token bucket that may go into debt: ``burst`` at once, ``rate`` a second in the long run.

    The debt is never more than ``burst``, so that a flood is forgotten soon after it ends.
    """

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at = 0.0

    def charge(self, now: float, cost: float = 1.0) -> float:
        """Take ``cost`` tokens; returns the seconds until the debt is paid off, 0.0 when there is none."""
        level = min(self.burst, self._level + max(0.0, now - self._at) * self.rate) - cost
        self._level = max(level, -self.burst)
        self._at = now
        return max(0.0, -self._level / self.rate)

    def refund(self, cost: float = 1.0) -> None:
        """Give tokens back."""
        self._level = min(self.burst, self._level + cost)


class Pacer:
    """Spaces the lines to one reader at least ``interval`` seconds apart; the latest of a channel wins, and
    of more than ``limit`` bytes the oldest lines are dropped.

    SparkleShare's client takes one line per read and reads once a second: what comes with another line is lost.
    """

    __slots__ = ("_interval", "_limit", "_next", "_size", "_waiting")

    def __init__(self, interval: float, limit: int, now: float) -> None:
        self._interval = interval
        self._limit = limit
        self._next = now + interval
        self._size = 0
        self._waiting: dict[bytes, bytes] = {}

    def offer(self, channel: bytes, line: bytes) -> None:
        """Queue a line, in place of an earlier one of the same channel that still waits."""
        self._size += len(line) - len(self._waiting.get(channel, b""))
        self._waiting[channel] = line
        while self._size > self._limit:
            self._take()

    def due(self) -> float | None:
        """When the next line may go out, None when none waits."""
        return self._next if self._waiting else None

    def pop(self, now: float) -> bytes | None:
        """The line to send now, if there is one."""
        if not self._waiting or now < self._next:
            return None
        self._next = now + self._interval
        return self._take()

    def drain(self) -> list[bytes]:
        """All that still waits, oldest first; nothing waits afterwards."""
        return [self._take() for _ in range(len(self._waiting))]

    def _take(self) -> bytes:
        line = self._waiting.pop(next(iter(self._waiting)))
        self._size -= len(line)
        return line
