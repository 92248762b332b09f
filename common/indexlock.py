"""Who holds `index.lock`, and whether anybody still does."""

from __future__ import annotations

import os
from pathlib import Path


def holders(lock: Path) -> list[int]:
    """The processes that have ``lock`` open, as far as this user may see (proc(5))."""
    try:
        wanted = lock.stat()
    except OSError:
        return []
    found = []
    for pid in _processes():
        try:
            with os.scandir(f"/proc/{pid}/fd") as descriptors:
                for descriptor in descriptors:
                    seen = Path(descriptor.path).stat()
                    if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino):
                        found.append(pid)
                        break
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found


def git_runs_in(git_dir: Path, work_tree: Path | None) -> bool:
    """Whether a git process has its working folder in the repository.

    git closes `index.lock` for a moment before it renames it, so an open descriptor alone does not
    prove a lock alive or dead.
    """
    places = [os.path.realpath(place) for place in (git_dir, work_tree) if place is not None]
    for pid in _processes():
        try:
            if not Path(f"/proc/{pid}/comm").read_bytes().startswith(b"git"):
                continue
            folder = str(Path(f"/proc/{pid}/cwd").readlink())
        except OSError:
            continue
        if any(folder == place or folder.startswith(place + "/") for place in places):
            return True
    return False


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
