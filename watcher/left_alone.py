"""Which paths are left alone: what the patterns match, but for files that git tracks all the same."""

from __future__ import annotations

from collections.abc import Sequence

from autosync.common.repository import Repository

from . import scan
from .patterns import Patterns


class LeftAlone:
    """Of one repository. ``patterns`` are those besides git's ignore rules."""

    def __init__(self, repository: Repository, patterns: Sequence[str]) -> None:
        self.patterns = Patterns(patterns)
        self._repository = repository
        self._listed = patterns
        self._tracked: set[bytes] | None = None
        self._tracked_at: tuple[int, int, int] | None = None

    async def tracked(self) -> set[bytes]:
        """Tracked files that ignore rules match, remembered while nobody else changes the index: our own
        commits add none. Raises GitError."""
        index = self._repository.index_mark()
        if self._tracked is None or self._tracked_at != index:
            self._tracked = await scan.tracked_but_ignored(self._repository.git, self._listed)
            self._tracked_at = index
        return self._tracked

    def holds(self, path: bytes, folders_known: bool) -> bool:
        """Whether a path is left alone for certain, by what is known already. ``folders_known``: the folders that
        it is in are not ignored."""
        if self._tracked is None or path in self._tracked:
            return False
        return self.patterns.match_entry(path, False) if folders_known else self.patterns.match(path)

    def index_moved(self) -> None:
        """Somebody else may have changed the index."""
        if self._tracked_at != self._repository.index_mark():
            self._tracked = None

    def rules_changed(self) -> None:
        """Ignore rules have changed."""
        self._tracked = None

    def committed(self, before: tuple[int, int, int] | None, after: tuple[int, int, int] | None) -> None:
        """A commit of ours led from one mark of the index to the other."""
        if self._tracked_at == before:
            self._tracked_at = after
