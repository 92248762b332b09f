"""Files that somebody writes to while git is about to replace them.

git does not change a file in place: it puts a new one in its place. Whoever has the old one open goes on writing into a
file that has no name any more, and that is lost. So the work tree is not moved while a file that would go is open
for writing, and what was written at the very moment of the move is found in the old file, which stays open here.

Whether a file is open for writing is told by a read lease, which the kernel refuses then (fcntl(2), "Leases"; own
files only, and not on every file system: there a file counts as not written to).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import signal
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: Descriptors that the relay wants: several repositories may be moved at once, each with many files.
DESCRIPTORS = 65_536
_SHARE = 16


def descriptors_for_one() -> int:
    """How many files may be held open for one purpose in one repository."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    descriptor: int
    before: os.stat_result


@dataclass(frozen=True, slots=True)
class Stray:
    """What was written into a file that has been replaced. ``done`` says that nobody has it open any more."""

    path: str
    descriptor: int
    done: bool

    def content(self) -> bytes:
        """All of it, from the beginning."""
        parts, offset = [], 0
        while chunk := os.pread(self.descriptor, 1 << 20, offset):
            parts.append(chunk)
            offset += len(chunk)
        return b"".join(parts)

    @property
    def mode(self) -> int:
        return stat.S_IMODE(os.fstat(self.descriptor).st_mode)


class Guard:
    """Holds files of the work tree ``root`` open while they are replaced. To be closed."""

    def __init__(self, root: Path) -> None:
        #: The paths that somebody has open for writing.
        self.written: list[str] = []
        self._root = root
        self._files: list[_File] = []

    def hold(self, paths: Iterable[str]) -> None:
        """Open the files at ``paths``, and see who writes to them. For a thread: there may be many."""
        # with more files than may be open, the rest is looked at, and not held
        room = descriptors_for_one()
        for path in paths:
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME
                descriptor = _open(self._root / path, flags)
            except OSError:
                continue
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                os.close(descriptor)
                continue
            if open_for_writing(descriptor):
                self.written.append(path)
            if len(self._files) < room:
                self._files.append(_File(path, descriptor, before))
            else:
                os.close(descriptor)

    def strays(self) -> list[Stray]:
        """Files that were replaced, and into which something was written after the last look, or may be yet."""
        found = []
        for file in self._files:
            now = os.fstat(file.descriptor)
            busy = open_for_writing(file.descriptor)
            changed = (now.st_mtime_ns, now.st_size) != (file.before.st_mtime_ns, file.before.st_size)
            if (busy or changed) and not in_place(self._root, file.path, now):
                found.append(Stray(file.path, file.descriptor, not busy))
        return found

    def close(self) -> None:
        for file in self._files:
            os.close(file.descriptor)
        self._files = []


def in_place(root: Path, path: str, file: os.stat_result) -> bool:
    """Whether ``path`` below ``root`` leads to this very file."""
    try:
        there = (root / path).lstat()
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (file.st_dev, file.st_ino)


def open_for_writing(descriptor: int) -> bool:
    """Whether anybody has the file open for writing, as far as a read lease tells."""
    try:
        # whoever opens the file while the lease is held makes the kernel send a signal: one that is ignored
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags)
    except PermissionError:
        # O_NOATIME is for the owner only
        return os.open(path, flags & ~os.O_NOATIME)
