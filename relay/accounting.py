"""Whether a merge has everything that both sides brought: a pure function of how the trees differ.

git follows renames, and where one side moved a file that the other has copied to the same place and edited, it takes
one of the two contents there and drops the other without a word (git 2.39 and 2.55 do). So every content that a side
brought has to be found: where the side has it, somewhere else, or in a file that git made of both. What is not found
is for a merge by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: (mode, oid) of a path, None where it is not.
Entry = tuple[str, str]
#: How two trees differ: path -> what it was, and what it is.
Changes = Mapping[str, tuple[Entry | None, Entry | None]]


@dataclass(frozen=True, slots=True)
class Side:
    """One of two commits that are merged. ``by_base``: how it differs from each merge base; ``differs``: how the merged
    tree differs from it."""

    by_base: Sequence[Changes]
    differs: Changes

    @property
    def brought(self) -> Changes:
        """What it has that none of its merge bases has (and how that differs from the first of them)."""
        first, *others = self.by_base
        return {path: change for path, change in first.items() if all(path in other for other in others)}

    @property
    def moved(self) -> set[str]:
        """The contents that it has elsewhere, or no more."""
        return {before[1] for changes in self.by_base for before, _ in changes.values() if before is not None}


def dropped(one: Side, other: Side) -> set[str]:
    """The paths that are to be merged by name, since something of theirs is nowhere in the merged tree."""
    return _dropped(one, other) | _dropped(other, one)


def _dropped(side: Side, other: Side) -> set[str]:
    # contents at places where the side itself has something else
    elsewhere = Counter(after[1] for _, after in side.differs.values() if after is not None)
    # what it only moved is the other side's to change
    brought, theirs, moved = side.brought, other.brought, side.moved
    missing = set()
    for path, (_, entry) in brought.items():
        if entry is None or entry[1] in moved or path not in side.differs:
            continue
        merged = side.differs[path][1]
        if merged is not None and (entry[1] == merged[1] or _has(theirs, path)):
            continue  # the mode alone, or both changed this file and git, or a driver, merged it
        if elsewhere[entry[1]]:
            elsewhere[entry[1]] -= 1
        else:
            missing.add(path)
    # each content that is neither side's own, at a place that only one of them has, was made of one renamed file
    own = {entry[1] for changes in (brought, theirs) for one in changes.values() for entry in one if entry}
    made = {
        path
        for path, (before, after) in side.differs.items()
        if after is not None
        and after[1] not in own
        and path in other.differs
        and (before is None or other.differs[path][0] is None)
    }
    return missing | made if len(missing) > len(made) else set()


def _has(changes: Changes, path: str) -> bool:
    return changes.get(path, (None, None))[1] is not None
