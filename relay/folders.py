"""A file that one side adds to a folder that the other side renamed goes along: a pure function of the differences.

git does that, too (`merge.directoryRenames`), but not alike in all its versions. Here a folder counts as renamed when
nothing is left in it and most of the files that moved out of it unchanged went to one place.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator

from .accounting import Changes


def added(changes: Changes) -> list[str]:
    """The paths that are new."""
    return [path for path, (before, after) in changes.items() if before is None and after is not None]


def renamed(changes: Changes) -> dict[str, str]:
    """The folders out of which files were moved, and where most of them went; "" is the top. A folder with as many
    files in two places went nowhere."""
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for old, new in _moves(changes):
        for left, reached in _folders(old, new):
            votes[left][reached] += 1
    found = {}
    for folder, places in votes.items():
        (place, most), *others = places.most_common(2)
        if not others or others[0][1] < most:
            found[folder] = place
    return found


def along(paths: Collection[str], moved: dict[str, str], present: Collection[str]) -> dict[str, str]:
    """Where each of the new ``paths`` goes, of those that go anywhere. ``moved`` is what `renamed` found on the other
    side, and ``present`` are the paths that are there."""
    left = {folder for path in present for folder in _above(path)}
    found = {}
    for path in paths:
        for folder in _above(path):
            if folder in moved and folder not in left:
                place = moved[folder]
                found[path] = (place + "/" if place else "") + path[len(folder) + 1 :]
                break
    return found


def _moves(changes: Changes) -> Iterator[tuple[str, str]]:
    """Files that were moved unchanged: old and new path."""
    places: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sorted(added(changes)):
        entry = changes[path][1]
        assert entry is not None
        places[entry].append(path)
    for path in sorted(changes):
        before, after = changes[path]
        if before is None or after is not None or not (free := places[before]):
            continue
        name = path.rpartition("/")[2]
        # of several the one with the same name
        yield path, free.pop(next((n for n, new in enumerate(free) if new.rpartition("/")[2] == name), 0))


def _folders(old: str, new: str) -> Iterator[tuple[str, str]]:
    """The folders that a file has left and reached; those above them, too, as far as their names are the same."""
    left, _, _ = old.rpartition("/")
    reached, _, _ = new.rpartition("/")
    while left and left != reached:
        yield left, reached
        left, _, one = left.rpartition("/")
        reached, _, other = reached.rpartition("/")
        if one != other:
            return


def _above(path: str) -> Iterator[str]:
    """The folders above it, the nearest first."""
    while path:
        path = path.rpartition("/")[0]
        if path:
            yield path
