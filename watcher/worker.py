"""One repository: watch, wait until paths have settled, commit. A short loop around rules that are elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autosync.common.config import SHARED_FILE, Repo, Shared, effective
from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.operations import OperationLog
from autosync.common.progress import Meter
from autosync.common.reader import Reader, Unreadable
from autosync.common.repository import Repository
from autosync.common.shared import SharedSettings
from autosync.common.shell import typed

from . import courtesy, limits, message, scan
from .asking import Asking
from .attempts import Attempts, Pause
from .commit import Committer, Outcome
from .condition import Condition
from .courtesy import Hold
from .identity import Identity
from .ignores import ignored_by_git
from .notices import Notices
from .overlap import alongside
from .settle import Kind, Settling
from .watch import Anew, Watch

_log = logging.getLogger(__name__)

#: Seconds between two looks at everything when no event asks for one.
SAFETY_SCAN = 3600.0
#: Seconds between two looks where events do not tell everything; at least `POLL_SHARE` times what a look takes.
POLL, POLL_SHARE = 10.0, 20.0
# Seconds between tries to open what cannot be opened.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# Seconds that `commit_now` goes on trying while somebody else is at work.
_PATIENCE = 10.0
_FOLDERS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Service:
    """What all workers share. ``missing`` counts the watches that each found wanting, ``blind`` names those
    without an inotify instance: the remedy has to suffice for all. ``changed`` is called when a worker's condition is
    another."""

    identity: Identity
    operations: OperationLog
    notices: Notices
    missing: dict[Path, int] = field(default_factory=dict)
    blind: set[Path] = field(default_factory=set)
    changed: Callable[[], None] = lambda: None

    def remedy(self) -> str | None:
        """What makes inotify see everything."""
        if self.blind:
            return limits.more_instances(len(self.blind))
        if self.missing:
            return limits.more_watches(sum(self.missing.values()))
        return None


@dataclass(frozen=True, slots=True)
class _Open:
    """A repository that could be opened."""

    repository: Repository
    committer: Committer


class Worker:
    """Watches and commits one repository until it is cancelled."""

    def __init__(self, repo: Repo, service: Service) -> None:
        self.repo = repo
        self._service = service
        self._condition = Condition(os.fspath(repo.path), self._tell)
        self._settling = Settling(repo.settings.settle, repo.settings.max_wait)
        self._asking = Asking(repo.path, service.notices.desktop, self.look)
        self._attempts = Attempts(repo.path, self._settling, service.operations, self._asking)
        self._meter = Meter()
        self._wake = asyncio.Event()
        self._open: _Open | None = None
        self._watch: Watch | None = None
        self._reader: Reader | None = None
        self._kept_folders: set[bytes] = set()
        self._rules_changed: set[bytes] = set()
        self._shared = SharedSettings()
        self._shared_changed = False
        self._head_moved = False
        self._moved_meanwhile = False
        self._forced: list[asyncio.Future[Outcome]] = []
        self._told_nested: set[bytes] = set()

    # -- for the service ---------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled; what goes wrong is a state, and tried again."""
        if not self.repo.settings.watch:
            self._condition.set("off", "watch = false")
            return
        pause = Pause(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            self._wake.clear()
            try:
                # in a thread: a file system that hangs must not stop the other repositories
                repository = await asyncio.to_thread(_opened, self.repo.path)
                if repository.work_tree is None:
                    self._condition.set("off", "a bare repository has no files to watch")
                    return
                self._use(repository, await asyncio.to_thread(self._shared.read, repository))
                await self._watch_it(pause)
            except Anew as anew:
                self._condition.set("polling", anew.reason, anew.remedy)
                continue
            except Problem as problem:
                self._condition.set("error", problem.what, problem.remedy)
            except (GitError, Unreadable, OSError) as error:
                self._condition.set("error", str(error), f"see what git says: git -C {typed(self.repo.path)} status")
            except Exception as error:  # noqa: BLE001 - one repository's trouble must not end the others' work
                _log.exception("%s: a bug in autosync", self.repo.path)
                self._condition.set("error", f"a bug in autosync ({type(error).__name__}: {error})", "report it")
            self._fail_forced()
            await self._rest(pause.next())

    @property
    def condition(self) -> Condition:
        """How it is, apart from what holds it back at this moment."""
        return self._condition

    def look(self) -> None:
        """Something may have changed (the pause mark, a mount, what gave trouble): try again now."""
        self._attempts.look_again()
        self._wake.set()

    async def commit_now(self) -> Outcome | None:
        """Scan and commit all that may be committed; None when that is impossible now (`status` says why)."""
        if self._watch is None:
            self.look()
            return None
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._forced.append(future)
        self._wake.set()
        try:
            return await future
        except Problem:
            return None

    def confirm_deletions(self) -> None:
        """Let the mass deletion that is held through."""
        if self._open is not None:
            self._open.committer.confirmed = True
        self.look()

    @property
    def progress(self) -> str | None:
        """What is being done and how far it is, once it takes longer than a moment."""
        return self._meter.text or self._asking.progress

    def describe(self, message: str) -> bool:
        """A message for the commit that waits for one; whether there is such a commit."""
        return self._asking.describe(message)

    def status(self) -> dict[str, Any]:
        """How it is, for the control socket."""
        condition = self._condition
        answer: dict[str, Any] = {"path": os.fspath(self.repo.path)}
        hold = self._present_hold() if condition.state not in ("off", "error") else None
        if hold is not None:
            answer |= {"state": _state_of(hold), "reason": hold.reason, "remedy": hold.remedy}
        else:
            answer |= {"state": condition.state, "reason": condition.reason, "remedy": condition.remedy}
        watch = self._watch
        quarantined = [
            {"path": os.fsdecode(path), "reason": held.reason, "remedy": held.remedy}
            for path, held in sorted(self._attempts.held.items())
        ] + [
            {"path": os.fsdecode(path) + "/", "reason": "the folder cannot be read", "remedy": "chmod u+rx it"}
            for path in sorted(watch.unreadable if watch is not None else ())
        ]
        return answer | {
            "since": condition.since,
            "dirty": len(self._settling),
            "pending": [os.fsdecode(path) for path in sorted(itertools.islice(self._settling, 20))],
            "directories": watch.watched if watch is not None else 0,
            "nested": [os.fsdecode(path) for path in sorted(self._told_nested)],
            "quarantined": quarantined,
            "progress": self.progress,
        }

    # -- what the tree tells (Sink) ----------------------------------------------------------

    def mark(self, path: bytes, kind: Kind) -> None:
        """An event came for ``path``."""
        if kind is not Kind.WRITTEN and kind is not Kind.CREATED:
            if path.endswith(b".gitignore") and path[-11:-10] in (b"", b"/"):
                self._rules_changed.add(path[:-11])
            elif path == SHARED_FILE.encode():
                self._shared_changed = True
        assert self._open is not None
        if not self._open.committer.leaves_alone(path):
            self._settling.mark(path, kind, time.monotonic())

    def moved(self, old: bytes, new: bytes) -> None:
        """``old`` was moved to ``new``, inside the tree."""
        assert self._open is not None
        if not self._open.committer.leaves_alone(new):
            self._settling.moved(old, new)

    # -- the loop ----------------------------------------------------------------------------

    def _use(self, repository: Repository, shared: Shared) -> None:
        """Take the settings in force: ours, and those in the repository."""
        settings = effective(self.repo, shared)
        self._settling.settle, self._settling.max_wait = settings.settle, settings.max_wait
        committer = Committer(repository, settings, self._service.identity, self._asking)
        if self._open is not None:
            committer.confirmed = self._open.committer.confirmed
        self._open = _Open(repository, committer)

    async def _watch_it(self, pause: Pause) -> None:
        assert self._open is not None
        with Watch(self._open.repository, self._unwanted, self, self._wake.set, self._index_moved) as watch:
            self._settling.events_lost(time.monotonic())
            tracked = await scan.tracked_folders(self._open.repository.git)
            self._kept_folders = tracked  # until git has said which of them are ignored
            watch.start(tracked)
            self._watch = watch
            try:
                async with alongside(self._look_for_kept_folders()):
                    await self._read_folders(watch)
                await self._scan()
                pause.reset()
                await self._loop(watch)
            finally:
                self._watch = None
                self._asking.done()
                self._service.missing.pop(self.repo.path, None)
                self._service.blind.discard(self.repo.path)

    async def _loop(self, watch: Watch) -> None:
        now = time.monotonic()
        next_scan, next_poll = now + SAFETY_SCAN, now + POLL
        while True:
            self._wake.clear()
            self._reader = None
            watch.check()
            if watch.step(_FOLDERS_AT_ONCE):
                await asyncio.sleep(0)
                continue
            if await self._take_changes(watch):
                continue
            now = time.monotonic()
            polling = watch.shortcoming is not None
            if now >= self._attempts.refused_again:
                self._attempts.retry_refused()
            if now >= next_scan or (polling and now >= next_poll):
                if watch.mended():
                    raise Anew("watches are granted again; looking at everything anew")
                await self._scan()
                next_scan = time.monotonic() + SAFETY_SCAN
                next_poll = time.monotonic() + max(POLL, POLL_SHARE * (time.monotonic() - now))
            await self._commit(watch, polling)
            self._show(watch)
            if self._head_moved and not len(self._settling):
                await self._look_for_tracked_folders()
            if not self._wake.is_set():
                soonest = min(self._attempts.next_try(), self._attempts.refused_again, next_scan)
                await self._rest((min(soonest, next_poll) if polling else soonest) - time.monotonic())

    async def _take_changes(self, watch: Watch) -> bool:
        """Act on what happened to the git directory, to settings and to ignore rules; returns whether folders have to
        be read again now."""
        assert self._open is not None
        # what gave trouble is tried after its pause: a failed try of ours moves something there too
        if watch.take_moved() and self._attempts.trouble is None:
            self._attempts.look_again()
        if watch.take_rules_changed():
            self._rules_changed.add(b"")
            self._attempts.look_again()
        if self._shared_changed:
            self._shared_changed = False
            self._rules_changed.add(b"")
            repository = self._open.repository
            self._use(repository, await asyncio.to_thread(self._shared.read, repository))
        if not self._rules_changed:
            return False
        folders, self._rules_changed = self._rules_changed, set()
        self._open.committer.rules_changed()
        watch.renew(folders, await self._tracked_folders())
        await self._read_folders(watch)
        await self._scan()
        return True

    async def _read_folders(self, watch: Watch) -> None:
        with self._meter.during("reading folders", lambda: f"{watch.watched:,} so far"):
            for _ in iter(lambda: watch.step(_FOLDERS_AT_ONCE), False):
                await asyncio.sleep(0)  # the others have their turn

    async def _tracked_folders(self) -> set[bytes]:
        assert self._open is not None
        await self._look_for_kept_folders()
        return await scan.tracked_folders(self._open.repository.git)

    async def _look_for_kept_folders(self) -> None:
        """Ask which folders are watched although they are ignored."""
        assert self._open is not None
        self._kept_folders = scan.folders_of(await self._open.committer.tracked_but_ignored())

    async def _look_for_tracked_folders(self) -> None:
        """Somebody else's commit may track files in ignored folders, which are not watched yet."""
        assert self._open is not None
        self._head_moved = False
        tracked = await self._open.committer.tracked_but_ignored()
        if scan.folders_of(tracked) - self._kept_folders:
            self._rules_changed.add(b"")
            self._wake.set()

    async def _scan(self) -> None:
        """Ask git for every difference and mark those that are not marked yet."""
        assert self._open is not None
        committer = self._open.committer
        with self._meter.during("looking for changes"):
            changed = await scan.changed(self._open.repository.git)
            await committer.tracked_but_ignored()
        now = time.monotonic()
        self._attempts.scanned(changed)
        for path in changed:
            if path not in self._settling and not committer.leaves_alone(path, folders_known=False):
                self._settling.mark(path, Kind.CHANGED, now)

    async def _commit(self, watch: Watch, polling: bool) -> None:
        assert self._open is not None
        repository, committer = self._open.repository, self._open.committer
        if self._forced:
            await self._serve_forced(repository, committer)
        else:
            with self._meter.during("committing", self._marked):
                await self._attempts.attempt(repository, committer, polling=polling)
        if self._attempts.compare_again:
            self._attempts.compare_again = False
            await self._scan()
            self._wake.set()
        if self._moved_meanwhile:
            self._moved_meanwhile = False
            self._index_moved()
        self._note_nested(watch)

    async def _serve_forced(self, repository: Repository, committer: Committer) -> None:
        waiting, self._forced = self._forced, []
        deadline = time.monotonic() + _PATIENCE
        outcome = None
        try:
            await self._scan()
            while len(self._settling) and outcome is None and time.monotonic() < deadline:
                with self._meter.during("committing", self._marked):
                    outcome = await self._attempts.attempt(repository, committer, everything=True)
                if outcome is None:
                    await asyncio.sleep(0.05)
        except Problem as problem:
            _answer(waiting, problem)
        except BaseException:
            _answer(waiting, Problem("the watcher is being stopped or has trouble", "see autosync status"))
            raise
        else:
            _answer(waiting, outcome or Outcome())

    def _note_nested(self, watch: Watch) -> None:
        for root in self._attempts.nested:
            watch.recheck(root)
        self._attempts.nested.clear()
        for root in watch.nested - self._told_nested:
            _log.info("%s: %s is another repository and left out", self.repo.path, message.escaped(root))
        self._told_nested = set(watch.nested)

    def _show(self, watch: Watch) -> None:
        """Let the condition say what is the case now."""
        attempts, service, path = self._attempts, self._service, self.repo.path
        (service.blind.add if watch.blind else service.blind.discard)(path)
        if watch.unwatched:
            service.missing[path] = watch.unwatched
        else:
            service.missing.pop(path, None)
        if attempts.trouble is not None:
            self._condition.set("error", attempts.trouble.what, attempts.trouble.remedy)
        elif (hold := attempts.shown_hold) is not None:
            self._condition.set(_state_of(hold), hold.reason, hold.remedy)
        elif (shortcoming := watch.shortcoming) is not None:
            reason = f"{shortcoming}: looking every {POLL:g} seconds or less often"
            self._condition.set("polling", reason, service.remedy())
        else:
            self._condition.set("watching")
        notices = service.notices
        notices.held(path, attempts.held)
        brake = attempts.hold if attempts.hold is not None and attempts.hold.kind == "brake" else None
        notices.deletions(path, brake.reason if brake is not None else None, self.confirm_deletions)

    def _tell(self) -> None:
        condition = self._condition
        self._service.notices.condition(self.repo.path, condition.state, condition.reason, condition.remedy)
        self._service.changed()

    def _marked(self) -> str:
        number = len(self._settling)
        return "1 changed file" if number == 1 else f"{number:,} changed files"

    # -- small parts -------------------------------------------------------------------------

    def _index_moved(self) -> None:
        assert self._open is not None
        committer = self._open.committer
        if committer.publishes:
            self._moved_meanwhile = True  # most likely by us: looked at when it is done
            return
        committer.index_moved()
        with contextlib.suppress(Unreadable):
            self._head_moved |= not committer.made(self._open.repository.reader().head().commit)

    def _unwanted(self, folders: list[bytes]) -> Collection[bytes]:
        """Those of the folders that are ignored and hold no tracked file."""
        assert self._open is not None
        ignored = self._open.committer.ignored
        unwanted = {folder for folder in folders if ignored.match_entry(folder, True)}
        rest = [folder + b"/" for folder in folders if folder not in unwanted]
        if rest:
            if self._reader is None:
                self._reader = self._open.repository.reader()
            unwanted |= {folder[:-1] for folder in ignored_by_git(self._reader, rest)}
        return unwanted - self._kept_folders

    def _present_hold(self) -> Hold | None:
        """What would hold a commit back now, whether or not there is anything to commit."""
        if self._open is None or self._watch is None:
            return None
        known = self._attempts.shown_hold
        if known is not None and known.kind in ("staged", "unmerged", "brake", "lock"):
            return known
        repository = self._open.repository
        try:
            hold = courtesy.hold(courtesy.observe(repository, repository.reader()))
        except Unreadable:
            return None
        if hold is not None and hold.brief and known is None:
            return None
        if hold is not None and hold.kind == "index.lock":
            return courtesy.lock_age(repository) or hold
        return hold

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == float("inf") else max(seconds, 0)):
                await self._wake.wait()

    def _fail_forced(self) -> None:
        waiting, self._forced = self._forced, []
        _answer(waiting, Problem(self._condition.reason or "not watching", self._condition.remedy))


def _opened(path: Path) -> Repository:
    repository = Repository.open(path)
    if repository.work_tree is not None:
        repository.make_own_folders()
    return repository


def _answer(waiting: list[asyncio.Future[Outcome]], answer: Outcome | Problem) -> None:
    for future in waiting:
        if future.done():
            continue
        if isinstance(answer, Problem):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _state_of(hold: Hold) -> str:
    return "paused" if hold.kind == "paused" else "held"
