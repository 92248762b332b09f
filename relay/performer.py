"""Perform the actions of a plan, and take note of how each went."""

from __future__ import annotations

import logging
from collections.abc import Callable

from autosync.common.operations import OperationLog
from autosync.common.progress import Meter
from autosync.common.repository import Repository

from . import agent
from .act import Actor, BranchAbsent, Stopped
from .condition import Condition
from .conflict import Conflict
from .failures import PASSING, Failed, Failure, Kind
from .observer import Observer
from .outlook import Outlook
from .schedule import Schedule
from .state import Action, DirectFetch, FastForward, Fetch, Merge, Observed, Push, Recover, doing
from .upkeep import Upkeep

_log = logging.getLogger(__name__)
#: So many failures in a row, in about 15 seconds, are shown although their kind passes as a rule.
_LASTING = 10
_ENDED_BY_FETCH = (Kind.OFFLINE, Kind.AUTH, Kind.MISSING, Kind.UNSAFE)


class Performer:
    """Works for one repository. ``arrived`` gets the commits before and after a move of the work tree, and
    ``resolved`` the conflicts of which both versions were kept."""

    def __init__(
        self,
        observer: Observer,
        outlook: Outlook,
        schedule: Schedule,
        condition: Condition,
        operations: OperationLog,
        meter: Meter,
        clock: Callable[[], float],
        arrived: Callable[[str, str], None],
        resolved: Callable[[tuple[Conflict, ...]], None],
    ) -> None:
        self._observer = observer
        self._outlook = outlook
        self._schedule = schedule
        self._condition = condition
        self._log = operations
        self._meter = meter
        self._upkeep = Upkeep(clock)
        self._arrived = arrived
        self._resolved = resolved

    @property
    def due(self) -> float:
        """When there is something to see to at rest, in monotonic seconds."""
        return self._upkeep.due

    async def perform(self, repository: Repository, actions: tuple[Action, ...], seen: Observed) -> None:
        """Do them, one after the other, up to the first that cannot be done; ``seen`` is what they were decided from.
        Raises Problem, GitError, OSError."""
        actor = Actor(repository, self._log, self._meter.said)
        for action in actions:
            self._outlook.begins(action)
            try:
                with self._meter.during(doing(action)):
                    await self._one(actor, action, seen)
            except Failed as failed:
                self._outlook.failed(action, failed.failure)
                if failed.failure.kind is Kind.AUTH and await agent.found_anew():
                    return  # and look again, which tries the same with that
                self._failed(action, failed.failure)
                if failed.failure.kind in (*PASSING, Kind.UNSAFE):
                    await self._upkeep.drop_dead_locks(repository)
                    self._upkeep.suspect = True
                return
            except Exception:
                self._outlook.broken_off(action)
                raise
            self._succeeded(action)

    async def _one(self, actor: Actor, action: Action, seen: Observed) -> None:
        if isinstance(action, Fetch):
            self._schedule.polled(seen, self._observer.settings)
            try:
                await actor.fetch(action)
            except BranchAbsent:
                self._outlook.branch_absent(action.upstream)
                return
        elif isinstance(action, DirectFetch):
            await actor.direct_fetch(action)
        elif isinstance(action, Push):
            assert self._observer.memory is not None
            self._observer.memory.push_begins(action.upstream.ref, action.commit)
            await actor.push(action)
        elif isinstance(action, FastForward):
            await actor.fast_forward(action)
            if action.before is not None:
                self._arrived(action.before, action.after)
        elif isinstance(action, Merge):
            try:
                conflicts = await actor.merge(action, self._observer.settings.conflict == "keep-both")
            except Stopped:
                self._outlook.merge_stopped(action.head, action.tip)
                return
            self._schedule.merged()
            self._arrived(action.head, action.tip)
            if conflicts:
                self._resolved(conflicts)
        elif isinstance(action, Recover):
            await actor.recover()
            # with the move complete, git may yet have been killed before it took its locks away
            self._upkeep.suspect = True
        self._outlook.done(action)

    async def at_rest(self, repository: Repository, seen: Observed) -> None:
        """There is nothing more to do: see to what was put off. Raises OSError."""
        await self._upkeep.at_rest(repository, Actor(repository, self._log, self._meter.said), paused=bool(seen.paused))

    def _failed(self, action: Action, failure: Failure) -> None:
        if isinstance(action, DirectFetch):
            # the upstream has it, or will be told of soon
            _log.info("%s: %s", self._observer.repo.path, failure.what)
            return
        self._schedule.failed(action, failure.kind)
        if failure.kind not in PASSING or self._schedule.failures(action) >= _LASTING:
            self._condition.fail(failure)

    def _succeeded(self, action: Action) -> None:
        self._schedule.succeeded(action)
        self._upkeep.untidy = self._upkeep.untidy or isinstance(action, (Fetch, Push, Merge))
        over = self._condition.failure is not None and (
            isinstance(action, Push)
            or (isinstance(action, Fetch) and self._condition.failure.kind in _ENDED_BY_FETCH)
            or (
                isinstance(action, (FastForward, Merge))
                and self._condition.failure.kind in (Kind.IN_THE_WAY, Kind.LOCKED)
            )
        )
        if over:
            self._condition.fail(None)
            if isinstance(action, Fetch):
                # what could not be pushed may be pushable now
                self._schedule.push_from = 0.0
