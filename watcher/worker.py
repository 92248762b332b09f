"""One repository for the service: its sessions, what is wrong between them, and how it is."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from pathlib import Path
from typing import Any

from autosync.common.config import Repo, effective
from autosync.common.errors import Problem, bug
from autosync.common.git import GitError
from autosync.common.progress import Meter
from autosync.common.reader import Unreadable
from autosync.common.repository import Repository
from autosync.common.shared import SharedSettings
from autosync.common.shell import typed

from . import courtesy
from .asking import Asking
from .attempts import Attempts, Pause
from .commit import Committer, Outcome
from .condition import Condition
from .courtesy import Hold
from .serving import Service
from .session import POLL, Session, Standing, rest
from .settle import Settling
from .waiting import Waiting
from .watch import Anew, Watch, gone

_log = logging.getLogger(__name__)

# Seconds between tries to open what cannot be opened.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class Worker:
    """Watches and commits one repository until it is cancelled."""

    def __init__(self, repo: Repo, service: Service) -> None:
        self.repo = repo
        self._service = service
        self._condition = Condition(os.fspath(repo.path), self._tell)
        self._settling = Settling(repo.settings.settle, repo.settings.max_wait)
        self._asking = Asking(repo.path, service.notices.desktop, self.look)
        self._attempts = Attempts(repo.path, self._settling, service.operations, self._asking)
        self._waiting = Waiting()
        self._nested: set[bytes] = set()
        self._meter = Meter()
        self._wake = asyncio.Event()
        self._shared = SharedSettings()
        self._committer: Committer | None = None
        self._session: Session | None = None

    async def run(self) -> None:
        """Work until cancelled; what goes wrong is a state, and tried again."""
        if not self.repo.settings.watch:
            self._condition.set("off", "watch = false")
            return
        try:
            await self._work()
        finally:
            self._waiting.answer(Problem("the watcher has let go of it", "see autosync status"))

    async def _work(self) -> None:
        pause, known = Pause(_FIRST_PAUSE, _LONGEST_PAUSE), False
        while True:
            self._wake.clear()
            try:
                # in a thread: a file system that hangs must not stop the other repositories
                repository = await asyncio.to_thread(_opened, self.repo.path, known)
                known = True
                if repository.work_tree is None:
                    self._condition.set("off", "a bare repository has no files to watch")
                    return
                self._service.claims.claim(repository)
                await self._watch(repository, pause)
            except Anew as anew:
                self._condition.set("polling", anew.reason, anew.remedy)
                continue
            except Problem as problem:
                self._condition.set("error", problem.what, problem.remedy)
            except (GitError, Unreadable, OSError) as error:
                self._condition.set("error", str(error), f"see what git says: git -C {typed(self.repo.path)} status")
            except Exception as error:  # noqa: BLE001 - one repository's trouble must not end the others' work
                found = bug(error, self._service.reports)
                self._condition.set("error", found.what, found.remedy)
            self._waiting.answer(Problem(self._condition.reason or "not watching", self._condition.remedy))
            await rest(self._wake, pause.next())

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
        if self._session is None:
            self.look()
            return None
        self._wake.set()
        try:
            return await self._waiting.join()
        except Problem:
            return None

    def confirm_deletions(self) -> None:
        """Let the mass deletion that is held through."""
        if self._committer is not None:
            self._committer.confirmed = True
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
        condition, session = self._condition, self._session
        answer: dict[str, Any] = {"path": os.fspath(self.repo.path)}
        hold = self._present_hold() if condition.state not in ("off", "error") else None
        if hold is not None:
            answer |= {"state": _state_of(hold), "reason": hold.reason, "remedy": hold.remedy}
        else:
            answer |= {"state": condition.state, "reason": condition.reason, "remedy": condition.remedy}
        return answer | {
            "since": condition.since,
            "dirty": len(self._settling),
            "pending": [os.fsdecode(path) for path in sorted(itertools.islice(self._settling, 20))],
            "directories": session.watch.watched if session is not None else 0,
            "nested": [os.fsdecode(path) for path in sorted(self._nested)],
            "quarantined": self._quarantined(session.watch if session is not None else None),
            "progress": self.progress,
        }

    async def _watch(self, repository: Repository, pause: Pause) -> None:
        standing = Standing(self._settling, self._attempts, self._waiting, self._nested, self._meter, self._wake)
        session = Session(repository, await self._equip(repository), standing, self._equip, self._show, self._hangs)
        self._session = session
        try:
            await session.run(pause.reset)
        finally:
            self._session = None
            self._asking.done()
            self._service.lacks(self.repo.path, 0, blind=False)

    async def _equip(self, repository: Repository) -> Committer:
        """A committer with the settings in force: ours, and those in the repository. Raises GitError, OSError."""
        settings = effective(self.repo, await asyncio.to_thread(self._shared.read, repository))
        self._settling.settle, self._settling.max_wait = settings.settle, settings.max_wait
        committer = Committer(repository, settings, self._service.identity, self._asking)
        if self._committer is not None:
            committer.confirmed = self._committer.confirmed
        self._committer = committer
        return committer

    def _show(self, session: Session) -> None:
        """Let the condition say what is the case now."""
        attempts, service, watch, path = self._attempts, self._service, session.watch, self.repo.path
        service.lacks(path, watch.unwatched, watch.blind)
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

    def _hangs(self, problem: Problem) -> None:
        self._condition.set("error", problem.what, problem.remedy)

    def _tell(self) -> None:
        condition = self._condition
        self._service.notices.condition(self.repo.path, condition.state, condition.reason, condition.remedy)
        self._service.changed()

    def _quarantined(self, watch: Watch | None) -> list[dict[str, str]]:
        held = [
            {"path": os.fsdecode(path), "reason": held.reason, "remedy": held.remedy}
            for path, held in sorted(self._attempts.held.items())
        ]
        return held + [
            {"path": os.fsdecode(path) + "/", "reason": "the folder cannot be read", "remedy": "chmod u+rx it"}
            for path in sorted(watch.unreadable if watch is not None else ())
        ]

    def _present_hold(self) -> Hold | None:
        """What would hold a commit back now, whether or not there is anything to commit."""
        if self._session is None:
            return None
        known = self._attempts.shown_hold
        if known is not None and known.kind in ("staged", "unmerged", "brake", "lock"):
            return known
        if self._session.watch.remote:
            return known  # no look at what may never answer
        repository = self._session.repository
        try:
            hold = courtesy.hold(courtesy.observe(repository, repository.reader()))
        except Unreadable:
            return None
        if hold is not None and hold.brief and known is None:
            return None
        if hold is not None and hold.kind == "index.lock":
            return courtesy.lock_age(repository) or hold
        return hold


def _opened(path: Path, known: bool) -> Repository:
    if known and not os.path.lexists(path / ".git"):
        # what git says of the folder that is left would tell a person nothing
        raise gone(path)
    repository = Repository.open(path)
    if repository.work_tree is not None:
        repository.make_own_folders()
    return repository


def _state_of(hold: Hold) -> str:
    return "paused" if hold.kind == "paused" else "held"
