"""From a tree to a commit on the branch: the commit object, and the switch of branch and index."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from autosync.common import reflocks
from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.reader import Head
from autosync.common.repository import Repository

from . import journal
from .courtesy import Mark
from .identity import Identity

_T = TypeVar("_T")


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

    async def publish(self, mark: Mark, new_index: Path, commit: str, subject: str) -> Mark | None:
        """Move the branch to ``commit`` and let ``new_index`` be the index, if the repository is still at ``mark``.

        Both or neither; returns the new mark when it was done. A cancellation waits for the end of it.
        """
        return await _uninterrupted(lambda: self._switch(mark, new_index, commit, subject))

    async def _switch(self, mark: Mark, new_index: Path, commit: str, subject: str) -> Mark | None:
        try:
            index = journal.take_lock(self.repository, new_index, commit)
        except FileExistsError:
            journal.clear(self.repository)
            return None
        moved = False
        try:
            if self.repository.index_mark() == mark.index and self.repository.operation() is None:
                moved = await self._move_branch(mark, commit, subject)
        finally:
            if moved:
                journal.finish(self.repository)
            else:
                journal.drop_lock(self.repository)
        return Mark(mark.branch, commit, index) if moved else None

    async def _move_branch(self, mark: Mark, commit: str, subject: str) -> bool:
        """Compare and swap. Raises Problem when git refuses although nobody else moved the branch."""
        old = mark.commit or "0" * len(commit)
        words = f"commit: {subject}" if mark.commit else f"commit (initial): {subject}"
        try:
            await self.repository.git.call(
                "update-ref", "-m", words, "HEAD", commit, old, pass_fds=(self.lock,), limit=self.limit
            )
        except (GitError, asyncio.CancelledError) as error:
            head = self.repository.reader().head()
            if isinstance(error, GitError) and head == Head(mark.branch, mark.commit):
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
        with contextlib.suppress(Problem):
            await task
        raise
