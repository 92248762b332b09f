"""Carrying out one action of a plan. Everything that writes is git's own command."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from autosync.common import locks
from autosync.common.git import NETWORK_LIMIT, Git, GitError
from autosync.common.operations import Operation, OperationLog
from autosync.common.reader import Reader, Upstream
from autosync.common.repository import Repository

from .conflict import Conflict
from .failures import Failed, Failure, Kind, classify
from .merge import merge
from .move import Mover
from .state import DirectFetch, FastForward, Fetch, Merge, Push

_log = logging.getLogger(__name__)
# A dead network must end a transfer: git's own limits for http, ssh's for ssh.
_STALLED = ("http.lowSpeedLimit=1", "http.lowSpeedTime=60")
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"

# another machine of one's own is near, or not there at all
_SSH_NEARBY = _SSH.replace("ConnectTimeout=15", "ConnectTimeout=3")


# FETCH_HEAD is the person's; `tidy` comes later
_FETCH = ("--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--progress")


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
        # tags follow as the person has configured
        args = ("fetch", *_FETCH, "--", upstream.remote, wanted)
        alone = ("fetch", *_FETCH, "--no-tags", "--refmap=", "--", upstream.remote, wanted)
        started = time.monotonic()
        git = self._network(reader, upstream.remote)
        try:
            try:
                await git.call(*args, *specs, limit=NETWORK_LIMIT, progress=self.progress)
            except GitError as error:
                # another ref that the person wants, too, cannot be had: a tag that was moved at the remote, or a branch
                # where another one's folder is; 1: the remote has answered, and some ref could not be moved here
                if error.code != 1 and "refusing to fetch" not in error.message:
                    raise
                _log.info("%s: %s", self.repository.path, error)
                await git.call(*alone, limit=NETWORK_LIMIT, progress=self.progress)
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
        wanted = f"+{invitation.ref}:{tracking}"
        before = reader.resolve(tracking)
        started = time.monotonic()
        try:
            await git.call(
                "fetch",
                *_FETCH,
                "--no-tags",
                "--",
                invitation.machine,
                wanted,
                limit=NETWORK_LIMIT,
                progress=self.progress,
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
                self.repository.reader(),
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
        await Mover(self.repository, self.progress).move(action.branch, action.head, merged.commit)
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
        await Mover(self.repository, self.progress).move(action.branch, action.before, action.after)
        self._done("merge", action.branch, action.before, action.after, started, "fast-forward")

    async def tidy(self) -> None:
        """Let git pack what has piled up, as it would itself after a commit or fetch by hand."""
        try:
            await self.repository.git.call("maintenance", "run", "--auto", "--quiet", limit=NETWORK_LIMIT)
        except GitError as error:
            _log.info("%s: %s", self.repository.path, error)

    async def recover(self) -> None:
        """Finish with a move that was killed. Raises Failed."""
        await Mover(self.repository, self.progress).recover()
        self.log.append(Operation(str(self.repository.path), "recover", detail="a move of the work tree was cut short"))

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
