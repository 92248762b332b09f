"""Carrying out one action of a plan. Everything that writes is git's own command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from autosync.common import checkout, locks
from autosync.common.git import NETWORK_LIMIT, Git, GitError, Result, split
from autosync.common.operations import Operation, OperationLog
from autosync.common.reader import Reader, Upstream
from autosync.common.repository import Repository

from . import casing
from .conflict import Conflict, copy_name
from .failures import Failure, Kind, classify, in_the_way
from .merge import merge
from .state import DirectFetch, FastForward, Fetch, Merge, Push
from .writers import Guard

_log = logging.getLogger(__name__)
#: Seconds a move of the work tree may go on when the relay is told to stop.
_LAST_GRACE = 1.2
#: git's own exit codes end here: more is the death of a git that a shell script on PATH had started.
_LAST_CODE = 128
#: Seconds to wait for somebody who writes into a file that was replaced just now.
_LAST_WRITER = 10.0

# A dead network must end a transfer: git's own limits for http, ssh's for ssh.
_STALLED = ("http.lowSpeedLimit=1", "http.lowSpeedTime=60")
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"

# another machine of one's own is near, or not there at all
_SSH_NEARBY = _SSH.replace("ConnectTimeout=15", "ConnectTimeout=3")


class Failed(Exception):
    """An action that met trouble; ``failure`` tells which."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.failure = failure


class BranchAbsent(Exception):
    """The remote answered, and does not have the branch."""


