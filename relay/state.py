"""What is known of a repository when the relay decides, and what it can decide to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from autosync.common.config import Settings
from autosync.common.reader import Upstream

from .failures import Failure


@dataclass(frozen=True, slots=True)
class Move:
    """A ref on the remote that somebody here moved by a push. All zeros: it was deleted. ``before`` is where it was."""

    ref: str
    commit: str
    before: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Observed:
    """Facts read from the repository at one moment. Refs are full names, commits hex.

    ``url`` is the configured address of the upstream's remote; ``tip`` is where the upstream was when it was last
    asked. ``base_lost`` means that the upstream no longer contains what it contained before: somebody rewrote it.
    ``new_branch``: the branch has no upstream yet and is to get the one that ``upstream`` says (git's
    `push.autoSetupRemote`). ``refs`` are those whose moves others care for: the tracking refs of the upstream's remote,
    or a bare repository's branches. ``paused`` says why it is. ``offer`` is a commit that came directly from another
    machine and that HEAD lacks; ``offer_ahead`` says that it contains HEAD.
    """

    bare: bool
    paused: str | None = None
    moving: bool = False
    operation: str | None = None
    branch: str | None = None
    head: str | None = None
    upstream: Upstream | None = None
    new_branch: bool = False
    url: str | None = None
    tip: str | None = None
    ahead: int = 0
    behind: int = 0
    related: bool = True
    base_lost: bool = False
    refs: Mapping[str, str] = field(default_factory=dict)
    offer: str | None = None
    offer_ahead: bool = False
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Invitation:
    """Another machine says that it has ``commit`` on ``ref``, and there is a git remote of the machine's name."""

    machine: str
    ref: str
    commit: str


@dataclass(frozen=True, slots=True)
class State:
    """Everything `plan` decides from. Times are monotonic seconds.

    ``fetch_due``: a hint says that the remote may have moved. ``branch_absent``: the remote said that it does not
    have our branch. ``stopped``: this very merge has conflicts and `conflict = "stop"` is set. The ``*_from`` times
    are when the next try of each kind is allowed; ``failure`` is the trouble behind the latest pause.

    ``invitation``: a machine to fetch from directly. ``borrowed``: the commit of HEAD, when it came directly from
    another machine, which is about to push it; until ``borrowed_until`` that is left to it. ``told``: the commit
    that the others were last told of before its push.
    """

    path: Path
    settings: Settings
    seen: Observed
    now: float
    fetch_due: bool = False
    invitation: Invitation | None = None
    borrowed: str | None = None
    borrowed_until: float = 0.0
    told: str | None = None
    branch_absent: bool = False
    stopped: bool = False
    fetch_from: float = 0.0
    push_from: float = 0.0
    move_from: float = 0.0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    move: Move


@dataclass(frozen=True, slots=True)
class Offer:
    """Tell the others of a commit that is not pushed yet."""

    ref: str
    commit: str


@dataclass(frozen=True, slots=True)
class DirectFetch:
    """Fetch a commit from the machine that announced it."""

    invitation: Invitation


@dataclass(frozen=True, slots=True)
class Recover:
    """Finish with a move of the work tree that was killed."""


@dataclass(frozen=True, slots=True)
class Fetch:
    upstream: Upstream


@dataclass(frozen=True, slots=True)
class FastForward:
    """Move the checked-out branch and the work tree to a commit that contains HEAD."""

    branch: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge two diverged commits, then move to the result."""

    branch: str
    head: str
    tip: str


@dataclass(frozen=True, slots=True)
class Push:
    """Push ``commit``, which contains ``tip``, to the upstream; with ``setup`` that becomes the branch's upstream."""

    branch: str
    upstream: Upstream
    commit: str
    tip: str | None
    setup: bool = False


Action = Announce | Offer | Recover | Fetch | DirectFetch | FastForward | Merge | Push


def doing(action: Action) -> str:
    """What an action is, for people who wait for it."""
    match action:
        case Fetch():
            return f"fetching from {action.upstream.remote}"
        case DirectFetch():
            return f"fetching from {action.invitation.machine}"
        case Push():
            return f"pushing to {action.upstream.remote}"
        case Merge():
            return "merging"
        case FastForward():
            return "taking in what came"
        case Recover():
            return "putting back what a cut short move had replaced"
        case Announce() | Offer():
            return "telling the others"


Name = Literal[
    "in sync",
    "syncing",
    "ahead",
    "behind",
    "diverged",
    "waiting",
    "held",
    "paused",
    "offline",
    "error",
    "no upstream",
    "unborn",
]


@dataclass(frozen=True, slots=True)
class Status:
    """How a repository is, for people: a word, why, and what to do."""

    name: Name
    reason: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in order; how the repository is; and when to look again without any hint (monotonic)."""

    actions: tuple[Action, ...]
    status: Status
    wake: float | None = None
