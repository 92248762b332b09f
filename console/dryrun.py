"""`autosync sync --dry-run`: what would be done, from the very plan that the relay acts by. Nothing is changed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from autosync.common import config
from autosync.common.config import Repo
from autosync.common.instance import Instance
from autosync.common.reader import Upstream
from autosync.common.repository import Repository
from autosync.common.shared import SharedSettings
from autosync.relay.look import look
from autosync.relay.memory import Memory
from autosync.relay.plan import plan
from autosync.relay.state import Action, FastForward, Merge, Observed, Push, Recover, State, Status

from . import wording
from .answering import opened
from .candidates import candidates

#: Seconds for asking the remote where its branch is.
_ASK_LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be done, in sentences and in order; how the repository is when there is nothing to do, or no way."""

    steps: tuple[str, ...]
    status: Status


def preview(instance: Instance, repo: Repo) -> Preview:
    """What `autosync sync` would do. Asks the remote, and changes nothing. Raises Problem, GitError, Unreadable."""
    repository = opened(repo.path)
    settings = config.effective(repo, SharedSettings().read(repository))
    seen = look(repository, Memory.of(instance.state / "relay", repository.git_dir), {})
    steps = []
    if settings.watch and not (seen.bare or seen.paused or seen.operation) and seen.branch:
        found = candidates(repository, settings)
        if found.ready:
            steps.append(f"commit {wording.count(len(found.ready), 'changed file')}")
            # as after that commit
            seen = dataclasses.replace(seen, ahead=seen.ahead + 1)
        if found.held:
            steps.append(f"hold back {wording.listed([wording.plain(name) for name in found.held])}")
    absent = False
    if seen.upstream is not None and not seen.paused and settings.pull != "never":
        asked = _asked(repository, seen.upstream)
        absent = asked is None
        if asked is not None and asked != seen.tip and not repository.reader().has_commit(asked):
            steps.append(f"fetch {asked[:7]}, which is new at {_named(seen.upstream)}, and merge it")
    state = State(repo.path, settings, seen, 0.0, branch_absent=absent)
    decided = plan(state)
    steps += [_sentence(action, seen) for action in decided.actions]
    if any(isinstance(action, Push) for action in decided.actions) and settings.announce:
        steps.append("tell the other machines")
    return Preview(tuple(steps), decided.status)


def _asked(repository: Repository, upstream: Upstream) -> str | None:
    """The commit of the upstream's branch now; None when the remote does not have it. Raises GitError."""
    said = repository.git.run("ls-remote", "--", upstream.remote, upstream.ref, limit=_ASK_LIMIT).text
    return said.split("\t")[0] if said else None


def _named(upstream: Upstream) -> str:
    return f"{upstream.remote}/{upstream.ref.removeprefix('refs/heads/')}"


def _sentence(action: Action, seen: Observed) -> str:
    upstream = _named(seen.upstream) if seen.upstream else ""
    if isinstance(action, Push):
        ahead = wording.count(seen.ahead, "commit") if seen.tip else "all commits"
        return f"push {ahead} to {upstream}"
    if isinstance(action, FastForward):
        return f"take over {wording.count(seen.behind, 'commit')} of {upstream}"
    if isinstance(action, Merge):
        ours, theirs = wording.count(seen.ahead, "commit"), wording.count(seen.behind, "commit")
        return f"merge {theirs} of {upstream} with {ours} from here, then push"
    if isinstance(action, Recover):
        return "finish a move of the work tree that was cut short"
    return type(action).__name__.lower()
