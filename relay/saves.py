"""Files that somebody saves by rename, or makes anew, while git is replacing what was there.

git looks at all files first and replaces them after that. With many files these are seconds, in which an editor may put
a new version in the place of one that git is yet to replace; git takes that away without another look. So whatever
appears at one of these places meanwhile is opened at once, and what has lost its name at the end is still
here to be kept.

inotify(7) tells of it after the rename, so one that git takes away within the fraction of a millisecond that the
answer takes is missed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autosync.common.inotify import CREATE, DONT_FOLLOW, ISDIR, MOVED_TO, ONLYDIR, Q_OVERFLOW, Inotify

from .writers import Stray, descriptors_for_one, in_place, open_for_writing

_log = logging.getLogger(__name__)
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    descriptor: int
    made: bool
    """By open(2), as git does, and not by a rename."""


class Saves:
    """What is saved in the work tree ``root`` between `start` and `stop`, at the ``paths`` that git replaces, takes
    away or makes meanwhile. To be closed after a look at `strays`.

    Without an inotify instance, or watches, to be had nothing is seen: it is a net, not the rule.
    """

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._folder = root
        self._root = os.fsencode(root)
        self._room = descriptors_for_one()
        self._found: list[_Found] = []
        self._places: dict[int, tuple[bytes, set[bytes]]] = {}
        self._inotify: Inotify | None = None
        self._seen = threading.Event()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="saves", daemon=True)
        try:
            self._inotify = Inotify()
            self._watch(paths)
        except OSError as error:
            _log.info("%s: saves during a move are not seen (%s)", root, error.strerror)

    def _watch(self, paths: Iterable[str]) -> None:
        assert self._inotify is not None
        folders: dict[bytes, set[bytes]] = {}
        for path in map(os.fsencode, paths):
            folder, _, name = path.rpartition(b"/")
            folders.setdefault(folder, set()).add(name)
        for folder, names in folders.items():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # what git will make
                watch = self._inotify.watch(self._root + b"/" + folder, CREATE | MOVED_TO | ONLYDIR | DONT_FOLLOW)
                self._places[watch] = folder, names

    def start(self) -> None:
        """Watch from now on, in a thread of its own."""
        if self._inotify is not None:
            self._thread.start()

    def stop(self) -> None:
        """Watch no more; what came before is seen when this returns."""
        if self._thread.ident is not None:
            os.eventfd_write(self._stop, 1)
            self._seen.wait()

    def strays(self) -> list[Stray]:
        """Files that appeared and have lost their names. git's own may be among them, when somebody has saved after
        it."""
        found = []
        for one in self._found:
            if not self._is_there(one):
                found.append(Stray(one.path, one.descriptor, not open_for_writing(one.descriptor)))
        return found

    def close(self) -> None:
        """Close the files."""
        for one in self._found:
            os.close(one.descriptor)
        self._found = []
        if self._thread.ident is None:  # it was never started
            self._close_watches()

    def _run(self) -> None:
        assert self._inotify is not None
        try:
            self._look(self._inotify)
        finally:
            self._seen.set()
            self._close_watches()

    def _close_watches(self) -> None:
        os.close(self._stop)
        if self._inotify is not None:
            # the kernel takes some ten milliseconds for that: nobody waits for it
            self._inotify.close()

    def _look(self, inotify: Inotify) -> None:
        poll = select.poll()
        poll.register(inotify.fileno(), select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        stopped = False
        while not stopped:
            stopped = any(descriptor == self._stop for descriptor, _ in poll.poll())
            for event in inotify.read():
                if event.mask & Q_OVERFLOW:
                    self._open_all()
                folder, names = self._places.get(event.watch, (b"", set()))
                if event.name in names and not event.mask & ISDIR:
                    self._open(folder + b"/" + event.name if folder else event.name, bool(event.mask & CREATE))

    def _open_all(self) -> None:
        """Events were lost: whatever is at the places now may have come meanwhile. What was there before is committed,
        and does no harm."""
        for folder, names in self._places.values():
            for name in names:
                self._open(folder + b"/" + name if folder else name, made=True)

    def _open(self, path: bytes, made: bool) -> None:
        if len(self._found) >= self._room and not self._make_room():
            return
        with contextlib.suppress(OSError):
            self._found.append(_Found(os.fsdecode(path), os.open(self._root + b"/" + path, _FLAGS), made))

    def _make_room(self) -> bool:
        """Let go of the older half of what was made and is still there: of very many files, nearly all are git's own.
        Returns whether there is any room."""
        kept = self._found[self._room // 2 :]
        for one in self._found[: self._room // 2]:
            if one.made and self._is_there(one):
                os.close(one.descriptor)
            else:
                kept.append(one)
        self._found = kept
        return len(kept) < self._room

    def _is_there(self, one: _Found) -> bool:
        now = os.fstat(one.descriptor)
        return not stat.S_ISREG(now.st_mode) or in_place(self._folder, one.path, now)
