"""Advisory locks (flock(2)): a lock left by a killed process is no lock.

The kernel drops the lock with the last descriptor of its open file, so a git
child that inherits the descriptor keeps the lock after its parent was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path


class Held(Exception):
    """Somebody else holds the lock; ``pid`` is who, as far as known."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is held" + (f" by process {pid}" if pid else ""))
        self.path = path
        self.pid = pid


def acquire(path: Path) -> int:
    """Take the lock on ``path`` (created when missing) without waiting; returns its descriptor.

    The holder's pid is written into the file for people to read. Raises Held or OSError.
    """
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _pid_in(descriptor)
        os.close(descriptor)
        raise Held(path, holder) from None
    except BaseException:
        os.close(descriptor)
        raise
    if _pid_in(descriptor) != os.getpid():
        with contextlib.suppress(OSError):  # a full disk must not make a lock fail
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    share(descriptor, path.parent)
    return descriptor


def release(descriptor: int) -> None:
    """Give the lock up: for this process and for children that inherited the descriptor.

    Closing alone would leave it with a process that a hook has left behind.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, wait: float = 0.0) -> Iterator[int]:
    """Hold the lock inside the block, waiting up to ``wait`` seconds for it. Raises Held.

    For one-shot commands only: the services try, and look again later.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            descriptor = acquire(path)
            break
        except Held:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
    try:
        yield descriptor
    finally:
        release(descriptor)


def share(descriptor: int, folder: Path) -> None:
    """Let a group that may write into the folder write to this file there, too, whatever the umask of who made it."""
    mode, granted = os.fstat(descriptor).st_mode & 0o777, folder.stat().st_mode & 0o060
    if granted & 0o020 and mode & granted != granted:
        with contextlib.suppress(OSError):  # it is somebody else's, who did so
            os.fchmod(descriptor, mode | granted)


def _pid_in(descriptor: int) -> int | None:
    try:
        return int(os.pread(descriptor, 32, 0).split()[0])
    except (OSError, ValueError, IndexError):
        return None
