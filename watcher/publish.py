"""From a tree to a commit on the branch: the commit object, and the switch of branch and index."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from autosync.common import reflocks
from autosync.common.child import Result
from autosync.common.errors import Problem
from autosync.common.git import LOCAL_LIMIT, GitError
from autosync.common.reader import Head
from autosync.common.repository import Repository

from . import journal
from .courtesy import Mark
from .identity import Identity

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Move:
    """A git that waits for the commit to move the branch to, from where it is by ``mark``."""

    mark: Mark
    whereto: asyncio.Future[bytes]
    moved: asyncio.Task[Result]


@dataclass(frozen=True, slots=True)
class Publisher:
    """Makes and publishes commits of one repository, whose lock (descriptor ``lock``) is held. ``limit`` in
    seconds: signing and a `reference-transaction` hook of the person's run inside."""

    repository: Repository
    identity: Identity
    lock: int
    limit: float

    async def commit_object(self, tree: str, parent: str | None, text: str, sign: bool) -> str:
        """Make the commit object; returns its name. Raises Problem when it cannot be signed, GitError."""
        arguments = ["commit-tree", tree, "-F", "-"]
        if parent is not None:
            arguments += ["-p", parent]
        if sign:  # commit-tree does not look at commit.gpgsign itself
            arguments.append("-S")
        data = text.encode("utf-8", errors="backslashreplace")

        async def make(env: Mapping[str, str]) -> str:
            git = self.repository.git
            return (await git.call(*arguments, input=data, env=env, limit=self.limit, pass_fds=(self.lock,))).text

        try:
            return await make({})
        except GitError as error:
            if _no_identity(error):
                return await make(self.identity.environment())
            if not sign:
                raise
            raise Problem(
                f"git cannot sign the commit ({last_line(error.message)})",
                "unlock the key (gpg-agent, ssh-agent), or: git config commit.gpgsign false",
            ) from error

    @contextlib.asynccontextmanager
    async def moving(self, mark: Mark, subject: str) -> AsyncIterator[Move]:
        """git, started to move the branch away from ``mark`` once `publish` says whereto; it does nothing else."""
        first = mark.commit is None
        words = f"commit (initial): {subject}" if first else f"commit: {subject}"
        whereto: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        arguments = ("update-ref", "-m", words, "--stdin", "-z")
        git = self.repository.git
        # it waits while the commit is made, which may be tried twice
        moved = asyncio.create_task(
            git.call(*arguments, input=whereto, pass_fds=(self.lock,), limit=3 * self.limit + LOCAL_LIMIT)
        )
        try:
            await asyncio.sleep(0)  # it starts now
            yield Move(mark, whereto, moved)
        finally:
            whereto.cancel()
            with contextlib.suppress(GitError):
                await moved

    async def publish(self, move: Move, new_index: Path, commit: str) -> Mark | None:
        """Move the branch to ``commit`` and let ``new_index`` be the index, if the repository is still at the mark of
        ``move``.

        Both or neither; returns the new mark when it was done. A cancellation waits for the end of it.
        """
        return await _uninterrupted(lambda: self._switch(move, new_index, commit))

    async def _switch(self, move: Move, new_index: Path, commit: str) -> Mark | None:
        try:
            index = journal.take_lock(self.repository, new_index, commit)
        except FileExistsError:
            journal.clear(self.repository)
            return None
        moved = False
        try:
            if self.repository.index_mark() == move.mark.index and self.repository.operation() is None:
                moved = await self._move_branch(move, commit)
        finally:
            if moved:
                journal.finish(self.repository)
            else:
                journal.drop_lock(self.repository)
        return Mark(move.mark.branch, commit, index) if moved else None

    async def _move_branch(self, move: Move, commit: str) -> bool:
        """Compare and swap. Raises Problem when git refuses although nobody else moved the branch."""
        old = move.mark.commit or "0" * len(commit)
        try:
            move.whereto.set_result(f"update HEAD\0{commit}\0{old}\0".encode())
            await move.moved
        except (GitError, asyncio.CancelledError) as error:
            head = self.repository.reader().head()
            if isinstance(error, GitError) and head == Head(move.mark.branch, move.mark.commit):
                if await asyncio.to_thread(reflocks.drop_dead, self.repository):
                    return False  # left by a killed git: the next try finds the way free
                said = last_line(error.message)
                raise Problem(f"git cannot move the branch ({said})", "see git update-ref") from error
            return head.commit == commit
        return True


def last_line(text: str) -> str:
    """The last line of what a command said: with git that is the reason."""
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "no reason given"


def _no_identity(error: GitError) -> bool:
    # ident.c: "empty ident name", "unable to auto-detect email address", "no email was given and ..."
    return any(words in error.message for words in ("empty ident", "auto-detect", "tell me who you are", "was given"))


async def _uninterrupted(make: Callable[[], Awaitable[_T]]) -> _T:
    task = asyncio.ensure_future(make())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # whatever comes of it: who is to stop must not take that for news, and go on
        with contextlib.suppress(Exception):
            await task
        raise
