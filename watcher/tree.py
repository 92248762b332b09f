"""Which folders of a work tree are watched, and what their events mean.

One inotify watch for each folder that is not ignored. The kernel names a watch by number; here each number leads to
a `Folder` that knows its parent, so that moving a folder costs nothing until it is walked again. A new
folder, one that was moved here, and one whose ignore rules changed are treated alike: watched first, then
read, because files made before the watch give no event. Moved folders are so given new nodes (the kernel
answers with the watch that it has), and what is left of the old ones is dropped at the end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from autosync.common import inotify
from autosync.common.inotify import Event, Inotify

from .folder import Folder
from .nested import is_repository
from .settle import Kind

_MASK = (
    inotify.CREATE
    | inotify.MODIFY
    | inotify.ATTRIB
    | inotify.CLOSE_WRITE
    | inotify.DELETE
    | inotify.MOVED_FROM
    | inotify.MOVED_TO
    | inotify.ONLYDIR
    | inotify.DONT_FOLLOW
    | inotify.EXCL_UNLINK
)
# the configured path itself may be a symbolic link
_ROOT_MASK = (_MASK & ~inotify.DONT_FOLLOW) | inotify.DELETE_SELF | inotify.MOVE_SELF
_KINDS = (
    (inotify.CLOSE_WRITE, Kind.CLOSED),
    (inotify.MODIFY, Kind.WRITTEN),
    (inotify.MOVED_TO, Kind.ARRIVED),
    (inotify.ATTRIB, Kind.CHANGED),
)
_GONE = inotify.DELETE | inotify.MOVED_FROM
_CAME = inotify.CREATE | inotify.MOVED_TO

#: Asks which of these folders (relative paths) need no watch, as they are ignored and hold no tracked file.
Unwanted = Callable[[list[bytes]], Collection[bytes]]


class Sink(Protocol):
    """Who is told. A vanished folder is named with a trailing slash; all paths are relative."""

    def mark(self, path: bytes, kind: Kind) -> None: ...

    def moved(self, old: bytes, new: bytes) -> None: ...

    def renew(self, path: bytes) -> None:
        """Which folders below ``path`` are to be watched depends on what is tracked there: `Tree.renew` has to be
        called, and a scan to follow."""


class Tree:
    """The watched folders below ``root``, on an inotify instance of their own.

    `start` and `handle` only note which folders are to be read; `step` reads them.
    """

    def __init__(self, root: bytes, watches: Inotify, unwanted: Unwanted, sink: Sink) -> None:
        self._root_path = root
        self._inotify = watches
        self._unwanted = unwanted
        self._sink = sink
        self._root = Folder(None, b"")
        self._by_watch: dict[int, Folder] = {}
        self._to_read: list[tuple[Folder, bytes, bool]] = []
        self._leaving: list[Folder] = []
        self._leaving_files: dict[int, bytes] = {}
        self._tracked: Collection[bytes] | None = None  # unknown but while the tree is read from a `start` or `renew`
        #: Folders that hold another repository, left out.
        self.nested: set[bytes] = set()
        #: Folders that could not be read.
        self.unreadable: set[bytes] = set()
        #: How many folders got no watch because the user's limit is used up.
        self.unwatched = 0
        #: Events were lost: the tree has to be built anew and scanned.
        self.overflowed = False
        #: The root was moved, deleted or unmounted.
        self.lost = False

    def __len__(self) -> int:
        """How many folders are watched."""
        return len(self._by_watch)

    @property
    def busy(self) -> bool:
        """Whether folders wait to be read."""
        return bool(self._to_read)

    def start(self, tracked: Collection[bytes]) -> None:
        """Watch the root and note it for reading. ``tracked`` are the folders that hold tracked files: they are
        watched whatever the ignore rules say. Raises OSError."""
        self._root.watch = self._inotify.watch(self._root_path, _ROOT_MASK)
        self._by_watch[self._root.watch] = self._root
        self._tracked = tracked
        self._to_read.append((self._root, b"", False))

    def renew(self, path: bytes, tracked: Collection[bytes]) -> None:
        """Look again which folders below ``path`` are to be watched. No file is marked, and events from there are
        dropped until it is done: the caller has to scan afterwards."""
        folder = self._root.find(path)
        if folder is None:
            return
        self._tracked = tracked
        for child in list((folder.children or {}).values()):
            self._detach(child)
        self._to_read.append((folder, path, False))

    def handle(self, events: Iterable[Event]) -> None:
        """Take note of events of this tree's watches."""
        by_watch = self._by_watch
        known: dict[int, bytes | None] = {}
        for event in events:
            watch, mask, cookie, name = event
            folder = by_watch.get(watch)
            if folder is None:
                if mask & inotify.Q_OVERFLOW:
                    self.overflowed = True
                continue
            if not name:
                self._handle_self(folder, mask)
                continue
            if watch not in known or mask & inotify.ISDIR:
                known[watch] = folder.path(self._root)
            base = known[watch]
            if base is None:
                continue
            path = base + b"/" + name if base else name
            if name == b".git":
                self.recheck(base)
            elif mask & inotify.ISDIR:
                known.clear()
                self._handle_folder(folder, path, name, mask)
            else:
                self._handle_file(path, mask, cookie)

    def step(self, budget: int) -> bool:
        """Read up to ``budget`` folders; returns whether more are waiting."""
        while self._to_read and budget > 0:
            folder, path, mark = self._to_read.pop()
            if folder.parent is not None or folder is self._root:
                self._read(folder, path, mark)
                budget -= 1
        if not self._to_read:
            self._tracked = None
            self._leaving_files.clear()
            self._drop_left()
        return bool(self._to_read)

    def probe(self) -> bool:
        """Whether the user's limit has room for a watch again."""
        try:
            self._inotify.unwatch(self._inotify.watch(b"/proc/self", inotify.DELETE_SELF))
        except OSError:
            return False
        return True

    def _handle_self(self, folder: Folder, mask: int) -> None:
        if mask & inotify.IGNORED:
            if self._by_watch.get(folder.watch) is folder:
                del self._by_watch[folder.watch]
            folder.watch = -1
            self.lost |= folder is self._root
        if mask & (inotify.UNMOUNT | inotify.MOVE_SELF | inotify.DELETE_SELF):
            if folder is self._root:
                self.lost = True
            elif mask & inotify.UNMOUNT:
                self.overflowed = True  # what was below the mount is there now, and nobody has looked

    def _handle_file(self, path: bytes, mask: int, cookie: int) -> None:
        sink = self._sink
        if mask & _GONE:
            sink.mark(path, Kind.GONE)
            if cookie:
                self._leaving_files[cookie] = path
            return
        if mask & inotify.CREATE:
            sink.mark(path, Kind.CREATED if self._is_being_written(path) else Kind.ARRIVED)
            return
        for bit, kind in _KINDS:
            if mask & bit:
                sink.mark(path, kind)
                break
        if cookie and (old := self._leaving_files.pop(cookie, None)) is not None:
            sink.moved(old, path)

    def _is_being_written(self, path: bytes) -> bool:
        """Whether a file that appeared was made by open(2): links and pipes are complete at once."""
        try:
            found = os.lstat(self._root_path + b"/" + path)
        except OSError:
            return True
        return stat.S_ISREG(found.st_mode) and found.st_nlink == 1

    def _handle_folder(self, parent: Folder, path: bytes, name: bytes, mask: int) -> None:
        known = (parent.children or {}).get(name)
        if mask & (_GONE | _CAME):
            if known is not None:
                self._detach(known)
            self._forget_below(path)
        if mask & _GONE:
            self._sink.mark(path + b"/", Kind.GONE)
        # an attribute change may have made it readable
        elif (mask & _CAME or (mask & inotify.ATTRIB and known is None)) and path not in self._unwanted([path]):
            self._enter(parent, name, path, mark=True)

    def recheck(self, path: bytes) -> None:
        """A `.git` came or went there: the folder has become another repository, or is none any more."""
        if path and (path in self.nested) != is_repository(self._root_path + b"/" + path):
            self._sink.renew(path)

    def _enter(self, parent: Folder, name: bytes, path: bytes, mark: bool) -> None:
        """Watch a folder and note it for reading."""
        folder = Folder(parent, name)
        try:
            folder.watch = self._inotify.watch(self._root_path + b"/" + path, _MASK)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.unwatched += 1  # read all the same: to count, and to mark what is there
            elif error.errno == errno.EACCES:
                self.unreadable.add(path)
                return
            else:
                return  # gone again, or no folder any more: there is an event for that
        else:
            self._by_watch[folder.watch] = folder
        folder.attach()
        self._to_read.append((folder, path, mark))

    def _read(self, folder: Folder, path: bytes, mark: bool) -> None:
        below = path + b"/" if path else b""
        place = self._root_path + b"/" + path
        folders, files, nested = {}, [], False
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    name = entry.name
                    if name == b".git":
                        nested = bool(path) and is_repository(place)
                    elif entry.is_dir(follow_symlinks=False):
                        folders[name] = below + name
                    elif mark:
                        files.append(name)
        except OSError as error:
            if error.errno == errno.EACCES:
                self.unreadable.add(path)
            return
        self.unreadable.discard(path)
        if nested and folders and self._tracked is None:
            self._sink.renew(path)
        tracked = self._tracked or ()
        if nested:
            self.nested.add(path)
            folders = {name: child for name, child in folders.items() if child in tracked}
        else:
            self.nested.discard(path)
        for name in files:
            self._sink.mark(below + name, Kind.ARRIVED)
        if not folders:
            return
        asked = [child for child in folders.values() if child not in tracked]
        unwanted = self._unwanted(asked) if asked else ()
        for name, child in folders.items():
            # an event may have been quicker than this reading
            if child not in unwanted and name not in (folder.children or ()):
                self._enter(folder, name, child, mark)

    def _detach(self, folder: Folder) -> None:
        folder.detach()
        self._leaving.append(folder)

    def _forget_below(self, path: bytes) -> None:
        for kept in (self.nested, self.unreadable):
            if kept:
                kept -= {one for one in kept if one == path or one.startswith(path + b"/")}

    def _drop_left(self) -> None:
        """Remove the watches of folders that were left and not found again elsewhere."""
        for left in self._leaving:
            for folder in left.subtree():
                folder.parent = None
                if folder.watch >= 0 and self._by_watch.get(folder.watch) is folder:
                    del self._by_watch[folder.watch]
                    self._inotify.unwatch(folder.watch)
        self._leaving.clear()
