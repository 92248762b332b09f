"""When the watcher holds back: a person, or the relay, is in the middle of something.

`observe` looks, `hold` decides; `Mark` is what has to be the same before and after the work of a commit.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from autosync.common import checkout, indexlock
from autosync.common.reader import Reader
from autosync.common.repository import FINISH, Repository

#: An `index.lock` older than this (seconds) is worth a word about how to remove it.
STALE_LOCK = 30.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing is committed now, and what ends it. ``kind`` is a short stable word, ``again_in`` the seconds
    after which it may be over without an event. A ``brief`` one is normal for a moment, and not worth a word."""

    kind: str
    reason: str
    remedy: str | None = None
    again_in: float | None = None
    brief: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the repository stands. Equal marks before and after a piece of work mean that no git command
    switched, merged or committed meanwhile, so nothing half-replaced was read."""

    branch: str | None
    commit: str | None
    index: tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Observed:
    """What `observe` saw."""

    mark: Mark
    paused: str | None = None
    moving: bool = False
    operation: str | None = None
    locked: bool = False
    remote_refs: bool = False


def observe(repository: Repository, reader: Reader) -> Observed:
    """Look at the repository. The mark is read first and the signs of work after it, so that work that began
    in between is seen by one or the other. Raises Unreadable."""
    # the index before HEAD: git writes the index first when it switches
    index = repository.index_mark()
    head = reader.head()
    mark = Mark(head.branch, head.commit, index)
    return Observed(
        mark,
        paused=repository.paused,
        moving=checkout.journal(repository) is not None,
        operation=repository.operation(),
        locked=os.path.lexists(repository.git_dir / "index.lock"),
        remote_refs=head.commit is None and bool(reader.refs("refs/remotes/")),
    )


def hold(observed: Observed) -> Hold | None:
    """The first reason to hold back, None when there is none. Hand-staged changes are not among them: to see those
    costs a look at the whole index, which is taken only when all else allows a commit."""
    if observed.paused is not None:
        return Hold("paused", observed.paused, "autosync resume")
    if observed.moving:
        return Hold("moving", "the relay is moving the work tree", brief=True)
    if observed.operation is not None:
        return Hold(
            observed.operation,
            f"a {observed.operation} is in progress",
            f"finish it: {FINISH[observed.operation]}",
        )
    if observed.locked:
        return Hold("index.lock", "git is at work (index.lock)", brief=True)
    if observed.mark.branch is None:
        return Hold("detached", "HEAD is detached: commits would be on no branch", "git switch BRANCH")
    if observed.remote_refs:
        return Hold(
            "unborn",
            f"{observed.mark.branch.removeprefix('refs/heads/')} has no commit yet, but the remote has",
            "git switch to the branch of the remote (git branch -r lists them), or git pull",
        )
    return None


def lock_age(repository: Repository) -> Hold | None:
    """More about an `index.lock` that has been there for long: its age, and who has it open."""
    path = repository.git_dir / "index.lock"
    age = repository.index_lock_age(time.time())
    if age is None or age < STALE_LOCK:
        return None
    if users := indexlock.holders(path):
        who = ", ".join(str(pid) for pid in users)
        return Hold("index.lock", f"git has held index.lock for {_duration(age)} (process {who})")
    return Hold(
        "index.lock",
        f"index.lock is {_duration(age)} old and nobody has it open: a git command was probably killed",
        f"make sure that no git command runs here, then: rm '{path}'",
    )


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
