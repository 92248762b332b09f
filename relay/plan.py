"""What to do for a repository: a pure function of its observed state.

Two things hold for every plan. A push is only planned when what is pushed contains all that the upstream
is known to have, so it is a fast-forward. The work tree is only moved to a commit that contains HEAD, by git's own
merge, which refuses to touch an uncommitted file. The table of states is in docs/architecture.md.
"""

from __future__ import annotations

from autosync.common.repository import FINISH
from autosync.common.shell import typed

from .failures import ONCE_COMMITTED, Kind
from .state import (
    Action,
    Announce,
    DirectFetch,
    FastForward,
    Fetch,
    Merge,
    Name,
    Offer,
    Plan,
    Push,
    Recover,
    State,
    Status,
)


def plan(state: State) -> Plan:
    """The actions for ``state``, in order. Total: every state has a plan."""
    seen = state.seen
    if seen.paused is not None:
        return Plan((), Status("paused", seen.paused, f"autosync resume {typed(state.path)}"))
    announcements: tuple[Action, ...] = tuple(Announce(m) for m in seen.moves) if state.settings.announce else ()
    if seen.bare:
        return Plan(announcements, Status("in sync"))
    rest = _work_tree(state)
    return Plan(announcements + rest.actions, rest.status, rest.wake)


def _work_tree(state: State) -> Plan:
    seen = state.seen
    if seen.moving:
        return _later(state, state.move_from, Recover(), _trouble(state) if state.failure else Status("syncing"))
    if seen.operation is not None:
        finish = FINISH[seen.operation]
        return _nothing("held", f"a {seen.operation} is under way", f"in {typed(state.path)}: {finish}")
    if seen.branch is None:
        return _nothing("held", "HEAD is detached", f"{_git(state)} switch BRANCH")
    branch = seen.branch.removeprefix("refs/heads/")
    if seen.upstream is None:
        remedy = f"{_git(state)} push -u REMOTE {typed(branch)}"
        return _nothing("no upstream", f"the branch {branch} has no upstream", remedy)
    if state.invitation is not None and state.settings.pull == "auto":
        return Plan((DirectFetch(state.invitation),), Status("syncing"))
    if seen.offer is not None and seen.head is not None and state.settings.pull == "auto":
        return _accept(state, seen.branch, seen.head, seen.offer)
    if state.fetch_due:
        waiting = _trouble(state) if state.failure else Status("syncing")
        fetch = _later(state, state.fetch_from, Fetch(seen.upstream), waiting)
        if fetch.actions:
            return fetch
        # what is known already can be dealt with while the remote cannot be asked
        known = _known(state)
        wake = min(w for w in (fetch.wake, known.wake) if w is not None)
        moves = tuple(a for a in known.actions if not isinstance(a, Push))
        return Plan(moves, known.status if moves else fetch.status, wake)
    return _known(state)


def _known(state: State) -> Plan:
    """The plan by what is known of the upstream."""
    seen, settings = state.seen, state.settings
    assert seen.branch is not None
    assert seen.upstream is not None
    if seen.head is None:
        if seen.tip is None:
            return _nothing("unborn", "nothing is committed yet")
        if settings.pull != "auto":
            return _behind(state)
        return _later(state, state.move_from, FastForward(seen.branch, None, seen.tip), _trouble(state))
    if seen.tip is None:
        if not state.branch_absent:
            return Plan((), _trouble(state))
        return _push(state)
    remote = f"{seen.upstream.remote}/{seen.upstream.ref.removeprefix('refs/heads/')}"
    there = typed(remote)
    if state.branch_absent:
        refs = f"{seen.branch}:{seen.upstream.ref}"
        return _nothing(
            "held",
            f"{remote} was there and is gone",
            f"to put it back: {_git(state)} push {typed(seen.upstream.remote)} {typed(refs)}",
        )
    if not seen.related:
        return _nothing(
            "held",
            f"{remote} has nothing in common with the branch here",
            f"look at it with {_git(state)} log {there}; "
            f"to join the two: {_git(state)} merge --allow-unrelated-histories {there}, and where both have a "
            "file of one name, put it right, then git add it and git commit",
        )
    if seen.behind:
        return _integrate(state)
    if seen.ahead:
        return _push(state)
    return Plan((), Status("in sync"))


