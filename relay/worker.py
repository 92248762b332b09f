"""One worker for each repository: wait for a hint, look, plan, act."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from autosync.common import config, reflocks
from autosync.common.claims import Claims
from autosync.common.config import Repo, Settings, Shared
from autosync.common.errors import Problem, bug
from autosync.common.git import GitError
from autosync.common.instance import Instance
from autosync.common.operations import Operation, OperationLog
from autosync.common.progress import Meter
from autosync.common.reader import Unreadable
from autosync.common.repository import Repository
from autosync.common.shared import SharedSettings
from autosync.common.shell import typed

from . import agent
from .act import Actor, BranchAbsent, Stopped
from .announcement import Announcement
from .announcement import Kind as AnnouncementKind
from .conflict import Conflict
from .failures import PASSING, REFUSED, Failed, Failure, Kind
from .identity import Identity
from .look import look, remember
from .memory import Memory
from .plan import plan
from .remote import Remote
from .schedule import Schedule
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
    doing,
)

_log = logging.getLogger(__name__)
#: Actions in one turn without waiting; a plan that never comes to rest is a bug, and must not spin.
_MOST_STEPS = 50
#: Seconds that `sync` waits at most, and the seconds until a next try for which it waits on.
_SYNC_LIMIT, _SOON = 3600.0, 3.0
#: Seconds between two looks whether git's objects are to be packed.
_TIDY_EVERY = 900.0
#: So many failures in a row, in about 15 seconds, are shown although their kind passes as a rule.
_LASTING = 10
_ENDED_BY_FETCH = (Kind.OFFLINE, Kind.AUTH, Kind.MISSING, Kind.UNSAFE)


class Herald(Protocol):
    """Where a worker's announcements and notices go."""

    def announce(self, worker: Worker, move: Move, kind: AnnouncementKind = "pushed") -> None:
        """A ref on the remote moved by a push from here, or (`committed`) is about to."""

    def changed(self, worker: Worker) -> None:
        """The worker's status, or its identity, is another."""

    def arrived(self, worker: Worker, before: str, after: str) -> None:
        """The work tree has what ``after`` brings; it was at ``before``, and ``after`` need not contain that."""

    def resolved(self, worker: Worker, conflicts: tuple[Conflict, ...]) -> None:
        """Conflicts were resolved by keeping both versions."""


