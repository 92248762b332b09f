"""Merging two commits in the object database: no work tree, no index, nothing to be left half-done.

The merge commit is a function of the two commits alone (order of parents, names in conflicts, author,
dates, message), so machines that merge the same two at once make the same commit and are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autosync.common import rawdiff
from autosync.common.git import NETWORK_LIMIT, Git, GitError, split

from . import attributes, scratch
from .conflict import Conflict, Edit, Message, Resolution, Resolver, Stage, Tree, renamed_paths

# Whatever a person's configuration says of merging: the outcome must not depend on the machine.
_SETTINGS = (
    "merge.renames=true",
    "merge.directoryRenames=true",
    "merge.renameLimit=7000",
    "merge.renormalize=false",
    "merge.default=text",
    "merge.conflictStyle=merge",
    "diff.algorithm=histogram",
    "merge.verbosity=2",
    "i18n.commitEncoding=utf-8",
    "i18n.logOutputEncoding=utf-8",
)
_POINTER = b"160000"
# git takes these off both ends of names and addresses, full stops only before 2.47, and refuses what has nothing else
_CRUD = "".join(map(chr, range(33))) + ".,:;<>\"\\'"
_LAST_SECOND = "99999999999999"
_FIELDS = "%H%x00%ct%x00%cn%x00%ce%x00%(trailers:key=Autosync-Machine,valueonly,separator=%x2C)%x00"


@dataclass(frozen=True, slots=True)
class Merge:
    """A finished merge. ``commit`` is None when there were conflicts and keeping both was not wanted."""

    commit: str | None
    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True, slots=True)
class _Side:
    commit: str
    time: int
    name: str
    email: str
    machine: str


async def merge(git: Git, folder: Path, one: str, other: str, *, keep_both: bool, sign: bool = False) -> Merge:
    """Merge two diverged commits into a merge commit that no ref names yet.

    ``folder`` is for a temporary index. Raises GitError, among others for commits without common history.
    """
    git = git.with_config(*_SETTINGS)
    (newer, older), apart = await asyncio.gather(_sides(git, one, other), _apart(git, one, other))
    async with contextlib.AsyncExitStack() as stack:
        there = git
        elsewhere = any(attributes.is_one(path) for path in apart)
        if not elsewhere:
            # nearly always they are as they were: git merges meanwhile
            outcome, elsewhere = await asyncio.gather(
                _merge_tree(git, newer.commit, older.commit), attributes.changed(git)
            )
        if elsewhere:
            there = await stack.enter_async_context(attributes.laid_out(git, folder, newer.commit))
            outcome = await _merge_tree(there, newer.commit, older.commit)
        if renamed_paths(outcome.messages):
            # git tells where it has put a file of a folder that the other side renamed, and not where it was
            there = there.with_config("merge.directoryRenames=false")
            outcome = await _merge_tree(there, newer.commit, older.commit)
    tree, resolution = outcome.tree, Resolution((), ())
    pointers = {path for path, modes in apart.items() if modes == (_POINTER, _POINTER)}
    if outcome.unmerged and not keep_both:
        found = sorted({stage.path for stage in outcome.unmerged})
        return Merge(None, tuple(Conflict(path, None, "edited on both sides") for path in found))
    if outcome.unmerged or pointers:
        merged = await _entries(git, outcome.tree)
        resolution = await _resolved(git, outcome, pointers, merged, newer.commit, older.commit)
        if resolution.conflicts and not keep_both:
            return Merge(None, resolution.conflicts)
        tree = await _edited(git, folder, outcome.tree, merged, resolution.edits)
    commit = await _commit(git, tree, newer, older, resolution.conflicts, sign)
    return Merge(commit, resolution.conflicts)


@dataclass(frozen=True, slots=True)
class _Outcome:
    tree: str
    unmerged: tuple[Stage, ...]
    messages: tuple[Message, ...]


async def _resolved(
    git: Git, outcome: _Outcome, pointers: set[str], merged: Tree, newer: str, older: str
) -> Resolution:
    ours, theirs = await asyncio.gather(*(_entries(git, tree) for tree in (newer, older)))
    # a blob that neither side has is the result of a merge, which may have markers in it
    known = {oid for _, oid in ours.values()} | {oid for _, oid in theirs.values()}
    by_path = renamed_paths(outcome.messages)
    # git follows a submodule's history where it is checked out and has both commits: not on every machine
    by_path |= pointers
    by_path |= {s.path for s in outcome.unmerged if s.number > 1 and s.oid not in known}
    resolver = Resolver(merged)
    if by_path:
        bases = (await git.call("merge-base", "--all", newer, older)).text.split()
        base = await _entries(git, bases[0]) if len(bases) == 1 else {}
        resolver.by_path(by_path, base, ours, theirs)
    resolver.by_stages([s for s in outcome.unmerged if s.path not in by_path], (newer, older))
    return resolver.resolution()


async def _sides(git: Git, one: str, other: str) -> tuple[_Side, _Side]:
    """The two commits, the newer first; the names decide when they are of the same second."""
    out = await git.call("log", "--no-walk=unsorted", "--no-show-signature", f"--format={_FIELDS}", one, other, "--")
    fields = [field.strip("\n") for field in os.fsdecode(out.stdout).split("\0")]
    rows = [fields[0:5], fields[5:10]]
    sides = [
        _Side(commit, _time(time), name.strip(_CRUD), email.strip(_CRUD), machine)
        for commit, time, name, email, machine in rows
    ]
    newer, older = sorted(sides, key=lambda side: (side.time, side.commit), reverse=True)
    return newer, older


def _time(said: str) -> int:
    """Seconds since the epoch; 0 where a commit has no date, or one that no commit could be given."""
    return int(said) if said.isdecimal() and len(said) <= len(_LAST_SECOND) else 0


async def _apart(git: Git, one: str, other: str) -> dict[str, tuple[bytes, bytes]]:
    """The paths in which two commits differ, with the modes on both sides."""
    rows = rawdiff.parse((await git.call("diff-tree", "-r", "-z", "--raw", "--no-renames", one, other)).stdout)
    return {os.fsdecode(row.path): (row.old_mode, row.new_mode) for row in rows}


async def _merge_tree(git: Git, ours: str, theirs: str) -> _Outcome:
    args = ("merge-tree", "--write-tree", "-z", "--messages", ours, theirs)
    result = await git.call(*args, check=False, limit=NETWORK_LIMIT)
    fields = split(result.stdout)
    # a bad object name gives exit code 1 too, but no tree
    if result.code not in (0, 1) or not fields:
        raise GitError(args, result.code, result.stdout, result.stderr)
    tree, rest = fields[0], fields[1:]
    stages = []
    while rest and rest[0]:
        head, _, path = rest.pop(0).partition("\t")
        mode, oid, number = head.split(" ")
        stages.append(Stage(mode, oid, int(number), path))
    return _Outcome(tree, tuple(stages), tuple(_messages(rest[1:])))


def _messages(fields: list[str]) -> Iterator[Message]:
    """Records of a count, that many paths, the kind, the text."""
    while len(fields) > 2:
        count = int(fields[0].strip("\n"))
        yield Message(fields[count + 1], tuple(fields[1 : count + 1]))
        fields = fields[count + 3 :]


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
    # removals first: a file may have to go before a folder of its name can come
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
        await git.call("update-index", "--replace", "-z", "--index-info", input=lines, env=env)
        return (await git.call("write-tree", env=env)).text


@contextlib.contextmanager
def _temporary_index(folder: Path) -> Iterator[Mapping[str, str]]:
    index = scratch.place(folder, "merge-index")
    try:
        yield {"GIT_INDEX_FILE": str(index)}
    finally:
        index.unlink(missing_ok=True)
        index.with_name(index.name + ".lock").unlink(missing_ok=True)


async def _commit(git: Git, tree: str, newer: _Side, older: _Side, conflicts: tuple[Conflict, ...], sign: bool) -> str:
    env = {}
    for role in ("AUTHOR", "COMMITTER"):
        env[f"GIT_{role}_NAME"] = newer.name or "autosync"
        env[f"GIT_{role}_EMAIL"] = newer.email
        env[f"GIT_{role}_DATE"] = f"@{newer.time} +0000"
    message = message_for(newer.machine, older.machine, newer.commit, older.commit, conflicts)
    # commit-tree pays no heed to commit.gpgSign
    signing = ["-S"] if sign else []
    parents = ["-p", newer.commit, "-p", older.commit]
    data = message.encode(errors="replace")
    result = await git.call("commit-tree", *signing, *parents, "-F", "-", tree, input=data, env=env)
    return result.text


def message_for(newer_machine: str, older_machine: str, newer: str, older: str, conflicts: tuple[Conflict, ...]) -> str:
    """The merge commit's message, made from the two commits (their `Autosync-Machine` trailers) and the conflicts."""
    names = [newer_machine.split(",")[0] or newer[:7], older_machine.split(",")[0] or older[:7]]
    if names[0] == names[1]:
        names = [newer[:7], older[:7]]
    lines = [f"Merge {names[0]} and {names[1]}"]
    if conflicts:
        lines.append("")
        for conflict in conflicts[:100]:
            kept = f", the other version is {_shown(conflict.copy)}" if conflict.copy else ""
            lines.append(f"{_shown(conflict.path)}: {conflict.what}{kept}")
        if len(conflicts) > 100:
            lines.append(f"and {len(conflicts) - 100} more")
    return "\n".join(lines) + "\n"


def _shown(path: str) -> str:
    """A path on one line, whatever bytes it has."""
    if path.isprintable():
        return path
    return os.fsencode(path).decode(errors="replace").encode("unicode_escape").decode()
