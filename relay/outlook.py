"""What a worker has heard and tried: all that a look at the repository alone does not show."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Literal

from autosync.common.reader import Reader, Unreadable, Upstream
from autosync.common.repository import Repository

from .announcement import Announcement
from .failures import REFUSED, Failure, Kind
from .state import Action, DirectFetch, FastForward, Fetch, Invitation, Observed, Push

#: What an announcement asks for: nothing, a look at the remote, a look at the machine that sent it.
Wish = Literal["nothing", "remote", "machine"]


@dataclass(slots=True)
class Outlook:
    """``fetch_due``: a hint says that the remote may have moved. ``expected``: the commits that pushes by hand meant to
    put at the remote's refs, past git's own bookkeeping.

    ``invitation``: a machine to fetch from directly. ``offered``: the commit that came from there. ``borrowed``: the
    commit of HEAD, when it is such a one. ``told``: the commit that the others were last told of before its push.

    ``absent``: the remote-tracking ref whose branch the remote does not have. ``stopped_at``: the two heads whose merge
    has conflicts, with `conflict = "stop"`. ``refused``: the commit that the remote did not take. ``answered``: the
    remote has been asked, or has answered, since the latest push began."""

    fetch_due: bool = True
    expected: dict[str, str] = field(default_factory=dict)
    invitation: Invitation | None = None
    offered: str | None = None
    borrowed: str | None = None
    told: str | None = None
    absent: str | None = None
    stopped_at: tuple[str, str] | None = None
    refused: str | None = None
    answered: bool = False

    def hinted(self) -> None:
        """Something may have changed here; what the remote did not have has perhaps been put back."""
        self.fetch_due = self.fetch_due or self.absent is not None

    def invited(self, announcement: Announcement) -> None:
        """The machine that has sent it is to be asked, and the remote, too, if it was pushed there."""
        self.invitation = Invitation(announcement.machine, announcement.ref, announcement.commit)
        self.fetch_due = self.fetch_due or announcement.kind == "pushed"

    def begins(self, action: Action) -> None:
        """An action is about to begin. A hint that comes while git fetches means one more fetch."""
        if isinstance(action, Fetch):
            self.fetch_due = False
        elif isinstance(action, DirectFetch):
            self.invitation = None

    def done(self, action: Action) -> None:
        """It was done."""
        if isinstance(action, Fetch):
            self.answered, self.absent = True, None
        elif isinstance(action, DirectFetch):
            self.offered = action.invitation.commit
        elif isinstance(action, Push):
            self.answered, self.refused, self.absent = True, None, None
        elif isinstance(action, FastForward) and action.after == self.offered:
            self.borrowed = action.after

    def failed(self, action: Action, failure: Failure) -> None:
        """It was not done."""
        if isinstance(action, Fetch) or (isinstance(action, Push) and failure.kind is Kind.RACE):
            self.fetch_due = True
        if isinstance(action, Push) and failure.kind in REFUSED:
            self.refused = action.commit

    def broken_off(self, action: Action) -> None:
        """It ended by trouble of this machine's own (no memory, no descriptor is left): the hint still stands."""
        self.fetch_due = self.fetch_due or isinstance(action, (Fetch, DirectFetch))

    def branch_absent(self, upstream: Upstream) -> None:
        """The remote does not have the branch."""
        self.absent = upstream.tracking

    def merge_stopped(self, head: str, tip: str) -> None:
        """The two cannot be merged without a person."""
        self.stopped_at = (head, tip)
        if tip == self.offered:
            self.offered = None

    def mended(self, reader: Reader) -> bool:
        """Whether what the remote refused has been taken back, by a look at the present head. Raises Unreadable."""
        if self.refused is None:
            return False
        head = reader.head().commit or ""
        if head and reader.has_commit(self.refused) and reader.is_ancestor(self.refused, head):
            return False
        self.refused = None
        return True


def wish(announcement: Announcement, seen: Observed, repository: Repository) -> Wish:
    """What an announcement asks for. What is here already makes no work."""
    near = False
    with contextlib.suppress(Unreadable):
        reader = repository.reader()
        commit = announcement.commit
        known = [c for c in (seen.tip, seen.head) if c]
        if reader.has_commit(commit) and any(reader.is_ancestor(commit, c) for c in known):
            return "nothing"
        near = reader.remote_url(announcement.machine) != announcement.machine
    if near and seen.upstream is not None and announcement.ref == seen.upstream.ref:
        return "machine"
    return "remote" if announcement.kind == "pushed" else "nothing"
