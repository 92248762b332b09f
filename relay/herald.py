"""What a worker tells the rest of the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .announcement import Kind
from .conflict import Conflict
from .state import Move

if TYPE_CHECKING:
    from .worker import Worker


class Herald(Protocol):
    """Where a worker's announcements and notices go."""

    def announce(self, worker: Worker, move: Move, kind: Kind = "pushed") -> None:
        """A ref on the remote moved by a push from here, or (`committed`) is about to."""

    def changed(self, worker: Worker) -> None:
        """The worker's status, or its identity, is another."""

    def arrived(self, worker: Worker, before: str, after: str) -> None:
        """The work tree has what ``after`` brings; it was at ``before``, and ``after`` need not contain that."""

    def resolved(self, worker: Worker, conflicts: tuple[Conflict, ...]) -> None:
        """Conflicts were resolved by keeping both versions."""
