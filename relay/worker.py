"""One worker for each repository: wait for a hint, look, plan, act."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from autosync.common import config
from autosync.common.config import Repo, Settings, Shared
from autosync.common.errors import Problem, write_report
from autosync.common.git import GitError
from autosync.common.instance import Instance
from autosync.common.operations import Operation, OperationLog
from autosync.common.reader import Unreadable
from autosync.common.repository import Repository

from .act import Actor, BranchAbsent, Failed, Stopped
from .announcement import Announcement
from .announcement import Kind as AnnouncementKind
from .conflict import Conflict
from .failures import Backoff, Failure, Kind
from .identity import Identity
from .look import look, remember
from .memory import Memory
from .plan import plan
from .state import (
    Action,
    Announce,
    DirectFetch,
    FastForward,
    Fetch,
    Invitation,
    Merge,
    Move,
    Observed,
    Offer,
    Plan,
    Push,
    Recover,
    State,
    Status,
)

_log = logging.getLogger(__name__)
#: Actions in one turn without waiting; a plan that never comes to rest is a bug, and must not spin.
_MOST_STEPS = 50
#: Seconds between looks at the remote of a repository in which nothing is committed yet.
_UNBORN_POLL = 5.0


class Herald(Protocol):
    """Where a worker's announcements and notices go."""

    def announce(self, worker: Worker, move: Move, kind: AnnouncementKind = "pushed") -> None:
        """A ref on the remote moved by a push from here, or (`committed`) is about to."""

    def changed(self, worker: Worker) -> None:
        """The worker's status, or its identity, is another."""

    def resolved(self, worker: Worker, conflicts: tuple[Conflict, ...]) -> None:
        """Conflicts were resolved by keeping both versions."""


@dataclass(slots=True)
class _Pauses:
    """When the next try of each kind is allowed, in monotonic seconds, and the pauses behind that."""

    fetch_from: float = 0.0
    push_from: float = 0.0
    move_from: float = 0.0
    fetch: Backoff = field(default_factory=lambda: Backoff(random.random))
    push: Backoff = field(default_factory=lambda: Backoff(random.random))
    move: Backoff = field(default_factory=lambda: Backoff(random.random))


