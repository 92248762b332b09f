"""Merging two commits in the object database: no work tree, no index, nothing to be left half-done.

The merge commit is a function of the two commits alone (order of parents, names in conflicts, author,
dates, message), so machines that merge the same two at once make the same commit and are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autosync.common.git import Git, split
from autosync.common.reader import Reader

from . import accounting, folders, merge_commit, merge_tree, scratch
from .accounting import Changes, Entry, Side
from .conflict import Conflict, Edit, Resolution, Resolver, Tree, renamed_paths
from .merge_tree import Outcome

_POINTER = "160000"
_ABSENT = b"000000"


@dataclass(frozen=True, slots=True)
class Merge:
    """A finished merge. ``commit`` is None when there were conflicts and keeping both was not wanted."""

    commit: str | None
    conflicts: tuple[Conflict, ...]


async def merge(
    git: Git, reader: Reader, folder: Path, one: str, other: str, *, keep_both: bool, sign: bool = False
) -> Merge:
    """Merge two diverged commits into a merge commit that no ref names yet.

    ``reader`` reads the same repository, and ``folder`` is for a temporary index. Raises GitError, among others for
    commits without common history, Unreadable, OSError.
    """
    git = git.with_config(*merge_tree.SETTINGS)
    heads, apart = await asyncio.gather(merge_commit.heads(git, one, other), _changes(reader, one, other))
    commits = heads[0].commit, heads[1].commit
    outcome, (bases, by_base) = await asyncio.gather(
        merge_tree.merged(git, folder, *commits, apart), _since_bases(git, reader, commits)
    )
    if outcome.unmerged and not keep_both:
        found = sorted({stage.path for stage in outcome.unmerged})
        return Merge(None, tuple(Conflict(path, None, "edited on both sides") for path in found))
    differs = await asyncio.gather(*(_changes(reader, commit, outcome.tree) for commit in commits))
    sides = Side(by_base[0], differs[0]), Side(by_base[1], differs[1])
    pointers = {path for path, (was, now) in apart.items() if was and now and was[0] == now[0] == _POINTER}
    tree, resolution = outcome.tree, Resolution((), ())
    if outcome.unmerged or pointers or accounting.dropped(*sides) or _may_go_along(bases, sides):
        merged = await _entries(git, outcome.tree)
        resolution = _resolved(outcome, pointers, merged, len(bases) == 1, sides, commits)
        if resolution.conflicts and not keep_both:
            return Merge(None, resolution.conflicts)
        tree = await _edited(git, folder, outcome.tree, merged, resolution.edits)
    commit = await merge_commit.write(git, tree, *heads, resolution.conflicts, sign)
    return Merge(commit, resolution.conflicts)


class _Before(Mapping[str, Entry]):
    """A tree, by another one and how that differs from it: to list each of four large ones would take long."""

    def __init__(self, tree: Tree, changes: Changes) -> None:
        self._tree = tree
        self._changes = changes

    def __getitem__(self, path: str) -> Entry:
        found = self._changes[path][0] if path in self._changes else self._tree.get(path)
        if found is None:
            raise KeyError(path)
        return found

    def __iter__(self) -> Iterator[str]:
        yield from (path for path in self._tree if path not in self._changes)
        yield from (path for path, (before, _) in self._changes.items() if before is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _resolved(
    outcome: Outcome,
    pointers: set[str],
    merged: Tree,
    one_base: bool,
    sides: tuple[Side, Side],
    commits: tuple[str, str],
) -> Resolution:
    """A pure function: ``merged`` is git's tree, ``sides`` are those of the ``commits``, the newer first, and there is
    one merge base or several."""
    newer, older = (_Before(merged, side.differs) for side in sides)
    base: Tree = _Before(newer, sides[0].by_base[0]) if one_base else {}
    # a blob that neither side has is the result of a merge, which may have markers in it
    changes = [*sides[0].by_base, *sides[1].by_base]
    known = {entry[1] for change in changes for both in change.values() for entry in both if entry is not None}
    by_path = renamed_paths(outcome.messages)
    # git follows a submodule's history where it is checked out and has both commits: not on every machine
    by_path |= pointers
    by_path |= {s.path for s in outcome.unmerged if s.number > 1 and s.oid not in known}
    while True:
        resolver = Resolver(merged)
        resolver.by_path(by_path, base, newer, older)
        resolver.by_stages([s for s in outcome.unmerged if s.path not in by_path], commits)
        now = [
            Side(side.by_base, _after(side.differs, resolver.resolution(), tree))
            for side, tree in zip(sides, (newer, older), strict=True)
        ]
        more = accounting.dropped(*now) - by_path
        if not more:
            break
        by_path |= more
    if one_base:
        edited = {edit.path for edit in resolver.resolution().edits}
        for path, goal in _going_along(sides, (newer, older)).items():
            if path not in edited and path in merged:
                resolver.move(path, goal, merged[path])
    return resolver.resolution()


def _after(differs: Changes, resolution: Resolution, tree: Tree) -> Changes:
    """How the tree that conflicts are resolved in differs from the side ``tree``."""
    found = {**differs}
    for edit in resolution.edits:
        found[edit.path] = tree.get(edit.path), edit.entry
    return {path: change for path, change in found.items() if change[0] != change[1]}


def _may_go_along(bases: list[str], sides: tuple[Side, Side]) -> bool:
    return len(bases) == 1 and bool(_going_along(sides, ((), ())))


def _going_along(sides: tuple[Side, Side], present: tuple[Collection[str], Collection[str]]) -> dict[str, str]:
    """The files that follow a folder of the other side, with where to; ``present`` are each side's paths."""
    found: dict[str, str] = {}
    for here, there in ((0, 1), (1, 0)):
        new = folders.added(sides[here].brought)
        if new and (moved := folders.renamed(sides[there].brought)):
            found |= folders.along(new, moved, present[there])
    return found


