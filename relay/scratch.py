"""Files that a merge needs for a moment, below autosync's folder in the repository."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def place(folder: Path, name: str) -> Path:
    """Where this process may put its ``name``; nothing is there. What killed processes have left goes."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{name}.*"):
        # several processes merge at once where one-shot runs and a service do
        pid = left.name.split(".")[1]
        if pid == str(os.getpid()) or not Path("/proc", pid).exists():
            remove(left)
    return folder / f"{name}.{os.getpid()}"


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
