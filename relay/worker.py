"""One worker for each repository: wait for a hint, look, plan, act."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Callable

from autosync.common.claims import Claims
from autosync.common.config import Repo, Settings
from autosync.common.errors import Problem, bug
from autosync.common.git import GitError
from autosync.common.instance import Instance
from autosync.common.operations import Operation, OperationLog
from autosync.common.progress import Meter
from autosync.common.reader import Unreadable
from autosync.common.repository import Repository
from autosync.common.shell import typed

from .announcement import Announcement
from .condition import Condition
from .failures import PASSING, Failure, Kind
from .herald import Herald
from .identity import Identity
from .look import remember
from .memory import Memory
from .observer import Observer
from .outlook import Outlook, wish
from .performer import Performer
from .plan import plan
from .remote import Remote
from .schedule import Schedule
from .state import Announce, Move, Observed, Offer, Plan, State, Status

_log = logging.getLogger(__name__)
#: Actions in one turn without waiting; a plan that never comes to rest is a bug, and must not spin.
_MOST_STEPS = 50
#: Seconds that `sync` waits at most, and the seconds until a next try for which it waits on.
_SYNC_LIMIT, _SOON = 3600.0, 3.0


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
        self.seen: Observed | None = None
        self._instance = instance
        self._herald = herald
        self._clock = clock
        self._log = OperationLog(instance.operations)
        self.condition = Condition(repo.path, self._log, lambda: herald.changed(self))
        self._observer = Observer(repo, instance.state / "relay", claims or Claims(), memory)
        self._outlook = Outlook()
        self._schedule = Schedule(clock)
        self._meter = Meter(clock)
        self._performer = Performer(
            self._observer,
            self._outlook,
            self._schedule,
            self.condition,
            self._log,
            self._meter,
            clock,
            arrived=lambda before, after: herald.arrived(self, before, after),
            resolved=lambda conflicts: herald.resolved(self, conflicts),
        )
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._turns = 0
        self._retry_at = math.inf
        self._unsaved = False

    @property
    def progress(self) -> str | None:
        """What is being done and how far it is, once it takes longer than a moment."""
        return self._meter.text

    @property
    def status(self) -> Status:
        """What is shown of it."""
        return self.condition.status

    @property
    def failure(self) -> Failure | None:
        """The trouble it is in."""
        return self.condition.failure

    @property
    def repository(self) -> Repository | None:
        """None before the first look."""
        return self._observer.repository

    @property
    def identity(self) -> Identity:
        """By what others know it."""
        return self._observer.identity

    @property
    def remote(self) -> Remote:
        """Where its upstream is."""
        return self._observer.remote

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self._observer.settings

    @property
    def news(self) -> tuple[str | None, str | None]:
        """What is known of the others' work: another value means that a fetch has found something."""
        return self.seen.tip if self.seen else None, self._outlook.offered

    # hints -------------------------------------------------------------------------------------------

    def hint(self) -> None:
        """Something may have changed here: look."""
        self._outlook.hinted()
        self._idle.clear()
        self._wake.set()

    def reopen(self) -> None:
        """The repository, or our folder in it, may be another: find it anew at the next look."""
        self._observer.repository = None

    def fetch_hint(self) -> None:
        """The remote may have moved: look there too."""
        self._outlook.fetch_due = True
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
        seen, repository = self.seen, self.repository
        if seen is None or repository is None or seen.bare:
            return False
        wanted = wish(announcement, seen, repository)
        if wanted == "machine":
            self._outlook.invited(announcement)
            self.hint()
        elif wanted == "remote":
            # many machines that hear the same spread their fetches
            spread = random.uniform(0, self.settings.fetch_jitter)  # noqa: S311
            self._schedule.fetch_in(spread)
            self.fetch_hint()
        return wanted != "nothing"

    def expect(self, ref: str, commit: str) -> None:
        """A push by hand meant to put ``commit`` at the remote's ``ref``, past git's own bookkeeping."""
        self._outlook.expected[ref] = commit
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
                self._outlook.fetch_due = self._outlook.fetch_due or self.settings.pull != "never"

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
                seen, repository = self.seen, self.repository
                if seen is None or repository is None:
                    continue  # it is to be found anew
                if not decided.actions:
                    # not the poll, which always comes
                    self._retry_at = math.inf if decided.wake is None else decided.wake
                    await self._rest(repository, seen, decided)
                    next_poll = (
                        math.inf if decided.status.name == "in sync" and self._is_bare() else self._schedule.next_poll
                    )
                    return min(decided.wake or next_poll, next_poll, self._performer.due)
                self._show(decided.status)
                await self._performer.perform(repository, decided.actions, seen)
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
                    self._outlook.told = action.commit
                    self._herald.announce(self, Move(action.ref, action.commit), "committed")
            memory = self._observer.memory
            assert memory is not None
            self._unsaved = remember(memory, seen) or self._unsaved
            if not self._outlook.fetch_due:
                self._outlook.expected.clear()
            if self._outlook.answered:
                self._outlook.answered = False
                memory.pushes_ended()
        rest = tuple(action for action in decided.actions if not isinstance(action, (Announce, Offer)))
        return Plan(rest, decided.status, decided.wake)

    def _is_bare(self) -> bool:
        """A bare repository has no remote to be polled: its hook says when something moves."""
        return self.seen is not None and self.seen.bare

    def _look(self) -> tuple[Observed, bool]:
        """The state, and whether the repository is another than it was. Runs in a thread of its own."""
        if self._outlook.mended(self._observer.open().reader()):
            # a person who has taken back what the remote refused waits for no pause
            self._schedule.forget_pauses()
        return self._observer.look(self._outlook.expected, self._outlook.offered)

    def _state(self, seen: Observed) -> State:
        outlook, schedule, settings = self._outlook, self._schedule, self.settings
        schedule.observe(seen, settings)
        if seen.bare or settings.pull == "never":
            outlook.fetch_due = False
        absent = seen.upstream is not None and seen.upstream.tracking == outlook.absent
        return State(
            path=self.repo.path,
            settings=settings,
            seen=seen,
            now=self._clock(),
            fetch_due=outlook.fetch_due,
            invitation=outlook.invitation,
            borrowed=outlook.borrowed,
            borrowed_until=schedule.next_poll,
            told=outlook.told,
            branch_absent=absent or (seen.tip is None and settings.pull == "never"),
            stopped=seen.head is not None and (seen.head, seen.tip) == outlook.stopped_at,
            fetch_from=schedule.fetch_from,
            push_from=schedule.push_from,
            move_from=schedule.move_from,
            failure=self.failure,
        )

    def _trouble(self, failure: Failure) -> float:
        """The repository cannot even be looked at; returns when to try again."""
        self.condition.fail(failure)
        self._show(Status("error", failure.what, failure.remedy))
        return self._clock() + self._schedule.move.pause(failure.kind)

    async def _rest(self, repository: Repository, seen: Observed, decided: Plan) -> None:
        memory = self._observer.memory
        await self._performer.at_rest(repository, seen)
        if self._unsaved and memory is not None:
            # late: whoever waits for the work does not wait for the disk
            self._unsaved = False
            await asyncio.to_thread(memory.save)
        if decided.status.name == "in sync":
            self.condition.in_sync()
            self._schedule.move.reset()
        self._show(decided.status)

    def _show(self, status: Status) -> None:
        if (wrong := self._observer.problem) is not None and status == Status("in sync"):
            status = Status("in sync", wrong.what, wrong.remedy)
        self.condition.show(status, self.seen)

    def _note_announcement(self, move: Move) -> None:
        self._log.append(Operation(str(self.repo.path), "announce", move.ref, move.before, move.commit))
