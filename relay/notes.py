"""Hooks' notes: noticing them, and following a push by hand to its end.

A note only says "look". The one thing believed beyond that is a `pre-push` note's process number, and only
for knowing when to look: when that process has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autosync.common import inotify
from autosync.common.inotify import Inotify

_log = logging.getLogger(__name__)
#: Bytes of a note that are read; a push of very many refs writes more, and is looked at all the same.
_LIMIT = 64 * 1024
_FIRST_LINE = re.compile(r"1 ([a-z-]+) ([1-9][0-9]{0,9})")
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class PushNote:
    """What `pre-push` was told: the push's process, the remote's name, and (local commit, remote ref) pairs."""

    pid: int
    remote: str
    updates: tuple[tuple[str, str], ...]


def parse_push(data: bytes) -> PushNote | None:
    """The `pre-push` note in ``data``; None for one that is incomplete or malformed."""
    lines = os.fsdecode(data).split("\n")
    # two pushes in one place may have mixed their lines: then there are two ends
    if len(lines) < 3 or lines[-1] != "" or lines[-2] != "end" or lines.count("end") != 1:
        return None
    first = _FIRST_LINE.fullmatch(lines[0])
    if first is None or first[1] != "pre-push" or not lines[1].startswith("remote "):
        return None
    remote = lines[1].split(" ")[1]
    updates = []
    for line in lines[2:-2]:
        fields = line.split(" ")
        if len(fields) == 4 and _OID.fullmatch(fields[1]) and fields[2].startswith("refs/heads/"):
            updates.append((fields[1], fields[2]))
    return PushNote(int(first[2]), remote, tuple(updates))


async def ended(pid: int, limit: float) -> None:
    """Return when the git process ``pid`` has ended, or after ``limit`` seconds."""
    try:
        comm = Path(f"/proc/{pid}/comm").read_bytes()  # noqa: ASYNC240 - a file in memory
        handle = os.pidfd_open(pid)
    except OSError:
        return
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    try:
        # the number may have been given to another process since
        if comm.startswith(b"git"):
            loop.add_reader(handle, _settle, done)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await done
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class NoteWatch:
    """Watches folders: one inotify watch each, whatever their number. Use inside a running loop."""

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._callbacks: dict[int, dict[Path, Callable[[str], None]]] = {}
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read)

    def close(self) -> None:
        """Stop watching."""
        asyncio.get_running_loop().remove_reader(self._inotify.fileno())
        self._inotify.close()

    def add(self, folder: Path, owner: Path, callback: Callable[[str], None], *, entries: bool = False) -> None:
        """Call ``callback`` with the name of each file that is written or moved into ``folder`` (with ``entries``:
        and of all that comes and goes there), for ``owner``. An empty name says that events were lost, or the folder
        itself.

        Linked work trees share a notes folder: each owner has its own callback. Raises OSError.
        """
        mask = inotify.CLOSE_WRITE | inotify.MOVED_TO | inotify.ONLYDIR
        if entries:
            mask |= inotify.CREATE | inotify.DELETE | inotify.MOVED_FROM
        wd = self._inotify.watch(os.fsencode(folder), mask)
        self._callbacks.setdefault(wd, {})[owner] = callback

    def remove(self, owner: Path) -> None:
        """Forget all callbacks of ``owner``."""
        for wd, callbacks in list(self._callbacks.items()):
            callbacks.pop(owner, None)
            if not callbacks:
                del self._callbacks[wd]
                self._inotify.unwatch(wd)

    def _read(self) -> None:
        called: set[tuple[int, str]] = set()
        for event in self._inotify.read():
            if event.mask & inotify.Q_OVERFLOW:
                for callbacks in self._callbacks.values():
                    for callback in callbacks.values():
                        callback("")
            elif event.mask & inotify.IGNORED:
                for callback in self._callbacks.pop(event.watch, {}).values():
                    callback("")
            else:
                called.add((event.watch, os.fsdecode(event.name)))
        for wd, name in called:
            for callback in list(self._callbacks.get(wd, {}).values()):
                callback(name)


def read_note(path: Path) -> bytes:
    """A note's content, not following links; empty when it is gone or not a plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            _log.debug("cannot read %s: %s", path, error.strerror)
        return b""
    try:
        return os.read(descriptor, _LIMIT)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
