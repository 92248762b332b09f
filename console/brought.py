"""What an operation of the log brought, asked of git: which files, and from which machines."""

from __future__ import annotations

import functools
from pathlib import Path

from autosync.common.git import Git, GitError
from autosync.common.operations import Operation

#: Actions that move the branch to what others made, or hand on what was made here.
_MOVES = frozenset({"merge", "push"})


class Brought:
    """Remembers what it has asked."""

    def __init__(self) -> None:
        self._authors = functools.cache(_authors)

    def machines(self, operation: Operation, here: str) -> set[str]:
        """The machines whose commits the operation is about; ``here`` is the name of this one."""
        if operation.action not in _MOVES or not operation.after:
            return {here}
        return self._authors(operation.repository, operation.before, operation.after) or {here}

    def touches(self, operation: Operation, path: str) -> bool:
        """Whether the operation brought another version of ``path``, a file or folder, into the work tree."""
        if operation.action != "merge" or not operation.before or not operation.after:
            return False
        commits = (operation.before, operation.after)
        said = _ask(operation.repository, "diff-tree", "-r", "--name-only", *commits, "--", f":(literal,top){path}")
        return bool(said)


def _authors(repository: str, before: str | None, after: str) -> set[str]:
    """The machines that the commits' trailers name."""
    said = _ask(
        repository,
        "log",
        "-200",
        "--no-show-signature",
        "--format=%(trailers:key=Autosync-Machine,valueonly)",
        f"{before}..{after}" if before else after,
        "--",
    )
    return {line.strip() for line in said.splitlines() if line.strip()}


def _ask(repository: str, *args: str) -> str:
    """What git says; nothing where the repository or its commits are gone."""
    try:
        return Git(Path(repository)).run(*args, check=False).text
    except (GitError, OSError):
        return ""
