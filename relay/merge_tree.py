"""git's own merge of two commits in the object database, and what it says of it (git-merge-tree(1))."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from autosync.common.git import NETWORK_LIMIT, Git, GitError, split

from . import attributes
from .conflict import Message, Stage

#: Whatever a person's configuration says of merging: the outcome must not depend on the machine. git's versions do not
#: agree on renamed folders (see `folders`).
SETTINGS = (
    "merge.renames=true",
    "merge.directoryRenames=false",
    "merge.renameLimit=7000",
    "merge.renormalize=false",
    "merge.default=text",
    "merge.conflictStyle=merge",
    "diff.algorithm=histogram",
    "merge.verbosity=2",
    "i18n.commitEncoding=utf-8",
    "i18n.logOutputEncoding=utf-8",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What git made: a tree, the entries of the paths that it could not merge, and its messages."""

    tree: str
    unmerged: tuple[Stage, ...]
    messages: tuple[Message, ...]


async def merged(git: Git, folder: Path, newer: str, older: str, apart: Collection[str]) -> Outcome:
    """Merge two commits, which differ in the paths ``apart``, with the attributes of the newer one. ``folder`` is for
    these. Raises GitError, OSError."""
    if not any(attributes.is_one(path) for path in apart):
        # nearly always they are as they were: git merges meanwhile
        outcome, elsewhere = await asyncio.gather(_merge_tree(git, newer, older), attributes.changed(git))
        if not elsewhere:
            return outcome
    async with attributes.laid_out(git, folder, newer) as there:
        return await _merge_tree(there, newer, older)


async def _merge_tree(git: Git, ours: str, theirs: str) -> Outcome:
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
    return Outcome(tree, tuple(stages), tuple(_messages(rest[1:])))


def _messages(fields: list[str]) -> Iterator[Message]:
    """Records of a count, that many paths, the kind, the text."""
    while len(fields) > 2:
        count = int(fields[0].strip("\n"))
        yield Message(fields[count + 1], tuple(fields[1 : count + 1]))
        fields = fields[count + 3 :]
