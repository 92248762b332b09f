"""Reading a repository's state: refs and marks, in-process, no child process, no network."""

from __future__ import annotations

from collections.abc import Mapping

from autosync.common import checkout
from autosync.common.reader import Reader, Upstream, tracking_ref
from autosync.common.repository import Repository

from .memory import Memory
from .state import Move, Observed

_REFLOG_DEPTH = 50
# what git, libgit2 and JGit write into the log of a tracking ref after a push
_PUSH_MESSAGE = "update by push"


def look(repository: Repository, memory: Memory, expected: Mapping[str, str], offered: str | None = None) -> Observed:
    """Observe the repository. ``expected`` holds refs of the remote with the commit that a push meant to put there
    which git itself did not record: one by hand to a URL, or one that was killed before it had its answer. ``offered``
    is a commit that was fetched directly from another machine. Raises Unreadable, OSError.
    """
    reader = repository.reader()
    if repository.bare:
        heads = reader.refs("refs/heads/")
        moves = _central_moves(heads, memory)
        return Observed(bare=True, paused=repository.paused, refs=heads, moves=moves)
    head = reader.head()
    upstream = reader.upstream(head.branch) if head.branch else None
    new_branch = False
    if upstream is None and head.branch is not None and head.commit is not None:
        upstream = _wanted_upstream(reader, head.branch)
        new_branch = upstream is not None
    if upstream is not None and head.branch is not None:
        upstream = with_tracking(upstream, head.branch)
    tip = reader.resolve(upstream.tracking) if upstream and upstream.tracking else None
    ahead = behind = 0
    related, lost = True, False
    if head.commit and tip and head.commit != tip:
        ahead, behind = reader.ahead_behind(head.commit, tip)
        related = not (ahead and behind) or reader.related(head.commit, tip)
        base = memory.base.get(upstream.tracking or "") if upstream else None
        lost = bool(behind and base and reader.has_commit(base) and not reader.is_ancestor(base, tip))
    offer, offer_ahead = None, False
    if offered and head.commit and reader.has_commit(offered) and not reader.is_ancestor(offered, head.commit):
        offer_ahead = reader.is_ancestor(head.commit, offered)
        # histories that have nothing in common are for the person to join
        offer = offered if offer_ahead or reader.related(offered, head.commit) else None
    tracked = _tracked(reader, upstream)
    return Observed(
        bare=False,
        paused=repository.paused,
        moving=checkout.journal(repository) is not None,
        operation=repository.operation(),
        branch=head.branch,
        head=head.commit,
        upstream=upstream,
        new_branch=new_branch,
        url=reader.remote_url(upstream.remote) if upstream else None,
        tip=tip,
        ahead=ahead,
        behind=behind,
        related=related,
        base_lost=lost,
        refs=tracked,
        offer=offer,
        offer_ahead=offer_ahead,
        moves=_pushed_moves(reader, memory, upstream, tracked, expected),
    )


def with_tracking(upstream: Upstream, branch: str) -> Upstream:
    """An upstream given by URL, or one that no refspec fetches, or fetches onto a branch, is tracked by a ref of our
    own."""
    if upstream.tracking is not None and not upstream.tracking.startswith("refs/heads/"):
        return upstream
    return Upstream(upstream.remote, upstream.ref, "refs/autosync/upstream/" + branch.removeprefix("refs/heads/"))


def _wanted_upstream(reader: Reader, branch: str) -> Upstream | None:
    """The upstream that a new branch gets by its first push, where the person has set `push.autoSetupRemote`
    (git-config(1)): the branch of the same name on the remote that git would push to."""
    wanted = reader.config_all("push.autosetupremote")
    if not wanted or wanted[-1].lower() not in ("true", "yes", "on", "1", ""):
        return None
    if reader.config_all(f"branch.{branch.removeprefix('refs/heads/')}.remote"):
        return None  # it has one, if not one to be synchronised with
    remote = (reader.config_all("remote.pushdefault") or ["origin"])[-1]
    if reader.remote_url(remote) == remote:
        return None
    return Upstream(remote, branch, tracking_ref(reader.fetch_refspecs(remote), branch))


def _prefix(upstream: Upstream) -> str:
    """What the names of the remote's tracking refs begin with; the whole name where only one ref is tracked."""
    assert upstream.tracking is not None
    return upstream.tracking.removesuffix(upstream.ref.removeprefix("refs/heads/"))


def _tracked(reader: Reader, upstream: Upstream | None) -> dict[str, str]:
    """Tracking refs of the upstream's remote."""
    if upstream is None or upstream.tracking is None:
        return {}
    return reader.refs(_prefix(upstream))


def _pushed_moves(
    reader: Reader,
    memory: Memory,
    upstream: Upstream | None,
    tracked: Mapping[str, str],
    expected: Mapping[str, str],
) -> tuple[Move, ...]:
    if upstream is None or upstream.tracking is None or (memory.seen is None and not expected):
        return ()
    first, before_all = memory.seen is None, memory.seen or {}
    prefix = _prefix(upstream)

    def on_remote(tracking: str) -> str:
        return upstream.ref if tracking == upstream.tracking else "refs/heads/" + tracking.removeprefix(prefix)

    moves = []
    for tracking, commit in sorted(tracked.items()):
        before = before_all.get(tracking)
        if before == commit:
            continue
        if expected.get(on_remote(tracking)) == commit or (not first and _by_push(reader, tracking, before)):
            moves.append(Move(on_remote(tracking), commit, before))
    for tracking, commit in sorted(before_all.items()):
        # git deletes a tracking ref when a push has deleted the branch, or when a fetch prunes it
        if tracking.startswith(prefix) and tracking not in tracked:
            moves.append(Move(on_remote(tracking), "0" * len(commit), commit))
    return tuple(moves)


def _by_push(reader: Reader, tracking: str, since: str | None) -> bool:
    """Whether the newest moves of a tracking ref, back to ``since``, include a push from here."""
    entries = reader.last_reflog(tracking, _REFLOG_DEPTH)
    for old, new, message in entries:
        if new == since:
            break
        if message.startswith(_PUSH_MESSAGE):
            return True
        if old == since:
            break
    # no log is kept: better one announcement too many than one too few
    return not entries


def _central_moves(heads: Mapping[str, str], memory: Memory) -> tuple[Move, ...]:
    if memory.seen is None:
        return ()
    seen = memory.seen
    moves = [Move(ref, commit, seen.get(ref)) for ref, commit in sorted(heads.items()) if seen.get(ref) != commit]
    gone = [Move(ref, "0" * len(commit), commit) for ref, commit in sorted(memory.seen.items()) if ref not in heads]
    return tuple(moves + gone)


def remember(memory: Memory, seen: Observed) -> bool:
    """Bring the memory up to date with what was observed and announced; returns whether anything changed."""
    now, base = dict(seen.refs), dict(memory.base)
    if seen.upstream is not None and seen.upstream.tracking is not None:
        prefix = _prefix(seen.upstream)
        # the refs of other remotes, which other branches may have for their upstream
        now |= {ref: commit for ref, commit in (memory.seen or {}).items() if not ref.startswith(prefix)}
        if seen.tip and seen.head and not seen.behind:
            base[seen.upstream.tracking] = seen.tip
    elif not seen.bare:
        now = dict(memory.seen or {})
    if (memory.seen, memory.base) == (now, base):
        return False
    memory.seen, memory.base = now, base
    return True
