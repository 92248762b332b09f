"""How a repository is: its state, why, and what to do; each is logged once, when it changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)
_WORTH_A_WARNING = frozenset({"error", "polling"})
_STARTING = "starting"


class Condition:
    """``state`` is `watching`, `polling`, `paused`, `held`, `off` or `error`; ``since`` in seconds since the epoch.
    ``changed`` is called after each change."""

    def __init__(self, name: str, changed: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._changed = changed
        self.state = "watching"
        self.reason: str | None = _STARTING
        self.remedy: str | None = None
        self.since = time.time()

    @property
    def starting(self) -> bool:
        """Whether nothing is known yet."""
        return self.reason == _STARTING

    def set(self, state: str, reason: str | None = None, remedy: str | None = None) -> None:
        """Take note of the present state; logs a change."""
        if (state, reason) == (self.state, self.reason):
            self.remedy = remedy
            return
        if reason is not None:
            level = logging.WARNING if state in _WORTH_A_WARNING else logging.INFO
            _log.log(level, "%s: %s: %s%s", self._name, state, reason, f" ({remedy})" if remedy else "")
        elif self.state != state:
            _log.info("%s: %s again", self._name, state)
        self.state, self.reason, self.remedy, self.since = state, reason, remedy, time.time()
        self._changed()
