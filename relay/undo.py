"""Undoing a commit with a new commit, in the object database: no work tree that could be left half-done.

The reverse of a commit is merged like any other change: a commit with the tree of its parent, on top of it, is the
other side, so that git's own merge base is the commit to be undone.
"""

from __future__ import annotations

from collections.abc import Mapping

from autosync.common.errors import Problem
from autosync.common.git import Git
from autosync.common.repository import Repository
from autosync.common.shell import typed

#: Names the undone commit in the message of the one that undoes it.
TRAILER = "Autosync-Undo"


async def reverse(repository: Repository, head: str, commit: str, parent: str, who: Mapping[str, str]) -> str:
    """A commit on top of ``head`` that takes back what ``commit`` did to ``parent``; no ref names it yet. ``who``
    is what git has to be told of who makes it, in its environment.

    Raises Problem when later changes are in the way, GitError.
    """
    git = repository.git
    subject = (await git.call("log", "-1", "--no-show-signature", "--format=%s", commit, "--")).text
    back = await _commit(git, f"{parent}^{{tree}}", commit, "reverse", who)
    merged = await git.call("merge-tree", "--write-tree", "-z", "--no-messages", "--name-only", head, back, check=False)
    fields = merged.stdout.decode(errors="surrogateescape").split("\0")
    if merged.code or not fields[0]:
        parents = (await git.call("rev-parse", f"{commit}^@")).text.split()
        mainline = f"-m {parents.index(parent) + 1} " if len(parents) > 1 and parent in parents else ""
        names = ", ".join(sorted({name for name in fields[1:] if name})[:3])
        raise Problem(
            f"what came after {commit[:7]} changed the same: {names}",
            f"undo it by hand: git -C {typed(repository.path)} revert {mainline}{commit[:7]}",
        )
    return await _commit(git, fields[0], head, f'Undo "{subject}"\n\n{TRAILER}: {commit}', who)


async def _commit(git: Git, tree: str, parent: str, message: str, who: Mapping[str, str]) -> str:
    text = message.encode(errors="replace") + b"\n"
    result = await git.call("commit-tree", "-p", parent, "-F", "-", tree, input=text, env=who)
    return result.text
