"""Other words for the newest automatic commits, while nobody else has them.

New commits of the same trees take their places on the branch; work tree and index are not touched. Only commits that
the watcher made here qualify, from HEAD downwards, and only while no remote, tag or other branch has them: a pushed
commit and a person's own are never reworded. A push by the relay and a rewording keep out of each
other's way by a lock (`Repository.push_lock`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from . import locks
from .checkout import journal
from .errors import Problem
from .git import Git, GitError
from .reader import Head
from .repository import FINISH, Repository
from .shell import typed

#: Seconds to wait for a commit, a merge or a push that is under way.
_WAIT = 10.0
#: So many commits are reworded at once.
_DEPTH = 100
_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%(trailers:key=Autosync-Machine,valueonly)%x00%B%x00"
_FIELDS = 10
# What the log of a branch says of a commit that a person has made another one of (git-commit(1), git-rebase(1)).
_BY_HAND = ("commit (amend)", "commit (merge)", "rebase", "cherry-pick", "revert", "am")


@dataclass(frozen=True, slots=True)
class Reworded:
    """What was done: the commit of the branch before and after, and how many commits have other words."""

    branch: str
    before: str
    after: str
    count: int


@dataclass(frozen=True, slots=True)
class _Commit:
    name: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, str, str]
    committer: tuple[str, str]
    automatic: bool
    message: str


def reword(repository: Repository, message: str) -> Reworded:
    """Let the newest automatic commits begin with ``message``. Raises Problem when there are none, GitError."""
    repository.make_own_folders()
    try:
        with locks.locked(repository.lock, _WAIT), locks.locked(repository.push_lock, _WAIT):
            return _reword(repository, message)
    except locks.Held as held:
        raise Problem(
            f"{repository.path} is being committed or pushed at this moment", "try again when that has ended"
        ) from held


def _reword(repository: Repository, message: str) -> Reworded:
    head = _head(repository)
    assert head.branch is not None
    assert head.commit is not None
    chosen = _chosen(repository, head)
    if not chosen:
        raise Problem(
            f"the newest commit in {repository.path} is not automatic, or is not only here",
            "a commit of your own: git commit --amend; a pushed one stays as it is",
        )
    git = repository.git.with_config("i18n.commitEncoding=utf-8")
    sign = (repository.reader().config("commit.gpgsign") or "").lower() in ("true", "yes", "on", "1")
    parents = chosen[-1].parents
    for commit in reversed(chosen):
        parents = (_made(git, commit, parents, message, sign),)
    (after,) = parents
    words = f"autosync describe: {message.splitlines()[0]}"
    try:
        repository.git.run("update-ref", "-m", words, head.branch, after, head.commit)
    except GitError as error:
        raise Problem(f"somebody else moved {head.branch} just now ({error.message})", "try it again") from error
    return Reworded(head.branch, head.commit, after, len(chosen))


def _head(repository: Repository) -> Head:
    operation = repository.operation()
    if operation is not None:
        raise Problem(f"a {operation} is under way in {repository.path}", FINISH[operation])
    if journal(repository) is not None:
        raise Problem(
            f"a move of the work tree in {repository.path} was cut short", "the services finish it: start them"
        )
    head = repository.reader().head()
    if head.branch is None or head.commit is None:
        raise Problem(f"{repository.path} is not on a branch with commits", f"git -C {typed(repository.path)} status")
    return head


def _chosen(repository: Repository, head: Head) -> list[_Commit]:
    """The commits to be reworded, newest first."""
    assert head.branch is not None
    # a tag or another branch would keep the old commit; a branch's name is no pattern (git-check-ref-format(1))
    branch = head.branch.removeprefix("refs/heads/")
    elsewhere = ("--not", f"--exclude={branch}", "--branches", "--tags", "--remotes", "--glob=refs/autosync/*")
    arguments = ("log", "--first-parent", "--no-show-signature", "--encoding=utf-8", "--date=raw", f"-n{_DEPTH}")
    out = repository.git.run(*arguments, f"--format={_FORMAT}", head.commit or "HEAD", *elsewhere, "--").stdout
    by_hand = {
        new for _, new, said in repository.reader().last_reflog(head.branch, _DEPTH) if said.startswith(_BY_HAND)
    }
    chosen = []
    for commit in _parsed(out):
        if not commit.automatic or len(commit.parents) > 1 or commit.name in by_hand:
            break
        chosen.append(commit)
    return chosen


def _parsed(output: bytes) -> list[_Commit]:
    cells = [os.fsdecode(cell) for cell in output.split(b"\0")]
    rows = [cells[n : n + _FIELDS] for n in range(0, len(cells) - _FIELDS + 1, _FIELDS)]
    return [
        _Commit(
            name.lstrip("\n"),
            tree,
            tuple(parents.split()),
            (author, email, date),
            (committer, address),
            bool(machine.strip()),
            message,
        )
        for name, tree, parents, author, email, date, committer, address, machine, message in rows
    ]


def _made(git: Git, commit: _Commit, parents: Sequence[str], message: str, sign: bool) -> str:
    name, email, date = commit.author
    environment = {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_AUTHOR_DATE": f"@{date}",
        "GIT_COMMITTER_NAME": commit.committer[0],
        "GIT_COMMITTER_EMAIL": commit.committer[1],
    }
    words = ["commit-tree", commit.tree, "-F", "-", *(("-S",) if sign else ())]
    for parent in parents:
        words += ["-p", parent]
    # the first paragraph is the summary; what was done to which file, and where, stays
    rest = commit.message.partition("\n\n")[2]
    text = f"{message.strip()}\n\n{rest.strip()}\n"
    return git.run(*words, input=text.encode("utf-8", errors="surrogateescape"), env=environment).text
