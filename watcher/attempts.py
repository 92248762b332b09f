"""When to try to commit, what to do with how it went: holds, trouble with growing pauses, single paths held back."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from pathlib import Path

from autosync.common import checkout, locks
from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.operations import OperationLog
from autosync.common.reader import Unreadable
from autosync.common.repository import Repository

from . import message
from .asking import Asking
from .commit import Committer, Outcome
from .courtesy import Hold
from .quarantine import Held
from .settle import Batch, Kind, Settling

_log = logging.getLogger(__name__)
# A hold is looked at again by event; these seconds are for what gives none.
_HOLD_RECHECK = 30.0
# A hold that is normal for a moment is shown after so many seconds.
_BRIEF = 2.0


class Pause:
    """Growing pauses between tries, in seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._next = first
        self._longest = longest

    def next(self) -> float:
        """This pause; the next one is twice as long."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause

    def reset(self) -> None:
        """All is well: begin with the first one again."""
        self._next = self._first


class Attempts:
    """Commits what has settled in one repository."""

    def __init__(self, path: Path, settling: Settling, operations: OperationLog, asking: Asking) -> None:
        self._path = path
        self._asking = asking
        self._settling = settling
        self._operations = operations
        self._busy = Pause(0.02, 1.0)
        self._trouble_pause = Pause(2.0, 300.0)
        self._refused_pause = Pause(10.0, 600.0)
        self._hold_since = 0.0
        self._tried_at, self._tried_events = 0.0, 0
        self._signatures: dict[bytes, object] = {}
        #: No try before this time (monotonic) ...
        self.not_before = 0.0
        #: ... and another one then for paths that git refused.
        self.refused_again = float("inf")
        self.hold: Hold | None = None
        self.trouble: Problem | None = None
        self.held: dict[bytes, Held] = {}
        #: A watcher that was killed may have left git's lock and a commit on its way.
        self.left_over = True
        #: Such a commit was finished: everything is to be compared with the index again.
        self.compare_again = False
        #: Other repositories that were met.
        self.nested: set[bytes] = set()

    @property
    def shown_hold(self) -> Hold | None:
        """The hold that is worth a word."""
        hold = self.hold
        if hold is not None and hold.brief and time.monotonic() - self._hold_since < _BRIEF:
            return None
        return hold

    def begin_anew(self) -> None:
        """Everything is looked at anew: what gave trouble before counts no more."""
        self.trouble = None
        self.look_again()

    def look_again(self) -> None:
        """Something moved that may end a hold or trouble: try at once."""
        self.not_before = 0.0
        self._busy.reset()
        self._trouble_pause.reset()
        self.retry_refused()

    def retry_refused(self) -> None:
        """Mark the paths that are to be tried again."""
        self.refused_again = float("inf")
        now = time.monotonic()
        for path, held in self.held.items():
            if held.tried_again:
                self._settling.mark(path, Kind.CHANGED, now)

    def scanned(self, changed: Collection[bytes]) -> None:
        """These paths, and no others, differ from the index."""
        for path in self.held.keys() - changed:
            if not self.held[path].staged:
                del self.held[path]

    def next_try(self) -> float:
        """When `attempt` is worth while again, if no event comes first."""
        now, earliest = time.monotonic(), self._earliest()
        if earliest > now and (len(self._settling) or self.left_over):
            return earliest  # the marks are not looked at: there may be very many
        deadline = self._settling.deadline(now)
        return float("inf") if deadline is None else deadline

    def _earliest(self) -> float:
        """No try before this time."""
        if self.hold is not None and self.hold.kind == "brake" and self._settling.events != self._tried_events:
            # what was gone may be coming back
            return min(self.not_before, self._tried_at + _BRIEF)
        return self.not_before

    async def attempt(
        self, repository: Repository, committer: Committer, everything: bool = False, polling: bool = False
    ) -> Outcome | None:
        """Commit what has settled; None when there is nothing to do, or not now. ``everything`` waits for
        nothing but holds. When ``polling``, a path must look the same twice."""
        now = time.monotonic()
        if now < self._earliest() and not everything:
            return None
        if (until := self._asking.waits_until) is not None and not everything:
            self.not_before = until
            return None
        batch = self._settling.due(now, everything)
        if polling and not everything:
            batch = self._unchanged(batch, now)
        if not batch and self.left_over:
            await self._clear_up(repository, committer)
            return None
        if not batch:
            if not len(self._settling):
                self._note_hold(None)
            return None
        self._tried_at, self._tried_events = now, self._settling.events
        try:
            outcome = await self._commit(repository, committer, batch, ask=not everything)
        except Problem as problem:
            self.trouble, self.hold = problem, None
            self.not_before = time.monotonic() + self._trouble_pause.next()
            if everything:
                raise
            return None
        if outcome is None or outcome.again:
            self.not_before = time.monotonic() + self._busy.next()
            return None
        self._busy.reset()
        self._note_hold(outcome.hold)
        self.trouble = None
        if outcome.hold is not None:
            again_in = outcome.hold.again_in or (_HOLD_RECHECK if self.shown_hold else _BRIEF)
            self.not_before = time.monotonic() + again_in
            return outcome
        self._trouble_pause.reset()
        if outcome.question is not None:
            self._asking.ask(outcome.question)
            self.not_before = self._asking.waits_until or 0.0
            return None
        self._settling.done(batch)
        if outcome.operation is not None or not len(self._settling):
            self._asking.done()
        self._take(batch, outcome)
        return outcome

    async def _clear_up(self, repository: Repository, committer: Committer) -> None:
        """With nothing to commit, too, git's lock must not stay in everybody's way."""
        try:
            outcome = await self._commit(repository, committer, None, ask=False)
        except Problem as problem:
            self.trouble, self.hold = problem, None
            self.not_before = time.monotonic() + self._trouble_pause.next()
            return
        if outcome is None:
            self.not_before = time.monotonic() + self._busy.next()
        else:
            self.trouble = None

    async def _commit(
        self, repository: Repository, committer: Committer, batch: Batch | None, ask: bool
    ) -> Outcome | None:
        """One try, under the repository's lock; None when the relay has that. Without a batch, only what was left by a
        killed one is cleared up. Raises Problem."""
        try:
            lock = locks.acquire(repository.lock)
        except locks.Held:
            self._note_hold(Hold("lock", "the relay is at work in the work tree", brief=True))
            return None
        try:
            self.compare_again = committer.recover() or self.compare_again
            if checkout.journal(repository) is not None:
                # the relay moves the work tree only with the lock held, so this one was killed
                await checkout.recovered(repository, lock)
            self.left_over = False
            if batch is None:
                return Outcome()
            outcome = await committer.commit(batch.paths, batch.rehash, lock, ask)
        except checkout.Busy:
            return None
        except (GitError, Unreadable) as error:
            raise Problem(str(error), "git fsck may tell more") from error
        except OSError as error:
            raise Problem(f"cannot commit in {self._path} ({error})", "see that the disk has room") from error
        finally:
            locks.release(lock)
        if outcome.operation is not None:
            _log.info("%s: %s (%s)", self._path, outcome.operation.detail, (outcome.operation.after or "")[:12])
            self._operations.append(outcome.operation)
            await committer.post_commit()
        return outcome

    def _note_hold(self, hold: Hold | None) -> None:
        if hold is None or self.hold is None or self.hold.kind != hold.kind:
            self._hold_since = time.monotonic()
        self.hold = hold

    def _take(self, batch: Batch, outcome: Outcome) -> None:
        before = self.held.copy()
        for path in batch.paths:
            self.held.pop(path, None)
        for path, held in outcome.held.items():
            self.held[path] = held
            if before.get(path) != held:
                _log.warning("%s: %s is held back: %s", self._path, message.escaped(path), held.reason)
        if outcome.refused:
            self.refused_again = min(self.refused_again, time.monotonic() + self._refused_pause.next())
        self.nested |= outcome.nested

    def _unchanged(self, batch: Batch, now: float) -> Batch:
        """Those of the batch that look as they did when they last came to rest; the others wait again."""
        root = os.fsencode(self._path)
        same = {}
        for path, touches in batch.paths.items():
            signature = _signature(root + b"/" + path)
            if self._signatures.get(path, self) == signature:
                same[path] = touches
                del self._signatures[path]
            else:
                self._signatures[path] = signature
                self._settling.mark(path, Kind.CHANGED, now)
        return Batch(same, batch.rehash)


def _signature(path: bytes) -> object:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode
