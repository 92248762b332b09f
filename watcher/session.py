"""From opening a repository to its end: watch, wait until paths have settled, commit. A short loop around rules that
are elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.progress import Meter
from autosync.common.reader import Unreadable
from autosync.common.repository import Repository

from . import message, scan
from .attempts import Attempts
from .commit import Committer, Outcome
from .folders import Folders
from .hints import Hints
from .overlap import alongside
from .settle import Kind, Settling
from .waiting import Waiting
from .watch import Anew, Watch

_log = logging.getLogger(__name__)

#: Seconds between two looks at everything when no event asks for one.
SAFETY_SCAN = 3600.0
#: Seconds between two looks where events do not tell everything; at least `POLL_SHARE` times what a look takes.
POLL, POLL_SHARE = 10.0, 20.0
# Seconds that a commit which was asked for is tried while somebody else is at work.
_PATIENCE = 10.0
_FOLDERS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Standing:
    """What outlasts a session: the marked paths, what became of them, who waits, the other repositories inside (each
    is reported once), how far a work is, and what wakes the loop."""

    settling: Settling
    attempts: Attempts
    waiting: Waiting
    nested: set[bytes]
    meter: Meter
    wake: asyncio.Event


class Session:
    """Watches and commits one repository. ``equip`` makes another committer when the settings are others, ``show`` is
    called after each round, ``hangs`` when the file system does not answer."""

    def __init__(
        self,
        repository: Repository,
        committer: Committer,
        standing: Standing,
        equip: Callable[[Repository], Awaitable[Committer]],
        show: Callable[[Session], None],
        hangs: Callable[[Problem], None],
    ) -> None:
        """Raises OSError."""
        self.repository = repository
        self.committer = committer
        self._equip = equip
        self._show = show
        self._hangs = hangs
        self._standing = standing
        self._settling, self._attempts = standing.settling, standing.attempts
        self._folders = Folders(repository, committer)
        self._hints = Hints(self._settling, lambda path: self.committer.leaves_alone(path))
        self._head_moved = self._moved_meanwhile = False
        self.watch = Watch(repository, self._folders.unwanted, self._hints, standing.wake.set, self._index_moved)

    async def run(self, ready: Callable[[], None]) -> None:
        """Work until cancelled; ``ready`` is called when everything is watched and was looked at.

        Raises Anew when events were lost, Problem when the work tree is gone, and what git and the disk raise.
        """
        with self.watch:
            try:
                self._settling.events_lost(time.monotonic())
                self._attempts.begin_anew()
                tracked = await scan.tracked_folders(self.repository.git)
                self._folders.keep(tracked)
                self.watch.start(tracked)
                async with alongside(self._folders.look()):
                    await self._read_folders()
                await self._scan()
                ready()
                await self._loop()
            except (GitError, Unreadable, OSError):
                self.watch.check()  # nothing is right any more where the work tree is gone: that is what to say
                raise

    async def _loop(self) -> None:
        watch, attempts, wake = self.watch, self._attempts, self._standing.wake
        now = time.monotonic()
        next_scan, next_poll = now + SAFETY_SCAN, now + POLL
        while True:
            wake.clear()
            self._folders.forget_rules()
            await watch.answers(self._hangs)
            watch.check()
            if watch.step(_FOLDERS_AT_ONCE):
                await asyncio.sleep(0)
                continue
            if await self._take_changes():
                continue
            now = time.monotonic()
            polling = watch.shortcoming is not None
            if now >= attempts.refused_again:
                attempts.retry_refused()
            if now >= next_scan or (polling and now >= next_poll):
                if watch.mended():
                    raise Anew("watches are granted again; looking at everything anew")
                await self._scan()
                next_scan = time.monotonic() + SAFETY_SCAN
                next_poll = time.monotonic() + max(POLL, POLL_SHARE * (time.monotonic() - now))
            await self._commit(polling)
            watch.check()
            self._show(self)
            if self._head_moved and not len(self._settling):
                await self._look_for_tracked_folders()
            if not wake.is_set():
                soonest = min(attempts.next_try(), attempts.refused_again, next_scan)
                await rest(wake, (min(soonest, next_poll) if polling else soonest) - time.monotonic())

    async def _take_changes(self) -> bool:
        """Act on what happened to the git directory, to settings and to ignore rules; returns whether folders have to
        be read again now."""
        watch, hints = self.watch, self._hints
        # what gave trouble is tried after its pause: a failed try of ours moves something there too
        if watch.take_moved() and self._attempts.trouble is None:
            self._attempts.look_again()
        if watch.take_rules_changed():
            hints.rules.add(b"")
            self._attempts.look_again()
        if hints.take_settings():
            hints.rules.add(b"")
            self.committer = self._folders.committer = await self._equip(self.repository)
        if not hints.rules:
            return False
        folders = hints.take_rules()
        self.committer.left_alone.rules_changed()
        watch.renew(folders, await self._folders.tracked())
        await self._read_folders()
        await self._scan()
        return True

    async def _read_folders(self) -> None:
        with self._standing.meter.during("reading folders", lambda: f"{self.watch.watched:,} so far"):
            for _ in iter(lambda: self.watch.step(_FOLDERS_AT_ONCE), False):
                await asyncio.sleep(0)  # the others have their turn

    async def _look_for_tracked_folders(self) -> None:
        """Somebody else's commit may track files in ignored folders, which are not watched yet."""
        self._head_moved = False
        if await self._folders.more_are_tracked():
            self._hints.rules.add(b"")
            self._standing.wake.set()

    async def _scan(self) -> None:
        """Ask git for every difference and mark those that are not marked yet."""
        with self._standing.meter.during("looking for changes"):
            changed = await scan.changed(self.repository.git)
            await self.committer.left_alone.tracked()
        now = time.monotonic()
        self._attempts.scanned(changed)
        for path in changed:
            if path not in self._settling and not self.committer.leaves_alone(path, folders_known=False):
                self._settling.mark(path, Kind.CHANGED, now)

    async def _commit(self, polling: bool) -> None:
        if self._standing.waiting:
            await self._serve(self._standing.waiting.take())
        else:
            with self._standing.meter.during("committing", self._marked):
                await self._attempts.attempt(self.repository, self.committer, polling=polling)
        if self._attempts.compare_again:
            self._attempts.compare_again = False
            await self._scan()
            self._standing.wake.set()
        if self._moved_meanwhile:
            self._moved_meanwhile = False
            self._index_moved()
        self._note_nested()

    async def _serve(self, waiting: Waiting) -> None:
        """Commit all that may be committed, for those who asked for it."""
        deadline = time.monotonic() + _PATIENCE
        outcome = None
        try:
            await self._scan()
            while len(self._settling) and outcome is None and time.monotonic() < deadline:
                with self._standing.meter.during("committing", self._marked):
                    outcome = await self._attempts.attempt(self.repository, self.committer, everything=True)
                if outcome is None:
                    await asyncio.sleep(0.05)
        except Problem as problem:
            waiting.answer(problem)
        except BaseException:
            waiting.answer(Problem("the watcher is being stopped or has trouble", "see autosync status"))
            raise
        else:
            waiting.answer(outcome or Outcome())

    def _note_nested(self) -> None:
        for root in self._attempts.nested:
            self.watch.recheck(root)
        self._attempts.nested.clear()
        if self._hints.rules:
            self._standing.wake.set()
        told = self._standing.nested
        for root in self.watch.nested - told:
            _log.info("%s: %s is another repository and left out", self._path, message.escaped(root))
        told.clear()
        told.update(self.watch.nested)

    def _index_moved(self) -> None:
        if self.committer.publishes:
            self._moved_meanwhile = True  # most likely by us: looked at when it is done
            return
        self.committer.left_alone.index_moved()
        with contextlib.suppress(Unreadable):
            self._head_moved |= not self.committer.made(self.repository.reader().head().commit)

    def _marked(self) -> str:
        number = len(self._settling)
        return "1 changed file" if number == 1 else f"{number:,} changed files"

    @property
    def _path(self) -> Path:
        return self.repository.path


async def rest(wake: asyncio.Event, seconds: float) -> None:
    """Wait for ``wake``, but not for longer than ``seconds``."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if seconds == float("inf") else max(seconds, 0)):
            await wake.wait()
