"""Which folders need no watch: those that are ignored and hold no tracked file."""

from __future__ import annotations

from collections.abc import Collection

from autosync.common.reader import Reader
from autosync.common.repository import Repository

from . import scan
from .commit import Committer
from .ignores import ignored_by_git


class Folders:
    """Of one repository. ``committer`` knows the rules; it is another one when the settings are others."""

    def __init__(self, repository: Repository, committer: Committer) -> None:
        self._repository = repository
        self.committer = committer
        self._kept: set[bytes] = set()
        self._reader: Reader | None = None

    def keep(self, tracked: set[bytes]) -> None:
        """Keep all of these, until git has said which of them are ignored."""
        self._kept = tracked

    async def tracked(self) -> set[bytes]:
        """The folders that hold tracked files, asked anew. Raises GitError."""
        await self.look()
        return await scan.tracked_folders(self._repository.git)

    async def look(self) -> None:
        """Ask which folders are watched although they are ignored. Raises GitError."""
        self._kept = scan.folders_of(await self.committer.left_alone.tracked())

    async def more_are_tracked(self) -> bool:
        """Whether files are tracked in ignored folders that are not watched yet. Raises GitError."""
        tracked = await self.committer.left_alone.tracked()
        return bool(scan.folders_of(tracked) - self._kept)

    def forget_rules(self) -> None:
        """The ignore rules may be others now; until then they are read once for all questions."""
        self._reader = None

    def unwanted(self, folders: list[bytes]) -> Collection[bytes]:
        """Those of the folders that are ignored and hold no tracked file."""
        ignored = self.committer.left_alone.patterns
        unwanted = {folder for folder in folders if ignored.match_entry(folder, True)}
        rest = [folder + b"/" for folder in folders if folder not in unwanted]
        if rest:
            if self._reader is None:
                self._reader = self._repository.reader()
            unwanted |= {folder[:-1] for folder in ignored_by_git(self._reader, rest)}
        return unwanted - self._kept
