"""A place for what a child process prints."""

from __future__ import annotations

import fcntl
import os
from typing import BinaryIO


def bounded_file(size: int) -> BinaryIO:
    """A file in memory of ``size`` zero bytes, which cannot grow: writing beyond them fails. With a pipe, whoever the
    child leaves behind would keep it open."""
    file = os.fdopen(os.memfd_create("printed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b")
    file.truncate(size)
    fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return file
