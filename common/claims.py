"""Which of one service's repositories are the same one under two names (a link, a bind mount)."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from .errors import Problem
from .repository import Repository


class Claims:
    """Whose each repository is, by what its git directory is on the disk. (A look at the paths alone, when the
    configuration is read, would wait for file systems that hang.) ``configured`` are all paths of the configuration:
    of a link and what it leads to, the link is the other name."""

    def __init__(self) -> None:
        self.configured: Collection[Path] = ()
        self._paths: dict[tuple[int, int], Path] = {}

    def claim(self, repository: Repository) -> None:
        """Take it for the path that it was opened by. Raises Problem when another path has it, OSError."""
        self.release(repository.path)
        owner = Path(os.path.realpath(repository.path))
        if owner == repository.path or owner not in self.configured:
            found = repository.git_dir.stat()
            owner = self._paths.setdefault((found.st_dev, found.st_ino), repository.path)
        if owner != repository.path:
            raise Problem(
                f"{repository.path} is {owner} by another name",
                "take one of the two out of the configuration",
            )

    def release(self, path: Path) -> None:
        """The path is given up, or is another repository now."""
        for key in [key for key, owner in self._paths.copy().items() if owner == path]:
            self._paths.pop(key, None)
