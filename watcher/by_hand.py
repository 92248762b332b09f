"""What a person has staged: how long it has been so, and how long the watcher waits for their commit."""

from __future__ import annotations

from collections.abc import Collection

from autosync.common.rawdiff import Row

from . import message
from .courtesy import Hold, Mark

# git writes the index a moment before HEAD when it switches: that moment looks like staged changes
_LEAST_HOLD = 2.0
# After `staged-hold` the rest is committed; the staged files themselves after so many times that.
_FORGOTTEN = 10


class ByHand:
    """Of one repository. ``hold``: for how many seconds all waits for the person; times are monotonic seconds."""

    def __init__(self, hold: float) -> None:
        self._hold = max(hold, _LEAST_HOLD)
        self._since: tuple[frozenset[Row], float] | None = None
        #: Where nothing is staged.
        self.clean: Mark | None = None

    def none(self, mark: Mark) -> None:
        """At ``mark`` nothing is staged."""
        self.clean = mark
        self._since = None

    def hold(self, staged: Collection[Row], now: float) -> Hold | None:
        """Whether to wait for the person who staged something."""
        unmerged = [row.path for row in staged if row.status == b"U"]
        if unmerged:
            name = message.escaped(unmerged[0])
            return Hold("unmerged", f"{name} has an unresolved conflict", f"resolve it, then: git add {name}")
        left = self._hold - self._age(staged, now)
        if left <= 0:
            return None
        count = "1 change is" if len(staged) == 1 else f"{len(staged)} changes are"
        return Hold("staged", f"{count} staged by hand", "git commit, or git restore --staged .", again_in=left)

    def forgotten(self, staged: Collection[Row], now: float) -> bool:
        """Whether what is staged has been so for so long that it is committed as it is on the disk."""
        return self._age(staged, now) >= _FORGOTTEN * self._hold

    def _age(self, staged: Collection[Row], now: float) -> float:
        """Seconds since just this was staged. (The index itself changes with every `git status`.)"""
        rows = frozenset(staged)
        if self._since is None or self._since[0] != rows:
            self._since = rows, now
        return now - self._since[1]
