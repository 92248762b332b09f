"""How a repository is: its state and the trouble it is in; each is logged once, when it changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from autosync.common.operations import Operation, OperationLog

from .failures import Failure
from .state import Observed, Status

_log = logging.getLogger(__name__)
_NEEDS_A_PERSON = ("held", "diverged", "no upstream")


class Condition:
    """``failing_since`` and ``last_sync`` in seconds since the epoch. ``changed`` is called after each change."""

    def __init__(self, path: Path, operations: OperationLog, changed: Callable[[], None]) -> None:
        self.status = Status("waiting", "not looked at yet")
        self.failure: Failure | None = None
        self.failing_since: float | None = None
        self.last_sync: float | None = None
        self._path = path
        self._operations = operations
        self._changed = changed

    def in_sync(self) -> None:
        """Both sides are the same now, and no trouble is left."""
        self.last_sync = time.time()
        self.fail(None)

    def fail(self, failure: Failure | None) -> None:
        """This is the trouble now; None when it is over."""
        if (failure and failure.what) == (self.failure and self.failure.what):
            return
        if failure is None:
            _log.info("%s: the trouble is over", self._path)
            self.failing_since = None
        else:
            # once for each trouble, not each time it is met
            _log.warning("%s: %s (%s)", self._path, failure.what, failure.remedy)
            self.failing_since = self.failing_since or time.time()
        self.failure = failure
        self._changed()

    def show(self, status: Status, seen: Observed | None) -> None:
        """This is the state now, after the look ``seen``. What holds a repository goes into the operation log."""
        if status == self.status:
            return
        if status.name in _NEEDS_A_PERSON and status.reason != self.status.reason:
            _log.warning("%s: %s: %s", self._path, status.reason, status.remedy)
            refs = (seen.branch, seen.head, seen.tip) if seen else (None, None, None)
            self._operations.append(Operation(str(self._path), "hold", *refs, status.reason or ""))
        self.status = status
        self._changed()
