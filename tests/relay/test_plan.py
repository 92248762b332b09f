"""`plan`: every state of the table in docs/architecture.md, and what must hold for all states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosync.common.config import Settings
from autosync.common.reader import Upstream
from autosync.relay.failures import ONCE_COMMITTED, Failure, Kind
from autosync.relay.plan import plan
from autosync.relay.state import (
    Announce,
    DirectFetch,
    FastForward,
    Fetch,
    Invitation,
    Merge,
    Move,
    Observed,
    Offer,
    Push,
    Recover,
    State,
)

BRANCH = "refs/heads/main"
UPSTREAM = Upstream("origin", BRANCH, "refs/remotes/origin/main")
A, B, ZERO = "a" * 40, "b" * 40, "0" * 40
OFFLINE = Failure(Kind.OFFLINE, "origin cannot be reached", "tried again by itself")
EQUAL = Observed(False, branch=BRANCH, head=A, upstream=UPSTREAM, tip=A)
AHEAD = replace(EQUAL, head=B, ahead=1)
BEHIND = replace(EQUAL, tip=B, behind=1)
DIVERGED = replace(EQUAL, tip=B, ahead=2, behind=3)


def settings(**changes) -> Settings:
    return Settings.model_construct(**(dict(Settings()) | changes))


def state(seen: Observed, **changes) -> State:
    return replace(State(Path("/r"), settings(), seen, now=100.0), **changes)


TABLE = {
    "equal": (state(EQUAL), "in sync", ()),
    "ahead": (state(AHEAD), "syncing", (Push(BRANCH, UPSTREAM, B, A),)),
    "ahead, push delay not over": (state(AHEAD, push_from=101.0), "ahead", ()),
    "ahead, push by hand": (state(AHEAD, settings=settings(push="manual")), "ahead", ()),
    "behind": (state(BEHIND), "syncing", (FastForward(BRANCH, A, B),)),
    "behind, pull notify": (state(BEHIND, settings=settings(pull="notify")), "behind", ()),
    "behind, pull never": (state(BEHIND, settings=settings(pull="never")), "behind", ()),
    "behind, file in the way": (
        state(BEHIND, move_from=101.0, failure=Failure(Kind.IN_THE_WAY, "x", "y")),
        "waiting",
        (),
    ),
    "diverged": (state(DIVERGED), "syncing", (Merge(BRANCH, A, B),)),
    "diverged, pull notify": (state(DIVERGED, settings=settings(pull="notify")), "diverged", ()),
    "diverged, conflict stop": (state(DIVERGED, stopped=True), "diverged", ()),
    "unrelated": (state(replace(DIVERGED, related=False)), "held", ()),
    "upstream rewritten": (state(replace(DIVERGED, base_lost=True)), "held", ()),
    "fetch due": (state(EQUAL, fetch_due=True), "syncing", (Fetch(UPSTREAM),)),
    "fetch due, remote unreachable": (state(EQUAL, fetch_due=True, fetch_from=101.0, failure=OFFLINE), "offline", ()),
    "fetch due, unreachable, ahead": (state(AHEAD, fetch_due=True, fetch_from=101.0, failure=OFFLINE), "offline", ()),
    "fetch due, unreachable, behind": (
        state(BEHIND, fetch_due=True, fetch_from=101.0, failure=OFFLINE),
        "syncing",
        (FastForward(BRANCH, A, B),),
    ),
    "no upstream": (state(replace(EQUAL, upstream=None, tip=None)), "no upstream", ()),
    "no upstream, push.autoSetupRemote": (
        state(replace(EQUAL, tip=None, new_branch=True), branch_absent=True),
        "syncing",
        (Push(BRANCH, UPSTREAM, A, None, setup=True),),
    ),
    "unborn": (state(replace(EQUAL, head=None, tip=None)), "unborn", ()),
    "unborn, remote has commits": (
        state(replace(EQUAL, head=None, tip=B)),
        "syncing",
        (FastForward(BRANCH, None, B),),
    ),
    "remote branch absent": (
        state(replace(EQUAL, tip=None), branch_absent=True),
        "syncing",
        (Push(BRANCH, UPSTREAM, A, None),),
    ),
    "remote branch gone": (state(AHEAD, branch_absent=True), "held", ()),
    "remote never asked": (state(replace(EQUAL, tip=None), failure=OFFLINE), "offline", ()),
    "detached": (state(replace(EQUAL, branch=None)), "held", ()),
    "rebase under way": (state(replace(DIVERGED, operation="rebase")), "held", ()),
    "paused": (state(replace(AHEAD, paused="paused by hand", moves=(Move(BRANCH, B),))), "paused", ()),
    "push.autoSetupRemote, remote has the branch": (
        state(replace(DIVERGED, new_branch=True)),
        "syncing",
        (Merge(BRANCH, A, B),),
    ),
    "paused, another repository": (
        state(replace(AHEAD, paused="another repository is here now")),
        "paused",
        (),
    ),
    "killed in a move": (state(replace(BEHIND, moving=True)), "syncing", (Recover(),)),
    "rejected": (
        state(AHEAD, push_from=101.0, failure=Failure(Kind.REJECTED, "no", "do")),
        "error",
        (),
    ),
    "pushed by hand": (state(replace(EQUAL, moves=(Move(BRANCH, A),))), "in sync", (Announce(Move(BRANCH, A)),)),
    "pushed, announcing off": (
        state(replace(EQUAL, moves=(Move(BRANCH, A),)), settings=settings(announce=False)),
        "in sync",
        (),
    ),
    "invited by a machine": (
        state(EQUAL, fetch_due=True, invitation=Invitation("desk", BRANCH, B)),
        "syncing",
        (DirectFetch(Invitation("desk", BRANCH, B)),),
    ),
    "offered, ahead of us": (
        state(replace(EQUAL, offer=B, offer_ahead=True), fetch_due=True),
        "syncing",
        (FastForward(BRANCH, A, B),),
    ),
    "offered, diverged": (state(replace(EQUAL, offer=B)), "syncing", (Merge(BRANCH, A, B),)),
    "borrowed": (state(AHEAD, borrowed=B, borrowed_until=101.0), "in sync", ()),
    "borrowed, not pushed in time": (
        state(AHEAD, borrowed=B, borrowed_until=99.0),
        "syncing",
        (Push(BRANCH, UPSTREAM, B, A),),
    ),
    "ahead, direct": (
        state(AHEAD, settings=settings(direct=True), push_from=101.0),
        "ahead",
        (Offer(BRANCH, B),),
    ),
    "central": (
        state(Observed(True, moves=(Move(BRANCH, ZERO),))),
        "in sync",
        (Announce(Move(BRANCH, ZERO)),),
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table(name):
    given_state, status, actions = TABLE[name]
    found = plan(given_state)
    assert (found.status.name, found.actions) == (status, actions)


@pytest.mark.parametrize(("watch", "says"), [(True, "goes on by itself once"), (False, "git -C /r commit -a")])
def test_who_has_to_commit_what_is_in_the_way_is_said(watch, says):
    failure = Failure(Kind.IN_THE_WAY, "x", ONCE_COMMITTED)
    found = plan(state(BEHIND, move_from=101.0, failure=failure, settings=settings(watch=watch)))
    assert found.status.name == "waiting"
    assert says in (found.status.remedy or "")


def test_the_table_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    missing = [name for name in TABLE if f"| {name} |" not in text]
    assert not missing


commits = st.none() | st.sampled_from([A, B])
times = st.floats(0, 200)
observed = st.builds(
    Observed,
    bare=st.booleans(),
    paused=st.sampled_from([None, "paused by hand"]),
    moving=st.booleans(),
    operation=st.none() | st.sampled_from(["merge", "rebase", "bisect"]),
    branch=st.none() | st.just(BRANCH),
    head=commits,
    upstream=st.none() | st.just(UPSTREAM),
    tip=commits,
    ahead=st.integers(0, 2),
    behind=st.integers(0, 2),
    related=st.booleans(),
    base_lost=st.booleans(),
    offer=commits,
    offer_ahead=st.booleans(),
    new_branch=st.booleans(),
    moves=st.just(()) | st.just((Move(BRANCH, A),)),
)
states = st.builds(
    State,
    path=st.just(Path("/r")),
    settings=st.builds(
        settings,
        push=st.sampled_from(["auto", "manual"]),
        pull=st.sampled_from(["auto", "notify", "never"]),
        conflict=st.sampled_from(["keep-both", "stop"]),
        announce=st.booleans(),
    ),
    seen=observed,
    now=times,
    fetch_due=st.booleans(),
    branch_absent=st.booleans(),
    stopped=st.booleans(),
    fetch_from=times,
    push_from=times,
    move_from=times,
    failure=st.none() | st.builds(Failure, st.sampled_from(Kind), st.just("what"), st.just("remedy")),
)


@given(states)
def test_a_push_is_a_fast_forward_of_what_is_known_and_wanted(given_state):
    for action in plan(given_state).actions:
        if isinstance(action, Push):
            assert given_state.settings.push == "auto"
            assert given_state.seen.behind == 0 or given_state.seen.tip is None
            assert given_state.now >= given_state.push_from


@given(states)
def test_the_work_tree_moves_only_when_nothing_forbids_it(given_state):
    seen = given_state.seen
    for action in plan(given_state).actions:
        if isinstance(action, (FastForward, Merge)):
            assert given_state.settings.pull == "auto"
            assert not (seen.paused or seen.operation or seen.moving or seen.bare)
            assert seen.branch == action.branch
            if seen.offer is None:
                assert seen.related
                assert not seen.base_lost or seen.head is None
        if isinstance(action, FastForward):
            assert seen.offer_ahead or seen.ahead == 0 or seen.head is None


@given(states)
def test_every_state_has_a_plan_that_says_what_to_do(given_state):
    found = plan(given_state)
    if found.status.name in ("held", "no upstream", "paused"):
        assert found.status.reason
        assert found.status.remedy
    if given_state.seen.paused:
        assert not found.actions


@given(states)
def test_nothing_waits_without_a_wake_up(given_state):
    """A pause that ends by time has a time at which it ends."""
    found = plan(given_state)
    due = given_state.fetch_due and given_state.now < given_state.fetch_from
    idle = not found.actions and given_state.seen.upstream and given_state.seen.branch and not given_state.seen.bare
    if due and idle and not (given_state.seen.paused or given_state.seen.operation or given_state.seen.moving):
        assert found.wake is not None