async def _since_bases(git: Git, reader: Reader, commits: tuple[str, str]) -> tuple[list[str], list[list[Changes]]]:
    """The merge bases, and how each of the two differs from each."""
    bases = (await git.call("merge-base", "--all", *commits)).text.split()
    changes = await asyncio.gather(*(_changes(reader, base, commit) for commit in commits for base in bases))
    return bases, [changes[: len(bases)], changes[len(bases) :]]


async def _changes(reader: Reader, one: str, other: str) -> Changes:
    """How two trees differ."""
    rows = await asyncio.to_thread(reader.compare, one, other)
    return {os.fsdecode(row.path): (_entry(row.old_mode, row.old), _entry(row.new_mode, row.new)) for row in rows}


def _entry(mode: bytes, oid: bytes) -> Entry | None:
    return None if mode == _ABSENT else (mode.decode(), oid.decode())


async def _entries(git: Git, tree: str) -> Tree:
    out = await git.call("ls-tree", "-r", "-z", "--full-tree", tree)
    entries = {}
    for row in split(out.stdout):
        head, _, path = row.partition("\t")
        mode, _, oid = head.split(" ")
        entries[path] = (mode, oid)
    return entries


async def _edited(git: Git, folder: Path, tree: str, merged: Tree, edits: tuple[Edit, ...]) -> str:
    """The tree ``tree``, whose entries are ``merged``, with ``edits``."""
    # removals first: a file may have to go before a folder of its name can come. Without --replace: git would take
    # files away for that by itself.
    ordered = sorted(edits, key=lambda edit: edit.entry is not None)
    zero = "0" * len(tree)
    if any(oid == zero for _, oid in merged.values()):
        # where a conflict of renames meets a folder in the way, git's tree may have an entry that names nothing
        ordered[:0] = [Edit(path, entry) for path, entry in merged.items() if entry[1] != zero]
        tree = "--empty"
    lines = b"".join(
        f"{edit.entry[0] if edit.entry else 0} {edit.entry[1] if edit.entry else zero}\t".encode()
        + os.fsencode(edit.path)
        + b"\0"
        for edit in ordered
    )
    with _temporary_index(folder) as env:
        await git.call("read-tree", tree, env=env)
        await git.call("update-index", "-z", "--index-info", input=lines, env=env)
        return (await git.call("write-tree", env=env)).text


@contextlib.contextmanager
def _temporary_index(folder: Path) -> Iterator[Mapping[str, str]]:
    index = scratch.place(folder, "merge-index")
    try:
        yield {"GIT_INDEX_FILE": str(index)}
    finally:
        index.unlink(missing_ok=True)
        index.with_name(index.name + ".lock").unlink(missing_ok=True)
