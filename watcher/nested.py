"""Which folders of a work tree are repositories of their own."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_repository(path: bytes) -> bool:
    """Whether a folder that is not the root is a repository of its own (a `.git` that git would take for one)."""
    entry = path + b"/.git"
    try:
        mode = os.lstat(entry).st_mode
        if stat.S_ISREG(mode):
            with Path(os.fsdecode(entry)).open("rb") as file:
                return file.read(8) == b"gitdir: "
    except OSError:
        return False
    # gitrepository-layout(5): what git itself asks of a git directory
    return all(os.path.lexists(entry + b"/" + name) for name in (b"HEAD", b"objects", b"refs"))
