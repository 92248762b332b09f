"""What kind of trouble a git command met, read from what it said, and what the person can do about it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from autosync.common.git import GitError, GitTimeout
from autosync.common.shell import typed


class Kind(Enum):
    """What kind of trouble; each has its own pauses."""

    OFFLINE = "offline"
    RACE = "race"
    LOCKED = "locked"
    IN_THE_WAY = "in the way"
    AUTH = "auth"
    REJECTED = "rejected"
    PROTECTED = "protected"
    TOO_LARGE = "too large"
    MISSING = "missing"
    UNSAFE = "unsafe"
    BUG = "bug"


#: The first and the longest pause before another try, in seconds.
PAUSES = {
    Kind.OFFLINE: (1.0, 30.0),
    Kind.RACE: (0.05, 5.0),
    Kind.LOCKED: (0.05, 5.0),
    Kind.IN_THE_WAY: (1.0, 30.0),
    Kind.AUTH: (30.0, 900.0),
    Kind.REJECTED: (60.0, 3600.0),
    # only a person changes these, and each try sends everything once more
    Kind.PROTECTED: (300.0, 3600.0),
    Kind.TOO_LARGE: (600.0, 14400.0),
    Kind.MISSING: (2.0, 60.0),
    Kind.UNSAFE: (5.0, 300.0),
    Kind.BUG: (5.0, 300.0),
}
#: The remedy where a file with changes that are not committed is in the way.
ONCE_COMMITTED = "goes on by itself once they are committed"
#: The remote was reached, and does not take the commits as they are.
REFUSED = (Kind.REJECTED, Kind.PROTECTED, Kind.TOO_LARGE)


@dataclass(frozen=True, slots=True)
class Failure:
    """Trouble with one repository: what happened and what to do, in plain sentences."""

    kind: Kind
    what: str
    remedy: str


_AUTH = (
    "permission denied (publickey",
    "authentication failed",
    "could not read username",
    "could not read password",
    "terminal prompts disabled",
    "returned error: 401",
    "returned error: 403",
    "access denied",
    "marked as read only",
    "not allowed to push code",
)
# "Permission to team/notes.git denied to deploy key", "W notes somebody DENIED by fallthru"
_DENIED = re.compile(r"permission to \S+ denied to |\bdenied by (fallthru|refs/)")
_CERTIFICATE = ("certificate problem", "certificate verification failed", "certificate verify failed")
# a proxy's limit, git's own receive.maxInputSize, GitHub, GitLab, Gitea
_TOO_LARGE = (
    "returned error: 413",
    "http 413",
    "exceeds",
    "too large",
    "size limit",
    "over the limit",
    "quota",
)
_PROTECTED = ("protected", "rule violations", "pull request", "merge request", "denied to update branch")
_OFFLINE = (
    "could not resolve host",
    "temporary failure in name resolution",
    "connection refused",
    "connection timed out",
    "operation timed out",
    "connection reset",
    "connection closed",
    "network is unreachable",
    "no route to host",
    "failed to connect",
    "couldn't connect",
    "early eof",
    "the remote end hung up",
    "ssl_error_syscall",
    "operation too slow",
    "unable to access",
)
_MISSING = ("does not appear to be a git repository", "repository not found", "returned error: 404", "does not exist")
_RACE = (
    "[rejected]",
    "fetch first",
    "non-fast-forward",
    "incorrect old value",
    "cannot lock ref",
    "failed to update ref",
)
_IN_THE_WAY = (
    "would be overwritten by",
    "not uptodate",
    "would lose untracked files",
    "would be removed by",
    "local changes",
)


#: What passes by itself in a moment, as a rule, and is shown only when it does not.
PASSING = (Kind.RACE, Kind.LOCKED)
_LOCK = re.compile(r"unable to create '([^']*\.lock)': file exists", re.IGNORECASE)
# why a ref cannot be locked although nobody else moves it
_UNLOCKABLE = (
    (r"unable to create '[^']*': (permission denied|read-only file system)", "give this user write permission there"),
    (r"unable to create '[^']*': (no space left on device|disk quota exceeded)", "make room there"),
    (r"'[^']*' exists; cannot create '[^']*'", "rename one of the two"),
)
_SMALLER = "take the large file out of the commits that wait, or raise the limit there"


class Failed(Exception):
    """An action that met trouble; ``failure`` tells which."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.failure = failure