class Worker:
    """Keeps one repository in sync. `hint` and `fetch_hint` may be called at any time, any number of times."""

    def __init__(
        self,
        repo: Repo,
        instance: Instance,
        herald: Herald,
        clock: Callable[[], float] = time.monotonic,
        memory: Memory | None = None,
        claims: Claims | None = None,
    ) -> None:
        """``memory``: another one than the instance's for the repository. ``claims`` are those of all workers."""
        self.repo = repo
        self.status = Status("waiting", "not looked at yet")
        self.seen: Observed | None = None
        self.repository: Repository | None = None
        self.identity = Identity()
        self.remote = Remote()
        self.failure: Failure | None = None
        self.failing_since: float | None = None
        self.last_sync: float | None = None
        self._meter = Meter(clock)
        self._instance = instance
        self._herald = herald
        self._clock = clock
        self._log = OperationLog(instance.operations)
        self._memory = memory
        self._own_memory = memory is None
        self._claims = claims or Claims()
        self._settings = repo.settings
        self._shared_file = SharedSettings()
        self._shared: Shared | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._turns = 0
        self._fetch_due = True
        self._schedule = Schedule(clock)
        self._retry_at = math.inf
        self._absent: str | None = None
        self._stopped_at: tuple[str, str] | None = None
        self._expected: dict[str, str] = {}
        self._unsaved = False
        self._invitation: Invitation | None = None
        self._offered: str | None = None
        self._borrowed: str | None = None
        self._told: str | None = None
        self._tidy_from = 0.0
        self._untidy = False
        #: the remote has been asked, or has answered, since the latest push began
        self._answered = False
        #: the commit that the remote did not take
        self._refused: str | None = None
        # a git may have been killed here, and locks of refs may be left; when to look at those that were too new
        self._suspect, self._locks_from = True, math.inf

    @property
    def progress(self) -> str | None:
        """What is being done and how far it is, once it takes longer than a moment."""
        return self._meter.text

    # hints -------------------------------------------------------------------------------------------

    def hint(self) -> None:
        """Something may have changed here: look."""
        # put back, perhaps
        self._fetch_due = self._fetch_due or self._absent is not None
        self._idle.clear()
        self._wake.set()

    def reopen(self) -> None:
        """The repository, or our folder in it, may be another: find it anew at the next look."""
        self.repository = None

    def fetch_hint(self) -> None:
        """The remote may have moved: look there too."""
        self._fetch_due = True
        self.hint()

    def retry(self) -> None:
        """What kept the remote away may be over: try now, whatever pause was under way. One of thousands of bare
        repositories has no remote, and is looked at only if it was in trouble."""
        self._schedule.forget_pauses()
        if not self._is_bare() or self.failure is not None:
            self.fetch_hint()

    def heard(self, announcement: Announcement) -> bool:
        """Somebody says that the remote, or a machine, has a commit. What is here already makes no work; returns
        whether there is any."""
        seen, repository, commit = self.seen, self.repository, announcement.commit
        if seen is None or repository is None or seen.bare:
            return False
        near = False
        with contextlib.suppress(Unreadable):
            reader = repository.reader()
            known = [c for c in (seen.tip, seen.head) if c]
            if reader.has_commit(commit) and any(reader.is_ancestor(commit, c) for c in known):
                return False
            near = reader.remote_url(announcement.machine) != announcement.machine
        if near and seen.upstream is not None and announcement.ref == seen.upstream.ref:
            self._invitation = Invitation(announcement.machine, announcement.ref, commit)
            self._fetch_due = self._fetch_due or announcement.kind == "pushed"
            self.hint()
        elif announcement.kind == "pushed":
            # many machines that hear the same spread their fetches
            spread = random.uniform(0, self._settings.fetch_jitter)  # noqa: S311
            self._schedule.fetch_in(spread)
            self.fetch_hint()
        else:
            return False
        return True

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self._settings

    @property
    def news(self) -> tuple[str | None, str | None]:
        """What is known of the others' work: another value means that a fetch has found something."""
        return self.seen.tip if self.seen else None, self._offered

    def expect(self, ref: str, commit: str) -> None:
        """A push by hand meant to put ``commit`` at the remote's ``ref``, past git's own bookkeeping."""
        self._expected[ref] = commit
        self.fetch_hint()

    async def sync(self, progress: Callable[[str], None]) -> None:
        """Forget all pauses, look at both sides now, and return when the worker has come to rest."""
        self._schedule.push_now()
        self._schedule.forget_pauses()
        self.fetch_hint()
        turns, shown, end = self._turns, None, self._clock() + _SYNC_LIMIT
        while self._clock() < end and (self._turns == turns or not self._at_rest()):
            if self.progress and self.progress != shown:
                shown = self.progress
                progress(f"{self.repo.path}: {shown}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5 if not self._idle.is_set() else 0.05):
                    await (self._idle if not self._idle.is_set() else self._wake).wait()

    def _at_rest(self) -> bool:
        """Whether nothing is going on, nor will be in a moment (after a lost race, say)."""
        soon = self._retry_at - self._clock() < _SOON
        return self._idle.is_set() and (self.failure is not None or not soon)

    # the loop ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled. Trouble with the repository shows in `status`; it never ends the worker."""
        while True:
            wake = await self._turn()
            self._turns += 1
            if not self._wake.is_set():
                self._idle.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if wake == math.inf else max(0.0, wake - self._clock())):
                    await self._wake.wait()
            if self._clock() >= self._schedule.next_poll:
                self._fetch_due = self._fetch_due or self._settings.pull != "never"

    async def once(self) -> None:
        """Work until there is nothing more to do now, waiting for what is due soon (one-shot runs)."""
        end = self._clock() + 60.0
        while self._clock() < end:
            wake = await self._turn()
            if self.failure is not None and self.failure.kind not in PASSING:
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
                    # not the poll, which always comes
                    self._retry_at = math.inf if decided.wake is None else decided.wake
                    await self._rest(decided)
                    next_poll = (
                        math.inf if decided.status.name == "in sync" and self._is_bare() else self._schedule.next_poll
                    )
                    return min(decided.wake or next_poll, next_poll, self._locks_from)
                self._show(decided.status)
                await self._perform(decided.actions)
        except Problem as problem:
            return self._trouble(Failure(Kind.UNSAFE, problem.what, problem.remedy or ""))
        except (Unreadable, OSError) as error:
            remedy = f"look at it with: git -C {typed(self.repo.path)} fsck"
            return self._trouble(Failure(Kind.UNSAFE, f"cannot read {self.repo.path} ({error})", remedy))
        except GitError as error:
            return self._trouble(Failure(Kind.BUG, str(error), "see the relay's log"))
        except Exception as error:  # noqa: BLE001 - one repository's trouble never stops another's work
            found = bug(error, self._instance.state)
            return self._trouble(Failure(Kind.BUG, found.what, found.remedy or ""))
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
            if self._answered:
                self._answered = False
                self._memory.pushes_ended()
        rest = tuple(action for action in decided.actions if not isinstance(action, (Announce, Offer)))
        return Plan(rest, decided.status, decided.wake)

    def _is_bare(self) -> bool:
        """A bare repository has no remote to be polled: its hook says when something moves."""
        return self.seen is not None and self.seen.bare

    def _look(self) -> tuple[Observed, bool]:
        """The state, and whether the repository is another than it was. Runs in a thread of its own."""
        if self.repository is None or not self.repository.git_dir.exists():
            repository = Repository.open(self.repo.path)
            self._claims.claim(repository)
            repository.make_own_folders()
            self.repository = repository
            if self._own_memory:
                self._memory = Memory.of(self._instance.state / "relay", self.repository.git_dir)
        assert self._memory is not None
        self._settings = self._effective(self.repository)
        self._see_whether_mended(self.repository)
        seen = look(self.repository, self._memory, self._memory.pushing | self._expected, self._offered)
        # the deletion of the last branch of a central repository is announced as of the repository that it was
        refs = seen.refs or (self._memory.seen if seen.bare else None) or {}
        known_anew = self.identity.update(self.repository, self._settings.id, seen.head, refs, seen.related)
        if known_anew and not seen.bare:
            seen = self._see_whether_replaced(seen)
        return seen, self.remote.update(self.repository, seen) or known_anew

    def _see_whether_replaced(self, seen: Observed) -> Observed:
        """Another repository in the old one's place is not synchronised before a person has said that it is meant."""
        assert self.repository is not None and self._memory is not None
        old, new = self._memory.root, self.identity.root
        if new is None or old == new:
            return seen
        # a history that was joined or deepened still has the old first commit
        shallow = (self.repository.common_dir / "shallow").exists()
        replaced = old is not None and not shallow and not self.repository.reader().has_commit(old)
        if replaced and not seen.paused:
            assert old is not None
            reason = f"another repository is here now: its first commit is {new[:7]}, and was {old[:7]}"
            # a pause, which the watcher heeds, too; before it is remembered: a kill between the two asks once more
            self.repository.pause_mark.write_text(reason + "\n")
            seen = replace(seen, paused=reason)
        self._memory.root = new
        self._memory.save()
        return seen

    def _see_whether_mended(self, repository: Repository) -> None:
        """A person who has taken back what the remote refused waits for no pause."""
        if self._refused is not None:
            reader = repository.reader()
            head = reader.head().commit or ""
            there = head and reader.has_commit(self._refused)
            if not (there and reader.is_ancestor(self._refused, head)):
                self._refused = None
                self._schedule.forget_pauses()

    def _effective(self, repository: Repository) -> Settings:
        shared = self._shared_file.read(repository)
        if shared is not self._shared and shared != self._shared:
            self._shared, self._settings = shared, config.effective(self.repo, shared)
        return self._settings

    def _state(self, seen: Observed) -> State:
        self._schedule.observe(seen, self._settings)
        if seen.bare or self._settings.pull == "never":
            self._fetch_due = False
        absent = seen.upstream is not None and seen.upstream.tracking == self._absent
        stopped = seen.head is not None and (seen.head, seen.tip) == self._stopped_at
        return State(
            path=self.repo.path,
            settings=self._settings,
            seen=seen,
            now=self._clock(),
            fetch_due=self._fetch_due,
            invitation=self._invitation,
            borrowed=self._borrowed,
            borrowed_until=self._schedule.next_poll,
            told=self._told,
            branch_absent=absent or (seen.tip is None and self._settings.pull == "never"),
            stopped=stopped,
            fetch_from=self._schedule.fetch_from,
            push_from=self._schedule.push_from,
            move_from=self._schedule.move_from,
            failure=self.failure,
        )

    # acting ------------------------------------------------------------------------------------------

    async def _perform(self, actions: tuple[Action, ...]) -> None:
        assert self.repository is not None
        actor = Actor(self.repository, self._log, self._meter.said)
        for action in actions:
            try:
                with self._meter.during(doing(action)):
                    await self._one(actor, action)
            except Failed as failed:
                if failed.failure.kind is Kind.AUTH and await agent.found_anew():
                    return  # and look again, which tries the same with that
                self._failed(action, failed.failure)
                if failed.failure.kind in (*PASSING, Kind.UNSAFE):
                    await self._drop_dead_locks()
                    self._suspect = True
                return
            self._succeeded(action)

    async def _drop_dead_locks(self) -> None:
        assert self.repository is not None
        for path in await asyncio.to_thread(reflocks.drop_dead, self.repository):
            _log.warning("%s: %s was left by a git that was killed, and is removed", self.repo.path, path)
        left = await asyncio.to_thread(reflocks.left, self.repository)
        self._suspect, self._locks_from = False, self._clock() + reflocks.OLD if left else math.inf

    async def _one(self, actor: Actor, action: Action) -> None:
        if isinstance(action, Fetch):
            # a hint that comes while git fetches means one more fetch
            self._fetch_due = False
            self._schedule.polled(self.seen, self._settings)
            try:
                await actor.fetch(action)
                self._answered = True
                self._absent = None
            except BranchAbsent:
                self._absent = action.upstream.tracking
            except Failed:
                self._fetch_due = True
                raise
        elif isinstance(action, DirectFetch):
            self._invitation = None
            await actor.direct_fetch(action)
            self._offered = action.invitation.commit
        elif isinstance(action, Push):
            assert self._memory is not None
            self._memory.push_begins(action.upstream.ref, action.commit)
            await actor.push(action)
            self._answered, self._refused = True, None
            self._absent = None
        elif isinstance(action, FastForward):
            await actor.fast_forward(action)
            if action.before is not None:
                self._herald.arrived(self, action.before, action.after)
            if action.after == self._offered:
                self._borrowed = action.after
        elif isinstance(action, Merge):
            try:
                conflicts = await actor.merge(action, self._settings.conflict == "keep-both")
            except Stopped:
                self._stopped_at = (action.head, action.tip)
                if action.tip == self._offered:
                    self._offered = None
                return
            self._schedule.merged()
            self._herald.arrived(self, action.head, action.tip)
            if conflicts:
                self._herald.resolved(self, conflicts)
        elif isinstance(action, Recover):
            await actor.recover()
            # with the move complete, git may yet have been killed before it took its locks away
            self._suspect = True

    def _failed(self, action: Action, failure: Failure) -> None:
        if isinstance(action, DirectFetch):
            # the upstream has it, or will be told of soon
            _log.info("%s: %s", self.repo.path, failure.what)
            return
        self._schedule.failed(action, failure.kind)
        if isinstance(action, Push) and failure.kind is Kind.RACE:
            self._fetch_due = True
        if isinstance(action, Push) and failure.kind in REFUSED:
            self._refused = action.commit
        if failure.kind not in PASSING or self._schedule.failures(action) >= _LASTING:
            self._set_failure(failure)

    def _succeeded(self, action: Action) -> None:
        self._schedule.succeeded(action)
        self._untidy = self._untidy or isinstance(action, (Fetch, Push, Merge))
        over = self.failure is not None and (
            isinstance(action, Push)
            or (isinstance(action, Fetch) and self.failure.kind in _ENDED_BY_FETCH)
            or (isinstance(action, (FastForward, Merge)) and self.failure.kind in (Kind.IN_THE_WAY, Kind.LOCKED))
        )
        if over:
            self._set_failure(None)
            if isinstance(action, Fetch):
                # what could not be pushed may be pushable now
                self._schedule.push_from = 0.0

    def _trouble(self, failure: Failure) -> float:
        """The repository cannot even be looked at; returns when to try again."""
        self._set_failure(failure)
        self._show(Status("error", failure.what, failure.remedy))
        return self._clock() + self._schedule.move.pause(failure.kind)

    async def _rest(self, decided: Plan) -> None:
        assert self._memory is not None
        if (self._suspect or self._clock() >= self._locks_from) and not (self.seen and self.seen.paused):
            await self._drop_dead_locks()
        if self._untidy and self._clock() >= self._tidy_from and self.repository is not None:
            self._untidy, self._tidy_from = False, self._clock() + _TIDY_EVERY
            await Actor(self.repository, self._log, self._meter.said).tidy()
        if self._unsaved:
            # late: whoever waits for the work does not wait for the disk
            self._unsaved = False
            await asyncio.to_thread(self._memory.save)
        if decided.status.name == "in sync":
            self.last_sync = time.time()
            self._set_failure(None)
            self._schedule.move.reset()
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
        if (wrong := self._shared_file.problem) is not None and status == Status("in sync"):
            status = Status("in sync", wrong.what, wrong.remedy)
        if status != self.status:
            if status.name in ("held", "diverged", "no upstream") and status.reason != self.status.reason:
                _log.warning("%s: %s: %s", self.repo.path, status.reason, status.remedy)
                seen = self.seen or Observed(False)
                refs = (seen.branch, seen.head, seen.tip)
                self._log.append(Operation(str(self.repo.path), "hold", *refs, status.reason or ""))
            self.status = status
            self._herald.changed(self)

    def _note_announcement(self, move: Move) -> None:
        self._log.append(Operation(str(self.repo.path), "announce", move.ref, move.before, move.commit))