def _integrate(state: State) -> Plan:
    seen, settings = state.seen, state.settings
    assert seen.branch is not None
    assert seen.upstream is not None
    assert seen.head is not None
    assert seen.tip is not None
    if settings.pull != "auto":
        return _behind(state)
    remote = f"{seen.upstream.remote}/{seen.upstream.ref.removeprefix('refs/heads/')}"
    if seen.base_lost:
        there = typed(remote)
        return _nothing(
            "held",
            f"the history of {remote} was rewritten",
            f"to keep both: {_git(state)} merge {there}; "
            f"to follow it: {_git(state)} branch before-rewrite && {_git(state)} reset --keep {there}",
        )
    if not seen.ahead:
        return _later(state, state.move_from, FastForward(seen.branch, seen.head, seen.tip), _trouble(state))
    if state.stopped:
        return _nothing(
            "diverged",
            f'both sides changed the same, and conflict = "stop" is set for {state.path}',
            f"{_git(state)} merge {typed(remote)}",
        )
    return _later(state, state.move_from, Merge(seen.branch, seen.head, seen.tip), _trouble(state))


def _accept(state: State, branch: str, head: str, offer: str) -> Plan:
    """Take over a commit that came directly from another machine."""
    action = FastForward(branch, head, offer) if state.seen.offer_ahead else Merge(branch, head, offer)
    return _later(state, state.move_from, action, _trouble(state))


def _behind(state: State) -> Plan:
    seen = state.seen
    count = "1 commit waits" if seen.behind == 1 else f"{seen.behind} commits wait"
    # git asks how, where both sides have commits: merged, as here
    name: Name
    name, how = ("diverged", " --no-rebase") if seen.ahead else ("behind", "")
    return _nothing(name, f'{count} (pull = "{state.settings.pull}")', f"{_git(state)} pull{how}")


def _push(state: State) -> Plan:
    seen = state.seen
    assert seen.branch is not None
    assert seen.upstream is not None
    assert seen.head is not None
    if state.settings.push == "manual":
        count = "1 commit waits" if seen.ahead == 1 else f"{seen.ahead or 'all'} commits wait"
        return _nothing("ahead", f"{count} for a push by hand", f"{_git(state)} push")
    if seen.head == state.borrowed and state.now < state.borrowed_until:
        # the machine that it came from pushes it; a second push would take as long as the first
        return Plan((), Status("in sync", "the newest commit came directly from another machine"), state.borrowed_until)
    push = Push(seen.branch, seen.upstream, seen.head, seen.tip, seen.new_branch)
    found = _later(state, state.push_from, push, _trouble(state) if state.failure else Status("ahead"))
    if state.settings.direct and state.settings.announce and state.told != seen.head:
        return Plan((Offer(seen.upstream.ref, seen.head), *found.actions), found.status, found.wake)
    return found


def _later(state: State, when: float, action: Action, meanwhile: Status) -> Plan:
    """The action if its time has come, else a wake-up at that time."""
    if state.now >= when:
        return Plan((action,), Status("syncing"))
    return Plan((), meanwhile, when)


def _git(state: State) -> str:
    """How a command begins that a person is to type."""
    return f"git -C {typed(state.path)}"


def _nothing(name: Name, reason: str, remedy: str | None = None) -> Plan:
    return Plan((), Status(name, reason, remedy))


def _trouble(state: State) -> Status:
    failure = state.failure
    if failure is None:
        return Status("waiting", "the remote has not been asked yet")
    remedy = failure.remedy
    if remedy == ONCE_COMMITTED and not state.settings.watch:
        # nobody else commits here
        remedy = f"commit them: {_git(state)} commit -a; the rest goes on by itself"
    return Status(_NAMES.get(failure.kind, "error"), failure.what, remedy)


_NAMES: dict[Kind, Name] = {
    Kind.OFFLINE: "offline",
    Kind.RACE: "syncing",
    Kind.LOCKED: "waiting",
    Kind.IN_THE_WAY: "waiting",
}
