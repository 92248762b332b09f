"""File systems that do not answer (a server that is away, a program of FUSE that hangs): no command waits for them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from autosync.common.errors import Problem
from autosync.common.repository import Repository

#: Seconds that a file system may take.
_LIMIT = 3.0


def silent(paths: Iterable[Path]) -> set[Path]:
    """Those of ``paths`` whose file systems do not answer within some seconds, which are waited for once for all."""
    asked = {path: threading.Thread(target=_ask, args=(path,), daemon=True) for path in paths}
    for thread in asked.values():
        thread.start()
    end = time.monotonic() + _LIMIT
    for thread in asked.values():
        thread.join(max(0.0, end - time.monotonic()))
    return {path for path, thread in asked.items() if thread.is_alive()}


def unanswered(path: Path) -> Problem:
    """That the file system of ``path`` does not answer."""
    return Problem(
        f"the file system of {path} does not answer", "see to its server or disk; all goes on by itself then"
    )


def opened(path: Path) -> Repository:
    """The repository at ``path``, as `Repository.open` gives it. Raises Problem, also when its file system does not
    answer, GitError, OSError."""
    if silent([path]):
        raise unanswered(path)
    return Repository.open(path)


def _ask(path: Path) -> None:
    # an error is an answer
    with contextlib.suppress(OSError):
        os.statvfs(path)
        with os.scandir(path) as entries:
            next(entries, None)
