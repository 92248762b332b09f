"""Conflict copies that still lie about: the other version of a file, waiting for a person to put the two together."""

from __future__ import annotations

import os
from pathlib import Path

from autosync.common.git import GitError, split
from autosync.common.repository import Repository
from autosync.common.shell import typed
from autosync.relay.conflict import original

# What the index listed when it had this mark: `status --watch` asks every second.
_listed: dict[Path, tuple[object, list[str]]] = {}


def copies(repository: Repository) -> list[dict[str, str]]:
    """The copies in the work tree: each its ``path``, and ``of`` which file it is the other version."""
    if repository.work_tree is None:
        return []
    mark = repository.index_mark()
    known = _listed.get(repository.path)
    if known is None or known[0] != mark:
        try:
            tracked = split(repository.git.run("ls-files", "-z", "--", "*.conflict-*").stdout)
        except (GitError, OSError):
            return []
        known = _listed[repository.path] = mark, tracked
    found = [{"path": path, "of": of} for path in known[1] if (of := original(path)) is not None]
    # deleted by hand, and not committed yet
    return [one for one in found if os.path.lexists(repository.work_tree / one["path"])]


def remedy(repository: str, copy: dict[str, str]) -> str:
    """What to do with a copy."""

    of, path = typed(copy["of"]), typed(copy["path"])
    compare = f"git -C {typed(repository)} diff --no-index -- {of} {path}"
    return f"keep what you want in {copy['of']} and delete the copy; to compare: {compare}"