class Worker:
    """Keeps one repository in sync. `hint` and `fetch_hint` may be called at any time, any number of times."""

    def __init__(
        self, repo: Repo, instance: Instance, herald: Herald, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.repo = repo
        self.status = Status("waiting", "not looked at yet")
        self.seen: Observed | None = None
        self.repository: Repository | None = None
        self.identity = Identity()
        self.failure: Failure | None = None
        self.failing_since: float | None = None
        self.last_sync: float | None = None
        self.progress: str | None = None
        self._instance = instance
        self._herald = herald
        self._clock = clock
        self._log = OperationLog(instance.operations)
        self._memory: Memory | None = None
        self._settings = repo.settings
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._turns = 0
        self._fetch_due = True
        self._next_poll = 0.0
        self._branch_absent = False
        self._stopped_at: tuple[str, str] | None = None
        self._pauses = _Pauses()
        self._push_head: str | None = None
        self._expected: dict[str, str] = {}
        self._unsaved = False
        self._invitation: Invitation | None = None
        self._offered: str | None = None
        self._borrowed: str | None = None
        self._told: str | None = None

    # hints -------------------------------------------------------------------------------------------

    def hint(self) -> None:
        """Something may have changed here: look."""
        self._idle.clear()
        self._wake.set()

    def fetch_hint(self) -> None:
        """The remote may have moved: look there too."""
        self._fetch_due = True
        self.hint()

    def retry(self) -> None:
        """What kept the remote away may be over: try now, whatever pause was under way."""
        self._pauses = _Pauses()
        self.fetch_hint()

    def heard(self, announcement: Announcement) -> None:
        """Somebody says that the remote, or a machine, has a commit. What is here already makes no work."""
        seen, repository, commit = self.seen, self.repository, announcement.commit
        if seen is None or repository is None or seen.bare:
            return
        near = False
        with contextlib.suppress(Unreadable):
            reader = repository.reader()
            known = [c for c in (seen.tip, seen.head) if c]
            if reader.has_commit(commit) and any(reader.is_ancestor(commit, c) for c in known):
                return
            near = reader.remote_url(announcement.machine) != announcement.machine
        if near and seen.upstream is not None and announcement.ref == seen.upstream.ref:
            self._invitation = Invitation(announcement.machine, announcement.ref, commit)
            self._fetch_due = self._fetch_due or announcement.kind == "pushed"
            self.hint()
        elif announcement.kind == "pushed":
            # many machines that hear the same spread their fetches
            spread = random.uniform(0, self._settings.fetch_jitter)  # noqa: S311
            self._pauses.fetch_from = self._clock() + spread
            self.fetch_hint()

    def expect(self, ref: str, commit: str) -> None:
        """A push by hand meant to put ``commit`` at the remote's ``ref``, past git's own bookkeeping."""
        self._expected[ref] = commit
        self.fetch_hint()

    async def sync(self, progress: Callable[[str], None]) -> None:
        """Forget all pauses, look at both sides now, and return when the worker has come to rest."""
        self._push_head = None
        self.retry()
        turns, shown = self._turns, None
        while self._turns == turns or not self._idle.is_set():
            if self.progress and self.progress != shown:
                shown = self.progress
                progress(f"{self.repo.path}: {shown}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._idle.wait()

    # the loop ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled. Trouble with the repository shows in `status`; it never ends the worker."""
        while True:
            wake = await self._turn()
            self._turns += 1
            if not self._wake.is_set():
                self._idle.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wake - self._clock())):
                    await self._wake.wait()
            if self._clock() >= self._next_poll:
                self._fetch_due = self._fetch_due or self._settings.pull != "never"

    async def once(self) -> None:
        """Work until there is nothing more to do now, waiting for what is due soon (one-shot runs)."""
        end = self._clock() + 60.0
        while self._clock() < end:
            wake = await self._turn()
            if self.failure is not None and self.failure.kind not in (Kind.RACE, Kind.LOCKED):
                return
            if wake - self._clock() > 10.0:
                return
            await asyncio.sleep(max(0.0, wake - self._clock()))

    async def _turn(self) -> float:
        """Look, plan and act until nothing is left to do; returns when to look again, in monotonic seconds."""
        self._wake.clear()
        try:
            for _ in range(_MOST_STEPS):
                decided = await self._decide()
                if not decided.actions:
                    await self._rest(decided)
                    return min(decided.wake or self._next_poll, self._next_poll)
                self._show(decided.status)
                await self._perform(decided.actions)
        except Problem as problem:
            return self._trouble(Failure(Kind.UNSAFE, problem.what, problem.remedy or ""))
        except (Unreadable, OSError) as error:
            remedy = f"look at it with: git -C {self.repo.path} fsck"
            return self._trouble(Failure(Kind.UNSAFE, f"cannot read {self.repo.path} ({error})", remedy))
        except GitError as error:
            return self._trouble(Failure(Kind.BUG, str(error), "see the relay's log"))
        except Exception as error:  # noqa: BLE001 - one repository's trouble never stops another's work
            report = write_report(error, self._instance.state)
            what = f"a bug in autosync ({type(error).__name__}: {error})"
            return self._trouble(Failure(Kind.BUG, what, f"please report it; the details are in {report}"))
        _log.error("%s: no rest after %d steps; looking again later", self.repo.path, _MOST_STEPS)
        return self._clock() + 5.0

    async def _decide(self) -> Plan:
        seen, known_anew = await asyncio.to_thread(self._look)
        self.seen = seen
        if known_anew:
            self._herald.changed(self)
        state = self._state(seen)
        decided = plan(state)
        if not seen.paused:
            for action in decided.actions:
                if isinstance(action, Announce):
                    self._herald.announce(self, action.move)
                    self._note_announcement(action.move)
                elif isinstance(action, Offer):
                    self._told = action.commit
                    self._herald.announce(self, Move(action.ref, action.commit), "committed")
            assert self._memory is not None
            self._unsaved = remember(self._memory, seen) or self._unsaved
            if not self._fetch_due:
                self._expected.clear()
        rest = tuple(action for action in decided.actions if not isinstance(action, (Announce, Offer)))
        return Plan(rest, decided.status, decided.wake)

    def _look(self) -> tuple[Observed, bool]:
        """The state, and whether the repository is another than it was. Runs in a thread of its own."""
        if self.repository is None or not self.repository.git_dir.exists():
            self.repository = Repository.open(self.repo.path)
            self.repository.make_own_folders()
            self._memory = Memory(self._instance.state / "relay", self.repository.git_dir)
        assert self._memory is not None
        self._settings = self._effective(self.repository)
        seen = look(self.repository, self._memory, self._expected, self._offered)
        return seen, self.identity.update(self.repository, self._settings.id, seen.head, seen.refs)

    def _effective(self, repository: Repository) -> Settings:
        shared = config.load_shared(repository.work_tree) if repository.work_tree else Shared()
        return config.effective(self.repo, shared)

    def _state(self, seen: Observed) -> State:
        now = self._clock()
        if self._next_poll == 0.0:
            self._next_poll = now + self._poll_pause()
        if seen.head != self._push_head:
            # a merge of ours is pushed at once: others may be at the same merge
            first = self._push_head is None or (seen.behind == 0 and self._push_head == "merged")
            due = now if first else now + self._settings.push_delay
            self._pauses.push_from = max(self._pauses.push_from, due)
            self._push_head = seen.head
        if seen.bare or self._settings.pull == "never":
            self._fetch_due = False
        if seen.tip is not None:
            self._branch_absent = False
        stopped = seen.head is not None and (seen.head, seen.tip) == self._stopped_at
        return State(
            path=self.repo.path,
            settings=self._settings,
            seen=seen,
            now=now,
            fetch_due=self._fetch_due,
            invitation=self._invitation,
            borrowed=self._borrowed,
            borrowed_until=self._next_poll,
            told=self._told,
            branch_absent=self._branch_absent or self._settings.pull == "never",
            stopped=stopped,
            fetch_from=self._pauses.fetch_from,
            push_from=self._pauses.push_from,
            move_from=self._pauses.move_from,
            failure=self.failure,
        )

    # acting ------------------------------------------------------------------------------------------

    async def _perform(self, actions: tuple[Action, ...]) -> None:
        assert self.repository is not None
        actor = Actor(self.repository, self._log, self._progressed)
        for action in actions:
            try:
                await self._one(actor, action)
            except Failed as failed:
                self._failed(action, failed.failure)
                return
            finally:
                self.progress = None
            self._succeeded(action)

    async def _one(self, actor: Actor, action: Action) -> None:
        if isinstance(action, Fetch):
            # a hint that comes while git fetches means one more fetch
            self._fetch_due = False
            self._next_poll = self._clock() + self._poll_pause()
            try:
                await actor.fetch(action)
            except BranchAbsent:
                self._branch_absent = True
            except Failed:
                self._fetch_due = True
                raise
        elif isinstance(action, DirectFetch):
            self._invitation = None
            await actor.direct_fetch(action)
            self._offered = action.invitation.commit
        elif isinstance(action, Push):
            await actor.push(action)
        elif isinstance(action, FastForward):
            await actor.fast_forward(action)
            if action.after == self._offered:
                self._borrowed = action.after
        elif isinstance(action, Merge):
            try:
                conflicts = await actor.merge(action, self._settings.conflict == "keep-both")
            except Stopped:
                self._stopped_at = (action.head, action.tip)
                return
            self._push_head = "merged"
            if conflicts:
                self._herald.resolved(self, conflicts)
        elif isinstance(action, Recover):
            await actor.recover()

    def _failed(self, action: Action, failure: Failure) -> None:
        pauses, now = self._pauses, self._clock()
        if isinstance(action, DirectFetch):
            # the upstream has it, or will be told of soon
            _log.info("%s: %s", self.repo.path, failure.what)
            return
        if isinstance(action, Fetch):
            pauses.fetch_from = now + pauses.fetch.pause(failure.kind)
        elif isinstance(action, Push):
            pauses.push_from = now + pauses.push.pause(failure.kind)
            if failure.kind is Kind.RACE:
                self._fetch_due = True
        else:
            pauses.move_from = now + pauses.move.pause(failure.kind)
        if failure.kind not in (Kind.RACE, Kind.LOCKED):
            self._set_failure(failure)

    def _succeeded(self, action: Action) -> None:
        pauses = self._pauses
        if isinstance(action, Fetch):
            pauses.fetch.reset()
            pauses.fetch_from = 0.0
            if self.failure and self.failure.kind in (Kind.OFFLINE, Kind.AUTH, Kind.MISSING, Kind.UNSAFE):
                self._set_failure(None)
                # what could not be pushed may be pushable now
                pauses.push_from = 0.0
        elif isinstance(action, Push):
            pauses.push.reset()
            self._set_failure(None)
        elif isinstance(action, (FastForward, Merge)):
            pauses.move.reset()
            pauses.move_from = 0.0
            if self.failure and self.failure.kind is Kind.IN_THE_WAY:
                self._set_failure(None)

    def _trouble(self, failure: Failure) -> float:
        """The repository cannot even be looked at; returns when to try again."""
        self._set_failure(failure)
        self._show(Status("error", failure.what, failure.remedy))
        return self._clock() + self._pauses.move.pause(failure.kind)

    async def _rest(self, decided: Plan) -> None:
        assert self._memory is not None
        if self._unsaved:
            # late: whoever waits for the work does not wait for the disk
            self._unsaved = False
            await asyncio.to_thread(self._memory.save)
        if decided.status.name == "in sync":
            self.last_sync = time.time()
            self._set_failure(None)
            self._pauses.move.reset()
        self._show(decided.status)

    def _set_failure(self, failure: Failure | None) -> None:
        if (failure and failure.what) == (self.failure and self.failure.what):
            return
        if failure is None:
            _log.info("%s: the trouble is over", self.repo.path)
            self.failing_since = None
        else:
            # once for each trouble, not each time it is met
            _log.warning("%s: %s (%s)", self.repo.path, failure.what, failure.remedy)
            self.failing_since = self.failing_since or time.time()
        self.failure = failure
        self._herald.changed(self)

    def _show(self, status: Status) -> None:
        if status != self.status:
            if status.name in ("held", "diverged", "no upstream") and status.reason != self.status.reason:
                _log.warning("%s: %s: %s", self.repo.path, status.reason, status.remedy)
                self._log.append(Operation(str(self.repo.path), "hold", detail=status.reason or ""))
            self.status = status
            self._herald.changed(self)

    def _note_announcement(self, move: Move) -> None:
        self._log.append(Operation(str(self.repo.path), "announce", move.ref, None, move.commit))

    def _progressed(self, line: str) -> None:
        self.progress = line

    def _poll_pause(self) -> float:
        # without a first commit there is no id by which an announcement could be known
        unborn = self.seen is not None and not self.seen.bare and self.seen.head is None
        pause = min(self._settings.poll, _UNBORN_POLL) if unborn else self._settings.poll
        return pause * random.uniform(0.85, 1.15)  # noqa: S311 - spreads machines, hides nothing

    def report(self) -> dict[str, Any]:
        """What `status` shows, as in docs/protocol.md."""
        seen, failure = self.seen, self.failure
        error = failure and {"what": failure.what, "remedy": failure.remedy, "since": self.failing_since}
        upstream = seen.upstream if seen else None
        return {
            "path": str(self.repo.path),
            "id": self.identity.id,
            "state": self.status.name,
            "reason": self.status.reason,
            "remedy": self.status.remedy,
            "branch": seen.branch.removeprefix("refs/heads/") if seen and seen.branch else None,
            "head": seen.head if seen else None,
            "upstream": f"{upstream.remote}/{upstream.ref.removeprefix('refs/heads/')}" if upstream else None,
            "ahead": seen.ahead if seen else 0,
            "behind": seen.behind if seen else 0,
            "last_error": error,
            "last_sync": self.last_sync,
            "progress": self.progress,
        }
