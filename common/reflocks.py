"""Locks of refs that a killed git has left: nothing moves such a ref ever again.

git makes `HEAD.lock`, `packed-refs.lock` and `refs/....lock` for milliseconds (gitglossary(7), "ref"). One that is
older, that nobody has open, with no git at work in the repository, belongs to nobody.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from . import indexlock
from .repository import Repository

#: Seconds that a lock has to be old, as git closes the file for a moment before it takes its place.
OLD = 10.0


def drop_dead(repository: Repository) -> list[Path]:
    """Remove the locks of refs that belong to nobody; returns them."""
    old = [path for path in _locks(repository) if _age(path) >= OLD]
    if not old or indexlock.git_runs_in(repository.common_dir, repository.work_tree):
        return []
    dropped = []
    for path in old:
        if not indexlock.holders(path):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                dropped.append(path)
    return dropped


def left(repository: Repository) -> bool:
    """Whether there is any lock of a ref, dead or alive."""
    return any(True for _ in _locks(repository))


def _locks(repository: Repository) -> Iterator[Path]:
    for folder in {repository.git_dir, repository.common_dir}:
        for name in ("HEAD.lock", "ORIG_HEAD.lock", "packed-refs.lock"):
            if (folder / name).exists():
                yield folder / name
        for place, _, names in os.walk(folder / "refs"):
            yield from (Path(place, name) for name in names if name.endswith(".lock"))


def _age(path: Path) -> float:
    """Seconds; 0 when it is gone. One from the future is of a time when the clock was wrong."""
    try:
        return abs(time.time() - path.lstat().st_mtime)
    except OSError:
        return 0.0