class Stopped(Exception):
    """The merge has conflicts, and `conflict = "stop"` is set."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        super().__init__()
        self.conflicts = conflicts


@dataclass(frozen=True, slots=True)
class Actor:
    """Carries out actions for one repository. ``progress`` gets git's own progress lines."""

    repository: Repository
    log: OperationLog
    progress: Callable[[str], None]

    async def fetch(self, action: Fetch) -> bool:
        """Fetch the upstream's branch and whatever the remote is configured for; returns whether ours moved.

        Raises Failed, BranchAbsent.
        """
        upstream = action.upstream
        reader = self.repository.reader()
        assert upstream.tracking is not None
        before = reader.resolve(upstream.tracking)
        wanted = f"+{upstream.ref}:{upstream.tracking}"
        specs = reader.fetch_refspecs(upstream.remote)
        # FETCH_HEAD is the person's; tags follow as they have configured; `tidy` comes later
        args = (
            "fetch",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--progress",
            "--",
            upstream.remote,
            wanted,
        )
        started = time.monotonic()
        try:
            git = self._network(reader, upstream.remote)
            await git.call(*args, *specs, limit=NETWORK_LIMIT, progress=self.progress)
        except GitError as error:
            if "couldn't find remote ref" in error.message.lower():
                raise BranchAbsent from error
            raise Failed(self._failure(error, upstream)) from error
        after = self.repository.reader().resolve(upstream.tracking)
        if after != before:
            self._done("fetch", upstream.ref, before, after, started, upstream.remote)
        return after != before

    async def direct_fetch(self, action: DirectFetch) -> None:
        """Fetch a commit from the machine that announced it. Raises Failed, also when the commit did not come."""
        invitation = action.invitation
        tracking = f"refs/remotes/{invitation.machine}/{invitation.ref.removeprefix('refs/heads/')}"
        reader = self.repository.reader()
        git = self._network(reader, invitation.machine, _SSH_NEARBY)
        options = (
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--no-tags",
            "--progress",
        )
        wanted = f"+{invitation.ref}:{tracking}"
        before = reader.resolve(tracking)
        started = time.monotonic()
        try:
            await git.call(
                "fetch", *options, "--", invitation.machine, wanted, limit=NETWORK_LIMIT, progress=self.progress
            )
        except GitError as error:
            raise Failed(classify(error, invitation.machine, str(self.repository.path))) from error
        if not self.repository.reader().has_commit(invitation.commit):
            what = f"{invitation.machine} does not have {invitation.commit[:7]} any more"
            raise Failed(Failure(Kind.MISSING, what, "the upstream is asked instead"))
        self._done("fetch", invitation.ref, before, invitation.commit, started, f"directly from {invitation.machine}")

    async def push(self, action: Push) -> None:
        """Push, without any force. Raises Failed; a lost race is one."""
        try:
            lock = locks.acquire(self.repository.push_lock)
        except locks.Held as held:
            what = "the commits are being reworded"
            raise Failed(Failure(Kind.LOCKED, what, "goes on by itself when that ends")) from held
        try:
            await self._push(action)
        finally:
            locks.release(lock)

    async def _push(self, action: Push) -> None:
        upstream = action.upstream
        reader = self.repository.reader()
        if reader.resolve(action.branch) is None:
            return
        setup = ("--set-upstream",) if action.setup else ()
        args = ("push", "--porcelain", "--no-recurse-submodules", "--progress", *setup, "--")
        started = time.monotonic()
        try:
            await self._network(reader, upstream.remote).call(
                *args, upstream.remote, f"{action.branch}:{upstream.ref}", limit=NETWORK_LIMIT, progress=self.progress
            )
        except GitError as error:
            raise Failed(self._failure(error, upstream)) from error
        assert upstream.tracking is not None
        if upstream.tracking.startswith("refs/autosync/"):
            pushed = self.repository.reader().resolve(action.branch)
            if pushed:
                noted = ("--create-reflog", "-m", "update by push")
                await self.repository.git.call("update-ref", *noted, upstream.tracking, pushed)
        self._done("push", upstream.ref, action.tip, action.commit, started, upstream.remote)

    async def merge(self, action: Merge, keep_both: bool) -> tuple[Conflict, ...]:
        """Merge in the object database, then move there; returns the conflicts that were resolved.

        Raises Failed, Stopped.
        """
        started = time.monotonic()
        # a child of git's own: libgit2 does not know every place of the configuration
        said = await asyncio.to_thread(lambda: self.repository.reader().config("commit.gpgsign"))
        sign = (said or "").lower() in ("true", "yes", "on", "1")
        try:
            merged = await merge(
                self.repository.git,
                self.repository.tree_dir,
                action.head,
                action.tip,
                keep_both=keep_both,
                sign=sign,
            )
        except GitError as error:
            raise Failed(classify(error, "git", str(self.repository.path))) from error
        if merged.commit is None:
            raise Stopped(merged.conflicts)
        await self._move(action.branch, action.head, merged.commit)
        self._done("merge", action.branch, action.head, merged.commit, started)
        for conflict in merged.conflicts:
            paths = (conflict.path, conflict.copy) if conflict.copy else (conflict.path,)
            detail = conflict.what
            self.log.append(
                Operation(
                    str(self.repository.path), "resolve", action.branch, action.head, merged.commit, detail, paths
                )
            )
        return merged.conflicts

    async def fast_forward(self, action: FastForward) -> None:
        """Move the work tree and the branch. Raises Failed."""
        started = time.monotonic()
        await self._move(action.branch, action.before, action.after)
        self._done("merge", action.branch, action.before, action.after, started, "fast-forward")

    async def tidy(self) -> None:
        """Let git pack what has piled up, as it would itself after a commit or fetch by hand."""
        try:
            await self.repository.git.call("maintenance", "run", "--auto", "--quiet", limit=NETWORK_LIMIT)
        except GitError as error:
            _log.info("%s: %s", self.repository.path, error)

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
        self.log.append(Operation(str(self.repository.path), "recover", detail="a move of the work tree was cut short"))

    def _lock(self) -> int:
        try:
            return locks.acquire(self.repository.lock)
        except locks.Held as held:
            raise Failed(Failure(Kind.LOCKED, "a commit is being made", "goes on by itself when that ends")) from held

    async def _move(self, branch: str, before: str | None, after: str) -> None:
        lock = self._lock()
        try:
            head = self.repository.reader().head()
            if (head.branch, head.commit) != (branch, before) or checkout.journal(self.repository):
                raise Failed(Failure(Kind.LOCKED, "the branch moved meanwhile", "looked at again by itself"))
            if casing.ignored(self.repository.reader()):
                await asyncio.to_thread(self._check_casing, before, after)
            if before is None:
                await asyncio.to_thread(self._check_unborn, after)
                result = await self._git_merge(before, after, lock)
            else:
                result = await self._guarded_merge(before, after, lock)
        finally:
            locks.release(lock)
        if result.code == 0:
            return
        error = GitError(("merge", "--ff-only", after), result.code, result.stdout, result.stderr)
        text = error.message.lower()
        if "would be overwritten" in text or "local changes" in text or "not uptodate" in text or "would lose" in text:
            raise Failed(in_the_way(error))
        raise Failed(classify(error, "git", str(self.repository.path)))

    async def _guarded_merge(self, before: str, after: str, lock: int) -> Result:
        """The move, with an eye on those who write to what is replaced."""
        assert self.repository.work_tree is not None
        guard = Guard(self.repository.work_tree)
        try:
            await asyncio.to_thread(lambda: guard.hold(self._touched(before, after)))
            if guard.written:
                what = f"{', '.join(guard.written[:3])} is open for writing, and a new version came in"
                raise Failed(Failure(Kind.IN_THE_WAY, what, "goes on by itself when the file is closed"))
            try:
                return await self._git_merge(before, after, lock)
            finally:
                await self._keep_strays(guard)
        finally:
            guard.close()

    def _touched(self, before: str, after: str) -> list[str]:
        """The files of ``before`` that ``after`` has otherwise, or not at all."""
        rows = self.repository.reader().compare(before, after)
        return [os.fsdecode(row.path) for row in rows if row.status != b"A"]

    async def _keep_strays(self, guard: Guard) -> None:
        """Put what was written while git replaced the file beside the new one, as a file that is not committed yet."""
        end = time.monotonic() + _LAST_WRITER
        # no event tells of the close of a file that has no name
        while not all(s.done for s in guard.strays()) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert self.repository.work_tree is not None
        for stray in guard.strays():
            content = stray.content()
            oid = (await self.repository.git.call("hash-object", "--stdin", input=content)).text
            name = copy_name(stray.path, oid, {})
            place = self.repository.work_tree / name
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
            except OSError:
                # the folder has gone, too, and something else has its name
                place = self.repository.work_tree / place.name
            with contextlib.suppress(FileExistsError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                with os.fdopen(os.open(place, flags, stray.mode), "wb") as file:
                    file.write(content)
            _log.warning("%s: %s was written to while it was replaced: see %s", self.repository.path, stray.path, place)

    async def _git_merge(self, before: str | None, after: str, lock: int) -> Result:
        checkout.begin(self.repository, before, after)
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
                if 0 <= child.result().code <= _LAST_CODE:
                    checkout.end(self.repository)
            else:
                child.cancel()
                await asyncio.wait([child])
            raise
        if 0 <= result.code <= _LAST_CODE:
            checkout.end(self.repository)
        return result

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

    def _network(self, reader: Reader, remote: str, ssh: str = _SSH) -> Git:
        git = self.repository.git.with_config(*_STALLED)
        url = reader.remote_url(remote)
        if not _by_ssh(url) or os.environ.keys() & {"GIT_SSH", "GIT_SSH_COMMAND"}:
            return git
        return git if reader.config("core.sshcommand") is not None else git.with_config(f"core.sshCommand={ssh}")

    def _failure(self, error: GitError, upstream: Upstream) -> Failure:
        return classify(error, upstream.remote, str(self.repository.path))

    def _done(
        self, action: str, ref: str, before: str | None, after: str | None, started: float, detail: str = ""
    ) -> None:
        seconds = round(time.monotonic() - started, 4)
        where = str(self.repository.path)
        _log.info("%s: %s %s %s -> %s", where, action, ref, (before or "nothing")[:7], (after or "nothing")[:7])
        self.log.append(Operation(where, action, ref, before, after, detail, seconds=seconds))


def _by_ssh(url: str) -> bool:
    """Whether git reaches ``url`` by ssh: `ssh://`, or the short form `host:path` (git-clone(1), "GIT URLS").

    `url.<base>.insteadOf` may turn anything without a scheme into such a URL.
    """
    scheme, separator, _ = url.partition("://")
    if separator:
        return scheme in ("ssh", "git+ssh", "ssh+git")
    return ":" in url.split("/")[0]
