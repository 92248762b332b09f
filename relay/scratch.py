"""Files that a merge needs for a moment, below autosync's folder in the repository."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from pathlib import Path

# Seconds: a day, after which no merge goes on any more.
_OLD = 86_400.0


def place(folder: Path, name: str) -> Path:
    """Where one merge alone may put its ``name``; nothing is there. What killed processes have left goes in time.

    Others may be at it in the same repository: another process, in another container even, or another worker, where the
    repository is configured by two names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{name}.*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.lstat().st_mtime > _OLD:
                remove(left)
    return folder / f"{name}.{secrets.token_hex(8)}"


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