def classify(error: GitError, remote: str, folder: str) -> Failure:
    """The failure behind a git command that talked to ``remote`` for the repository in ``folder``."""
    text = (error.message + "\n" + error.stdout.decode(errors="replace")).lower()
    said, here = _last_line(error), typed(folder)

    def any_of(signs: tuple[str, ...]) -> bool:
        return any(sign in text for sign in signs)

    if isinstance(error, GitTimeout):
        return Failure(Kind.OFFLINE, f"{remote} did not answer in {error.limit:g} seconds", "tried again by itself")
    if "remote rejected" in text or "declined" in text:
        return _rejected(error, remote, folder)
    if error.args_run[:1] == ("push",) and _hook_said_no(text) and not any_of(_OFFLINE + _AUTH + _MISSING):
        told = os.fsdecode(error.stdout) + "\n" + error.message
        lines = [line.strip() for line in told.splitlines() if line.strip() and not line.startswith("error: failed")]
        words = " / ".join(lines[-3:])[:300] or "without a word"
        what = f"the hook pre-push here does not let the push through ({words})"
        return Failure(Kind.REJECTED, what, f"see what it wants with: git -C {here} push {typed(remote)}")
    if any_of(_TOO_LARGE[:2]):
        return Failure(Kind.TOO_LARGE, f"{remote} does not take so much at once ({said})", _SMALLER)
    if any_of(_CERTIFICATE):
        remedy = (
            f"see what it shows: git -C {here} ls-remote {typed(remote)}; http.sslCAInfo names an authority to trust"
        )
        return Failure(Kind.AUTH, f"{remote} cannot prove who it is ({said})", remedy)
    if "host key verification failed" in text:
        return _host_key(error.message, remote, here)
    if any_of(_AUTH) or _DENIED.search(text):
        remedy = f"check that this works without a password prompt: git -C {here} ls-remote {typed(remote)}"
        return Failure(Kind.AUTH, f"{remote} refuses this machine ({said})", remedy)
    if error.code < 0:
        return Failure(
            Kind.UNSAFE, f"git {error.args_run[0]} was ended by signal {-error.code}", "tried again by itself"
        )
    if "index.lock" in text or "shallow.lock" in text:
        return Failure(Kind.LOCKED, "another git command is at work here", "goes on by itself when that ends")
    if any_of(_IN_THE_WAY):
        return in_the_way(error)
    if any_of(_RACE):
        return _race(error.message, remote, said)
    if any_of(_MISSING):
        return Failure(
            Kind.MISSING,
            f"{remote} is not there ({said})",
            f"look at its address: git -C {here} remote get-url {typed(remote)}",
        )
    if "no space left" in text or "disk full" in text or "unable to write" in text:
        return Failure(Kind.UNSAFE, f"the disk is full ({said})", "make room; tried again by itself")
    if any_of(_OFFLINE):
        return Failure(Kind.OFFLINE, f"{remote} cannot be reached ({said})", "tried again by itself")
    if "permission denied" in text or "read-only file system" in text or "insufficient permission" in text:
        return Failure(
            Kind.UNSAFE,
            f"not permitted to write ({said})",
            f"give this user write permission in {folder} and its remote",
        )
    return Failure(
        Kind.UNSAFE, f"git {error.args_run[0]} failed ({said})", f"see: git -C {here} status; git -C {here} fsck"
    )


def _host_key(said: str, remote: str, here: str) -> Failure:
    """ssh does not know the server's key, or knows another one (ssh(1), "Verifying host keys")."""
    by_hand = f"git -C {here} ls-remote {typed(remote)}"
    login = f"answer ssh's question once by hand, if the key that it shows is the right one: {by_hand}"
    if "identification has changed" not in said.lower():
        return Failure(Kind.AUTH, f"the ssh host key of {remote} is not known here", login)
    known = re.search(r"offending .*key in (.+):(\d+)", said, re.IGNORECASE)
    line = f"line {known[2]} of {known[1]}" if known else "the known one"
    remedy = f"if the server was set up anew, take {line} out, and {login}; if not, somebody sits in between"
    return Failure(Kind.AUTH, f"{remote} shows another ssh host key than before", remedy)


