"""Moving the work tree to a finished commit, and the branch with it: the one place where the relay touches a person's
files, and only by git's own command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autosync.common import checkout, locks
from autosync.common.child import Result
from autosync.common.git import NETWORK_LIMIT, GitError, split
from autosync.common.repository import Repository

from . import casing
from .conflict import copy_name
from .failures import Failed, Failure, Kind, classify, in_the_way
from .saves import Saves
from .writers import Guard, Stray

_log = logging.getLogger(__name__)
#: Seconds a move may go on when the relay is told to stop.
_LAST_GRACE = 1.2
#: git's own exit codes end here: more is the death of a git that a shell script on PATH had started.
_LAST_CODE = 128
# How git says that it has not begun (unpack-trees.c, lockfile.c): at the beginning of a line, and not a file's name
_REFUSED = re.compile(
    rb"^error: (?:Your local changes to|The following untracked working tree files would be|"
    rb"Untracked working tree file '.*' would be|Updating .* would lose|Entry '.*' (?:not uptodate|would be))",
    re.MULTILINE,
)
_LOCKED = re.compile(rb"^(?:fatal|error): Unable to create '.*/index\.lock': File exists", re.MULTILINE)
#: Seconds to wait for somebody who writes into a file that was replaced just now.
_LAST_WRITER = 10.0


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves one repository's work tree. ``progress`` gets git's own progress lines."""

    repository: Repository
    progress: Callable[[str], None]

    async def move(self, branch: str, before: str | None, after: str) -> None:
        """From the commit ``before`` (None: an unborn branch) to ``after``, which contains it. Raises Failed."""
        lock = self._lock()
        try:
            reader = self.repository.reader()
            head = reader.head()
            if (head.branch, head.commit) != (branch, before) or checkout.journal(self.repository):
                raise Failed(Failure(Kind.LOCKED, "the branch moved meanwhile", "looked at again by itself"))
            if casing.ignored(reader):
                await asyncio.to_thread(self._check_casing, before, after)
            if before is None:
                await asyncio.to_thread(self._check_unborn, after)
            result = await self._guarded_merge(before, after, lock)
            if checkout.journal(self.repository) is not None:
                # a next look tries again, where this is of no use yet
                with contextlib.suppress(GitError, OSError, checkout.Busy):
                    await checkout.recovered(self.repository, lock)
        finally:
            locks.release(lock)
        if result.code == 0:
            return
        error = GitError(("merge", "--ff-only", after), result.code, result.stdout, result.stderr)
        if _refused(result):
            raise Failed(in_the_way(error))
        raise Failed(classify(error, "git", str(self.repository.path)))

    async def recover(self) -> None:
        """Finish with a move that was killed. Raises Failed."""
        lock = self._lock()
        try:
            await checkout.recovered(self.repository, lock)
        except checkout.Busy as busy:
            raise Failed(Failure(Kind.LOCKED, str(busy), "goes on by itself when that ends")) from busy
        except GitError as error:
            raise Failed(classify(error, "git", str(self.repository.path))) from error
        finally:
            locks.release(lock)

    def _lock(self) -> int:
        try:
            return locks.acquire(self.repository.lock)
        except locks.Held as held:
            raise Failed(Failure(Kind.LOCKED, "a commit is being made", "goes on by itself when that ends")) from held

    async def _guarded_merge(self, before: str | None, after: str, lock: int) -> Result:
        """The move, with an eye on those who write to what is replaced."""
        assert self.repository.work_tree is not None
        guard = Guard(self.repository.work_tree)
        try:
            saves = await self._prepare(guard, before, after)
            try:
                if guard.written:
                    checkout.end(self.repository)
                    what = f"{', '.join(guard.written[:3])} is open for writing, and a new version came in"
                    raise Failed(Failure(Kind.IN_THE_WAY, what, "goes on by itself when the file is closed"))
                hurry = asyncio.Event()
                saves.start()
                try:
                    return await self._git_merge(after, lock)
                except asyncio.CancelledError:
                    hurry.set()
                    raise
                finally:
                    await self._look_after(guard, saves, (before or after, after), hurry)
            finally:
                saves.close()
        finally:
            guard.close()

    async def _prepare(self, guard: Guard, before: str | None, after: str) -> Saves:
        """Write the journal, and meanwhile, as the disk takes its time, hold the files that will be touched."""
        assert self.repository.work_tree is not None
        root = self.repository.work_tree

        def hold() -> Saves:
            if before is None:
                return Saves(root, self._names(after))
            rows = self.repository.reader().compare(before, after)
            guard.hold(os.fsdecode(row.path) for row in rows if row.status != b"A")
            return Saves(root, [os.fsdecode(row.path) for row in rows])

        holding = asyncio.get_running_loop().run_in_executor(None, hold)
        try:
            checkout.begin(self.repository, before, after)
            return await asyncio.shield(holding)
        except BaseException:
            await asyncio.wait([holding])  # it has the guard
            if holding.exception() is None:
                holding.result().close()
            checkout.end(self.repository)
            raise

    async def _look_after(self, guard: Guard, saves: Saves, known: tuple[str, str], hurry: asyncio.Event) -> None:
        """Keep what was saved meanwhile. A cancellation waits for the end of it, but no longer for writers."""

        async def keep() -> None:
            # in threads: a file system that hangs must not stop the other repositories
            await asyncio.to_thread(saves.stop)
            await self._keep_strays(lambda: guard.strays() + saves.strays(), known, hurry)

        keeping = asyncio.ensure_future(keep())
        try:
            await asyncio.shield(keeping)
        except asyncio.CancelledError:
            hurry.set()
            await asyncio.wait([keeping])
            raise

    async def _keep_strays(
        self, strays: Callable[[], list[Stray]], known: tuple[str, str], hurry: asyncio.Event
    ) -> None:
        """Put what was saved while git replaced the file beside the new one, as a file that is not committed yet.
        What one of the ``known`` commits has is in no danger. With ``hurry`` set nobody is waited for who still
        writes."""
        end = time.monotonic() + _LAST_WRITER
        found = await asyncio.to_thread(strays)
        # no event tells of the close of a file that has no name
        while not (hurry.is_set() or all(stray.done for stray in found)) and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await hurry.wait()
            found = await asyncio.to_thread(strays)
        for stray in found:
            try:
                await self._keep(stray, known)
            except OSError as error:  # the others are kept all the same
                what = "%s: what was written to %s while it was replaced could not be kept (%s)"
                _log.error(what, self.repository.path, stray.path, error)

    async def _keep(self, stray: Stray, known: tuple[str, str]) -> None:
        """Raises OSError."""
        git, content = self.repository.git, await asyncio.to_thread(stray.content)
        try:
            oid = (await git.call("hash-object", "--stdin", f"--path={stray.path}", input=content)).text
        except GitError:
            # a filter that fails must not lose it
            oid = (await git.call("hash-object", "--stdin", "--no-filters", input=content)).text
        there = [await git.call("rev-parse", "-q", "--verify", f"{c}:{stray.path}", check=False) for c in known]
        if oid in (one.text for one in there):
            return
        place = await asyncio.to_thread(self._put_beside, stray, oid, content)
        _log.warning("%s: %s was written to while it was replaced: see %s", self.repository.path, stray.path, place)

    def _put_beside(self, stray: Stray, oid: str, content: bytes) -> Path:
        """Raises OSError."""
        assert self.repository.work_tree is not None
        root = self.repository.work_tree
        place = root / copy_name(stray.path, oid)
        try:
            # where the folder has become a link, the copy does not go to where that leads
            gone = not place.parent.resolve().is_relative_to(root.resolve())
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            # the folder has gone, too, and something else has its name
            gone = True
        if gone:
            place = root / place.name
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(place, flags, stray.mode), "wb") as file:
                file.write(content)
        return place

    async def _git_merge(self, after: str, lock: int) -> Result:
        """The move itself, with the journal written; that goes when nothing is half-done."""
        args = (
            "merge",
            "--ff-only",
            "--no-overwrite-ignore",
            "--no-autostash",
            "--no-squash",
            "--no-stat",
            "-q",
            after,
        )
        git = checkout.git_for_move(self.repository)
        # filters run inside, and some fetch what they put there (git-lfs)
        work = git.call(
            *args,
            check=False,
            pass_fds=[lock],
            limit=NETWORK_LIMIT,
            env={"GIT_PROGRESS_DELAY": "1"},
            progress=self.progress,
        )
        child = asyncio.ensure_future(work)
        try:
            result = await asyncio.shield(child)
        except asyncio.CancelledError:
            # nearly always it is done in a moment; when not, the journal stays and the next start finishes it
            await asyncio.wait([child], timeout=_LAST_GRACE)
            if child.done() and not child.cancelled() and child.exception() is None:
                self._ended(child.result())
            else:
                child.cancel()
                await asyncio.wait([child])
            raise
        self._ended(result)
        return result

    def _ended(self, result: Result) -> None:
        """Take the journal away if nothing is half-done. git moves the branch last of all: when it cannot (a lock in
        the way, a full disk) or a filter fails, files have been moved already, and that is for `recover`."""
        untouched = _refused(result) or _LOCKED.search(result.stderr)
        if result.code == 0 or (0 < result.code <= _LAST_CODE and untouched):
            checkout.end(self.repository)

    def _names(self, commit: str) -> list[str]:
        return split(self.repository.git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).stdout)

    def _check_casing(self, before: str | None, after: str) -> None:
        """What is there already, somebody lives with."""
        new = casing.collisions(self._names(after)) - casing.collisions(self._names(before) if before else ())
        if new:
            one, other = min(new)
            what = f"{one} and {other} differ by case alone, and the file system here has room for one of the two"
            remedy = "rename one of them on a machine that tells them apart; the rest goes on by itself"
            raise Failed(Failure(Kind.IN_THE_WAY, what, remedy))

    def _check_unborn(self, after: str) -> None:
        """git protects ignored files in the way of a fast-forward, but not of the first commit of a branch."""
        assert self.repository.work_tree is not None
        for name in self._names(after):
            path = self.repository.work_tree / name
            if os.path.lexists(path):
                what = f"{path} is in the way of what came in"
                raise Failed(Failure(Kind.IN_THE_WAY, what, "move or rename it; the rest goes on by itself"))


def _refused(result: Result) -> bool:
    """Whether git has left everything as it was, because something that is not committed is in the way."""
    return _REFUSED.search(result.stderr) is not None
