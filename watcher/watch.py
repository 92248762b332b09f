"""The events of one repository: an inotify instance, the folders of the work tree and the git directory on it."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType

from autosync.common.errors import Problem
from autosync.common.inotify import Inotify
from autosync.common.repository import Repository

from . import filesystem, limits
from .gitdir import GitDirectory
from .tree import Sink, Tree, Unwanted

# After a read of the queue the next one waits so long (seconds): events come in crowds, and reading few at
# a time costs several times as much. Longer, and the kernel's queue runs over.
_FEW, _CROWD, _CROWD_SIZE = 0.002, 0.010, 64
# Seconds after which a file system that does not answer is worth a word.
_ANSWER = 5.0


class Anew(Exception):
    """The watches have to be built anew; ``reason`` and ``remedy`` are for the person."""

    def __init__(self, reason: str, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class Watch:
    """A context manager; made anew after events were lost. ``wake`` is called when there is something to do,
    ``index_moved`` when git has replaced its index.

    Without an inotify instance (`EMFILE`) there are no events at all, and `shortcoming` says so.
    """

    def __init__(
        self,
        repository: Repository,
        unwanted: Unwanted,
        sink: Sink,
        wake: Callable[[], None],
        index_moved: Callable[[], None],
    ) -> None:
        self._repository = repository
        self._index_moved = index_moved
        self._root = os.fsencode(repository.path)
        self._wake = wake
        self._inotify = _instance()
        self._tree: Tree | None = None
        self._directory: GitDirectory | None = None
        if self._inotify is not None:
            self._tree = Tree(self._root, self._inotify, unwanted, sink)
            self._directory = GitDirectory(repository, self._inotify)
        self._silent = filesystem.silent(self._root)
        self._identity = _identity(self._root)
        self._listening: asyncio.TimerHandle | None = None

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._listening is not None:
            self._listening.cancel()
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()

    def start(self, tracked: Collection[bytes]) -> None:
        """Watch the root, note it for reading (see `step`) and listen. ``tracked`` as for `Tree.start`."""
        if self._tree is not None:
            self._tree.start(tracked)
            self._listen()

    def step(self, budget: int) -> bool:
        """Read up to ``budget`` folders that wait for it; returns whether more do."""
        return self._tree is not None and self._tree.step(budget)

    def renew(self, folders: Collection[bytes], tracked: Collection[bytes]) -> None:
        """Look again which folders below these are to be watched; the caller scans afterwards."""
        if self._tree is not None:
            for folder in folders:
                self._tree.renew(folder, tracked)

    def recheck(self, folder: bytes) -> None:
        """A folder has turned out to be another repository."""
        if self._tree is not None:
            self._tree.recheck(folder)

    def check(self) -> None:
        """Raises Anew when events were lost, Problem when the work tree is not what it was."""
        if self._tree is not None and self._tree.overflowed:
            raise Anew("events were lost; looking at everything anew", limits.longer_queue())
        if self._directory is not None and self._directory.lost:
            raise Anew("the git directory was replaced; looking at everything anew")
        if (self._tree is not None and self._tree.lost) or _identity(self._root) != self._identity:
            raise gone(self._repository.path)

    async def answers(self, told: Callable[[Problem], None]) -> None:
        """Wait until the file system answers, in a thread: one that hangs stops no other repository. ``told`` is called
        when that takes long."""
        if not self.remote:
            return
        looking = asyncio.ensure_future(asyncio.to_thread(_identity, self._root))
        done, _ = await asyncio.wait([looking], timeout=_ANSWER)
        if not done:
            path = self._repository.path
            told(Problem(f"the file system of {path} does not answer", "see to its server; it goes on by itself then"))
            await looking

    def mended(self) -> bool:
        """Whether watches that were refused would be granted now."""
        if self._inotify is None:
            instance = _instance()
            if instance is not None:
                instance.close()
            return instance is not None
        return self.unwatched > 0 and self._tree is not None and self._tree.probe()

    @property
    def shortcoming(self) -> str | None:
        """Why events do not tell of every change, None when they do."""
        if self._inotify is None:
            return "no inotify instance is left for it"
        if self.unwatched:
            return f"{self.unwatched} folders found no inotify watch"
        if self._silent:
            return f"{self._silent} does not report every change"
        return None

    @property
    def remote(self) -> bool:
        """Whether the file system may stop answering, because another machine or process is behind it."""
        return self._silent is not None

    @property
    def blind(self) -> bool:
        """Whether there is no inotify instance."""
        return self._inotify is None

    @property
    def unwatched(self) -> int:
        """How many folders found no watch."""
        return self._tree.unwatched if self._tree is not None else 0

    @property
    def watched(self) -> int:
        """How many folders are watched."""
        return len(self._tree) if self._tree is not None else 0

    @property
    def nested(self) -> set[bytes]:
        """Folders that hold another repository."""
        return self._tree.nested if self._tree is not None else set()

    @property
    def unreadable(self) -> set[bytes]:
        """Folders that could not be read."""
        return self._tree.unreadable if self._tree is not None else set()

    def take_moved(self) -> bool:
        """Whether something moved in the git directory since the last call."""
        moved = self._directory is not None and self._directory.moved
        if self._directory is not None:
            self._directory.moved = False
        return moved

    def take_rules_changed(self) -> bool:
        """Whether git's configuration or exclude file changed since the last call."""
        changed = self._directory is not None and self._directory.rules_changed
        if self._directory is not None:
            self._directory.rules_changed = False
        return changed

    def _listen(self) -> None:
        assert self._inotify is not None
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._readable)

    def _readable(self) -> None:
        assert self._inotify is not None and self._tree is not None and self._directory is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._inotify.fileno())
        events = list(self._inotify.read())
        for event in events:
            if event.watch in self._directory:
                self._directory.handle(event)
        if self._directory.moved:
            self._index_moved()  # before the events of files that may be tracked only now
        self._tree.handle(events)
        self._listening = loop.call_later(_CROWD if len(events) > _CROWD_SIZE else _FEW, self._listen)
        self._wake()


def gone(path: Path) -> Problem:
    """A work tree that was at ``path`` is not there any more."""
    return Problem(f"{path} was moved, deleted, unmounted or replaced", "bring it back, or remove its entry")


def _instance() -> Inotify | None:
    try:
        return Inotify()
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return None
        raise


def _identity(root: bytes) -> tuple[int, int] | None:
    try:
        found = Path(os.fsdecode(root)).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