def _hook_said_no(text: str) -> bool:
    """Whether git says no more than that a push failed: then it was the person's `pre-push` that said no."""
    other_words = text.count("error:") > 1 or "fatal:" in text or "rejected]" in text
    return "error: failed to push some refs" in text and not other_words


def in_the_way(error: GitError) -> Failure:
    """What stands in the way of moving the work tree."""
    paths = [line.strip() for line in error.message.splitlines() if line.startswith("\t")]
    shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    text = error.message.lower()
    if "untracked" in text:
        return Failure(
            Kind.IN_THE_WAY,
            f"untracked or ignored files are in the way of what came in: {shown}",
            "move or rename them; the rest goes on by itself",
        )
    return Failure(
        Kind.IN_THE_WAY,
        f"uncommitted changes are in the way of what came in: {shown}",
        ONCE_COMMITTED,
    )


def _rejected(error: GitError, remote: str, folder: str) -> Failure:
    here, text = typed(folder), error.message + "\n" + error.stdout.decode(errors="replace")
    reason = re.search(r"remote rejected\].*?\(([^)]*)\)", text)
    why = reason[1] if reason else _last_line(error)
    lowered = text.lower()
    if any(sign in lowered for sign in ("failed to update ref", "cannot lock ref", "incorrect old value")):
        return _race(text, remote, why)
    told = [line.removeprefix("remote:").strip() for line in text.splitlines() if line.startswith("remote:")]
    told = [line for line in told if line]
    remarks = f"; it says: {' / '.join(told[:3])}" if told else ""
    if any(sign in lowered for sign in _TOO_LARGE):
        kind, remedy = Kind.TOO_LARGE, _SMALLER
    elif "secret" not in lowered and any(sign in lowered for sign in _PROTECTED):
        kind, remedy = Kind.PROTECTED, "allow pushes to the branch there, or switch to another branch"
    elif "checked out" in lowered or "denycurrentbranch" in lowered:
        kind, remedy = Kind.PROTECTED, "use a bare repository there (git clone --bare)"
    else:
        kind, remedy = Kind.REJECTED, f"see what it wants with: git -C {here} push {typed(remote)}"
    return Failure(kind, f"{remote} does not take the push ({why}{remarks})", remedy)


def _race(text: str, remote: str, said: str) -> Failure:
    """Somebody else was quicker; unless it lasts (`PASSING`), when a git that was killed has left a lock, or git says
    why the ref cannot be moved at all."""
    for sign, remedy in _UNLOCKABLE:
        if found := re.search(sign, text, re.IGNORECASE):
            return Failure(Kind.UNSAFE, f"a ref cannot be moved ({found[0]})", f"{remedy}; tried again by itself")
    if lock := _LOCK.search(text):
        remedy = f"when no git is at work there, remove {lock[1]}; tried again by itself"
        return Failure(Kind.RACE, f"a ref is locked ({lock[1]})", remedy)
    return Failure(Kind.RACE, f"{remote} moved at the same time ({said})", "tried again by itself")


def _last_line(error: GitError) -> str:
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    for reason, line in pairwise(lines):
        # git's own words for all that ssh, or the far side's shell, has just told
        if line.startswith("fatal: Could not read from remote"):
            return reason[:300]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:"))]
    # the progress of the other side begins with "remote:", too
    telling = telling or [line for line in lines if line.startswith("remote:")] or lines
    return re.sub(r"^(fatal|error): ", "", telling[0])[:300] if telling else f"exit code {error.code}"


class Backoff:
    """Growing, jittered pauses. ``jitter`` returns a number from 0 to 1."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._kind: Kind | None = None
        self._count = 0

    def pause(self, kind: Kind) -> float:
        """Seconds to wait after one more failure of this kind: doubled each time, then 50 to 100 % of that."""
        if kind is not self._kind:
            self._kind, self._count = kind, 0
        first, most = PAUSES[kind]
        longest: float = min(most, first * 2.0**self._count)
        self._count = min(self._count + 1, 30)
        return longest * (0.5 + 0.5 * self._jitter())

    @property
    def count(self) -> int:
        """Failures of the latest kind in a row; 30 stands for more."""
        return self._count

    def reset(self) -> None:
        """After a success."""
        self._kind, self._count = None, 0
