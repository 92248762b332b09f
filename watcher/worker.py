"""One repository: watch, wait until paths have settled, commit. A short loop around rules that are elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from autosync.common import checkout, locks
from autosync.common.config import SHARED_FILE, Repo, Settings, effective, load_shared
from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.inotify import Inotify
from autosync.common.operations import Operation, OperationLog
from autosync.common.reader import Reader, Unreadable
from autosync.common.repository import Repository

from . import courtesy, message, scan
from .commit import Committer, Outcome
from .courtesy import Hold
from .gitdir import GitDirectory
from .ignores import ignored_by_git, own_patterns
from .publish import Identity
from .quarantine import Held
from .settle import Kind, Settling
from .tree import Tree

_log = logging.getLogger(__name__)

#: Seconds between two looks at everything when no event asks for one.
SAFETY_SCAN = 3600.0
#: Pauses after trouble, in seconds: the first, and the longest.
PAUSE, LONGEST_PAUSE = 2.0, 300.0
# A held batch is looked at again by event; these seconds are for what gives none.
_HOLD_RECHECK = 30.0
# A hold that is normal for a moment is shown after so many seconds.
_BRIEF = 2.0
# After a read of the queue the next one waits so long: events come in crowds, and reading few at
# a time costs several times as much. Longer, and the kernel's queue runs over.
_FEW, _CROWD, _CROWD_SIZE = 0.002, 0.010, 64
_FOLDERS_AT_ONCE = 256


class _Anew(Exception):
    """The watches have to be built anew."""


@dataclass(frozen=True, slots=True)
class Service:
    """What all workers share."""

    identity: Identity
    operations: OperationLog


class Pause:
    """Growing pauses between tries."""

    def __init__(self, first: float = PAUSE, longest: float = LONGEST_PAUSE) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause

    def reset(self) -> None:
        self._next = self._first


class Worker:
    """Watches and commits one repository until it is cancelled."""

    def __init__(self, repo: Repo, service: Service) -> None:
        self.repo = repo
        self.state, self.reason, self.remedy = "watching", "starting", None  # type: str, str | None, str | None
        self.since: float | None = time.time()
        self._service = service
        self._settings: Settings = repo.settings
        self._settling = Settling(self._settings.settle, self._settings.max_wait)
        self._wake = asyncio.Event()
        self._quarantined: dict[bytes, Held] = {}
        self._nested: set[bytes] = set()
        self._repository: Repository | None = None
        self._committer: Committer | None = None
        self._tree: Tree | None = None
        self._git_directory: GitDirectory | None = None
        self._reader: Reader | None = None
        self._hold: Hold | None = None
        self._hold_since = 0.0
        self._not_before = 0.0
        self._retry = Pause(0.02, 1.0)
        self._trouble = Pause()
        self._refused_again = float("inf")
        self._refused_pause = Pause(10.0, 600.0)
        self._rules_changed: set[bytes] = set()
        self._shared_changed = False
        self._scan_wanted = False
        self._kept_folders: set[bytes] = set()
        self._forced: list[asyncio.Future[Outcome]] = []
        self._confirm = False

    # -- for the service ---------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled; what goes wrong is a state, and tried again."""
        if not self._settings.watch:
            self._set_state("off", "watch = false")
            return
        pause = Pause()
        while True:
            try:
                await self._open()
                if self._repository is None:
                    return
                await self._watch()
            except _Anew:
                continue
            except Problem as problem:
                self._set_state("error", problem.what, problem.remedy)
            except (GitError, Unreadable, OSError) as error:
                self._set_state("error", str(error), "see the service's log")
            except Exception as error:  # noqa: BLE001 - one repository's trouble must not end the others' work
                _log.exception("%s: a bug in autosync", self.repo.path)
                self._set_state("error", f"a bug in autosync ({type(error).__name__}: {error})", "please report it")
            self._fail_forced()
            await self._rest(pause.next())

    def look(self) -> None:
        """Something may have changed (the pause mark, the trouble): try again now."""
        self._not_before = 0.0
        self._trouble.reset()
        if self._git_directory is not None:
            self._git_directory.moved = True
        self._wake.set()

    async def commit_now(self) -> Outcome | None:
        """Scan and commit all that may be committed; None when that is impossible now (see `state`)."""
        if self._committer is None or self._tree is None:
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
        self._confirm = True
        if self._committer is not None:
            self._committer.confirmed = True
        self.look()

    def status(self) -> dict[str, Any]:
        """How it is, for the control socket."""
        state, reason, remedy = self.state, self.reason, self.remedy
        if self._repository is not None and state in ("watching", "polling", "held", "paused"):
            hold = self._present_hold()
            if hold is not None:
                state, reason, remedy = _state_of(hold), hold.reason, hold.remedy
        pending = sorted(self._pending())
        return {
            "path": os.fspath(self.repo.path),
            "state": state,
            "reason": reason,
            "remedy": remedy,
            "since": self.since,
            "dirty": len(self._settling),
            "pending": [os.fsdecode(path) for path in pending],
            "directories": len(self._tree) if self._tree is not None else 0,
            "nested": [os.fsdecode(path) for path in sorted(self._nested)],
            "quarantined": [
                {"path": os.fsdecode(path), "reason": held.reason, "remedy": held.remedy}
                for path, held in sorted(self._quarantined.items())
            ],
        }

    # -- what the tree tells (Sink) ----------------------------------------------------------

    def mark(self, path: bytes, kind: Kind) -> None:
        name = path[path.rfind(b"/") + 1 :]
        if kind is not Kind.WRITTEN and kind is not Kind.CREATED:
            if name == b".gitignore":
                self._rules_changed.add(path[: -len(b"/.gitignore")])
            elif path == SHARED_FILE.encode():
                self._shared_changed = True
        if self._own.match_entry(path, False):
            return
        self._settling.mark(path, kind, time.monotonic())

    def moved(self, old: bytes, new: bytes) -> None:
        if not self._own.match_entry(new, False):
            self._settling.moved(old, new)

    # -- the loop ----------------------------------------------------------------------------

    async def _open(self) -> None:
        # in a thread: a file system that hangs must not stop the other repositories
        repository = await asyncio.to_thread(Repository.open, self.repo.path)
        if repository.work_tree is None:
            self._set_state("off", "a bare repository has no files to watch")
            self._repository = None
            return
        await asyncio.to_thread(repository.make_own_folders)
        self._repository = repository
        self._use_settings()

    def _use_settings(self) -> None:
        assert self._repository is not None
        settings = effective(self.repo, load_shared(self.repo.path))
        self._settings = settings
        self._own = own_patterns(settings.exclude, settings.builtin_ignores)
        self._settling.settle, self._settling.max_wait = settings.settle, settings.max_wait
        self._committer = Committer(self._repository, settings, self._service.identity)
        self._committer.confirmed = self._confirm

    async def _watch(self) -> None:
        assert self._repository is not None
        loop = asyncio.get_running_loop()
        with contextlib.closing(Inotify()) as watches:
            tree = Tree(os.fsencode(self._repository.path), watches, self._unwanted, self)
            directory = GitDirectory(self._repository, watches)
            listening: asyncio.TimerHandle | None = None

            def listen() -> None:
                loop.add_reader(watches.fileno(), readable)

            def readable() -> None:
                nonlocal listening
                loop.remove_reader(watches.fileno())
                count = self._drain(watches, tree, directory)
                listening = loop.call_later(_CROWD if count > _CROWD_SIZE else _FEW, listen)
                self._wake.set()

            try:
                tree.start(await self._tracked_folders())
                self._tree, self._git_directory = tree, directory
                listen()
                self._scan_wanted = True
                await self._loop(tree, directory)
            finally:
                self._tree = self._git_directory = None
                if listening is not None:
                    listening.cancel()
                loop.remove_reader(watches.fileno())

    async def _loop(self, tree: Tree, directory: GitDirectory) -> None:
        next_scan = time.monotonic() + SAFETY_SCAN
        while True:
            self._wake.clear()
            self._reader = None
            if tree.overflowed:
                _log.warning("%s: events were lost; looking at everything anew", self.repo.path)
                raise _Anew
            if tree.lost:
                raise Problem(f"{self.repo.path} was moved, deleted or unmounted", "bring it back, or remove it")
            if tree.step(_FOLDERS_AT_ONCE):
                await asyncio.sleep(0)
                continue
            now = time.monotonic()
            self._take_changes(directory)
            if self._rules_changed:
                await self._renew(tree)
                continue
            if now >= self._refused_again:
                self._retry_refused()
            if self._scan_wanted or now >= next_scan:
                next_scan = time.monotonic() + SAFETY_SCAN
                await self._scan()
            if self._forced:
                await self._serve_forced()
            else:
                await self._try_to_commit()
            if not self._wake.is_set():
                await self._rest(min(self._next_try(), next_scan, self._refused_again) - time.monotonic())

    def _drain(self, watches: Inotify, tree: Tree, directory: GitDirectory) -> int:
        events = list(watches.read())
        for event in events:
            if event.watch in directory:
                directory.handle(event)
        tree.handle(events)
        return len(events)

    def _take_changes(self, directory: GitDirectory) -> None:
        """Act on what the git directory and our own file said."""
        if directory.moved:
            directory.moved = False
            self._not_before = 0.0
            self._retry.reset()
            self._retry_refused()
        if directory.rules_changed:
            directory.rules_changed = False
            self._rules_changed.add(b"")
            self._not_before = 0.0
        if self._shared_changed:
            self._shared_changed = False
            try:
                self._use_settings()
                self._rules_changed.add(b"")
            except Problem as problem:
                _log.warning("%s; the settings stay as they were", problem)

    async def _renew(self, tree: Tree) -> None:
        """Ignore rules changed: watch what is no longer ignored, and the other way round."""
        folders, self._rules_changed = self._rules_changed, set()
        tracked = await self._tracked_folders()
        for folder in folders:
            tree.renew(folder, tracked)
        self._scan_wanted = True
        self._wake.set()

    async def _tracked_folders(self) -> set[bytes]:
        assert self._repository is not None
        git = self._repository.git
        self._kept_folders = scan.folders_of(await scan.tracked_but_ignored(git))
        return await scan.tracked_folders(git)

    async def _scan(self) -> None:
        assert self._repository is not None
        self._scan_wanted = False
        changed = await scan.changed(self._repository.git)
        now = time.monotonic()
        for path in self._quarantined.keys() - changed:
            del self._quarantined[path]
        for path in changed:
            if path not in self._settling and not self._own.match(path):
                self._settling.mark(path, Kind.CHANGED, now)

    async def _try_to_commit(self, everything: bool = False) -> Outcome | None:
        """Commit what has settled; None when there is nothing to do, or not now."""
        now = time.monotonic()
        if now < self._not_before and not everything:
            return None
        batch = self._settling.due(now, everything)
        if not batch:
            if not len(self._settling):
                self._set_hold(None)
            return None
        try:
            outcome = await self._commit(batch.paths, batch.rehash)
        except Problem as problem:
            self._back_off(problem)
            if everything:
                raise
            return None
        if outcome is None or outcome.again:
            self._not_before = time.monotonic() + self._retry.next()
            return None
        self._retry.reset()
        shown = self._set_hold(outcome.hold)
        if outcome.hold is not None:
            again_in = outcome.hold.again_in or (_HOLD_RECHECK if shown else _BRIEF)
            self._not_before = time.monotonic() + again_in
            return outcome
        self._trouble.reset()
        self._settling.done(batch)
        self._take_outcome(batch.paths, outcome)
        return outcome

    async def _commit(self, paths: Collection[bytes], rehash: Collection[bytes]) -> Outcome | None:
        """One try, under the repository's lock; None when the relay has that."""
        assert self._repository is not None and self._committer is not None
        try:
            lock = locks.acquire(self._repository.lock)
        except locks.Held:
            return None
        try:
            self._committer.recover(self._repository.reader())
            if checkout.journal(self._repository) is not None:
                # the relay moves the work tree only with the lock held, so this one was killed
                try:
                    await asyncio.to_thread(checkout.recover, self._repository, lock)
                except checkout.Busy:
                    return None
            outcome = await self._committer.commit(paths, rehash, lock)
        except (GitError, Unreadable) as error:
            raise Problem(str(error), "git fsck may tell more") from error
        except OSError as error:
            raise Problem(f"cannot commit in {self.repo.path} ({error})", "see that the disk has room") from error
        finally:
            locks.release(lock)
        if outcome.operation is not None:
            self._log_operation(outcome.operation)
            await self._committer.post_commit()
        return outcome

    def _take_outcome(self, paths: Collection[bytes], outcome: Outcome) -> None:
        before = {path: self._quarantined.pop(path, None) for path in paths}
        for path, held in outcome.held.items():
            self._quarantined[path] = held
            if before.get(path) != held:
                _log.warning("%s: %s is held back: %s", self.repo.path, message.escaped(path), held.reason)
        if outcome.refused:
            self._refused_again = min(self._refused_again, time.monotonic() + self._refused_pause.next())
        self._note_nested(outcome.nested)

    def _note_nested(self, roots: Collection[bytes]) -> None:
        assert self._tree is not None
        for root in roots:
            self._tree.recheck(root)
        for root in (self._tree.nested | set(roots)) - self._nested:
            _log.info("%s: %s is another repository and left out", self.repo.path, message.escaped(root))
        self._nested = self._tree.nested | set(roots)

    def _retry_refused(self) -> None:
        self._refused_again = float("inf")
        now = time.monotonic()
        for path, held in self._quarantined.items():
            if held.tried_again:
                self._settling.mark(path, Kind.CHANGED, now)

    async def _serve_forced(self) -> None:
        waiting, self._forced = self._forced, []
        deadline = time.monotonic() + 10
        try:
            await self._scan()
            while True:
                outcome = await self._try_to_commit(everything=True)
                if outcome is not None or not len(self._settling) or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.05)
        except BaseException as error:
            for future in waiting:
                if not future.done():
                    future.set_exception(Problem(str(error)))
            if not isinstance(error, Problem):
                raise
            return
        for future in waiting:
            if not future.done():
                future.set_result(outcome or Outcome())

    # -- small parts -------------------------------------------------------------------------

    def _unwanted(self, folders: list[bytes]) -> set[bytes]:
        """Those of the folders that are ignored and hold no tracked file."""
        own = {folder for folder in folders if self._own.match_entry(folder, True)}
        rest = [folder + b"/" for folder in folders if folder not in own]
        if rest:
            if self._reader is None:
                assert self._repository is not None
                self._reader = self._repository.reader()
            own |= {folder[:-1] for folder in ignored_by_git(self._reader, rest)}
        return own - self._kept_folders

    def _next_try(self) -> float:
        deadline = self._settling.deadline(time.monotonic())
        return float("inf") if deadline is None else max(deadline, self._not_before)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == float("inf") else max(seconds, 0)):
                await self._wake.wait()

    def _back_off(self, problem: Problem) -> None:
        self._not_before = time.monotonic() + self._trouble.next()
        self._hold = None
        self._set_state("error", problem.what, problem.remedy)

    def _set_hold(self, hold: Hold | None) -> bool:
        """Take note of what holds commits back, if anything; returns whether that is shown."""
        now = time.monotonic()
        if hold is None or self._hold is None or self._hold.kind != hold.kind:
            self._hold_since = now
        self._hold = hold
        if hold is None:
            self._set_state("watching", None)
        elif not hold.brief or now - self._hold_since >= _BRIEF:
            self._set_state(_state_of(hold), hold.reason, hold.remedy)
        else:
            return False
        return True

    def _set_state(self, state: str, reason: str | None, remedy: str | None = None) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        if reason is not None:
            level = logging.WARNING if state in ("error", "polling") else logging.INFO
            _log.log(level, "%s: %s: %s%s", self.repo.path, state, reason, f" ({remedy})" if remedy else "")
        elif self.state in ("error", "held", "paused", "polling") and self.reason:
            _log.info("%s: %s again", self.repo.path, state)
        self.state, self.reason, self.remedy, self.since = state, reason, remedy, time.time()

    def _present_hold(self) -> Hold | None:
        assert self._repository is not None
        if self._hold is not None and self._hold.kind in ("staged", "unmerged", "brake"):
            return self._hold
        try:
            hold = courtesy.hold(courtesy.observe(self._repository, self._repository.reader()))
        except Unreadable:
            return None
        if hold is not None and hold.kind == "index.lock":
            hold = courtesy.lock_age(self._repository) or hold
        if hold is not None and hold.brief and self.state == "watching":
            return None
        return hold

    def _pending(self) -> Iterator[bytes]:
        return itertools.islice(self._settling, 20)

    def _log_operation(self, operation: Operation) -> None:
        _log.info("%s: %s (%s)", self.repo.path, operation.detail, (operation.after or "")[:12])
        self._service.operations.append(operation)

    def _fail_forced(self) -> None:
        waiting, self._forced = self._forced, []
        for future in waiting:
            if not future.done():
                future.set_exception(Problem(self.reason or "not watching"))


def _state_of(hold: Hold) -> str:
    return "paused" if hold.kind == "paused" else "held"
