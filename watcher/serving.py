"""What the workers of one watcher share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from autosync.common.claims import Claims
from autosync.common.operations import OperationLog

from . import limits
from .identity import Identity
from .notices import Notices


@dataclass(frozen=True, slots=True)
class Service:
    """``missing`` counts the watches that each repository found wanting, ``blind`` names those without an inotify
    instance: the remedy has to suffice for all. ``changed`` is called when a worker's condition is another;
    ``reports`` is the folder for reports of bugs."""

    identity: Identity
    operations: OperationLog
    notices: Notices
    reports: Path
    missing: dict[Path, int] = field(default_factory=dict)
    blind: set[Path] = field(default_factory=set)
    changed: Callable[[], None] = lambda: None
    claims: Claims = field(default_factory=Claims)

    def lacks(self, path: Path, missing: int, blind: bool) -> None:
        """Take note of what the repository at ``path`` lacks now."""
        (self.blind.add if blind else self.blind.discard)(path)
        if missing:
            self.missing[path] = missing
        else:
            self.missing.pop(path, None)

    def remedy(self) -> str | None:
        """What makes inotify see everything."""
        if self.blind:
            return limits.more_instances(len(self.blind))
        if self.missing:
            return limits.more_watches(sum(self.missing.values()))
        return None
