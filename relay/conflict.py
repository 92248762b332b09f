"""How a conflict resolves: a pure function of what `git merge-tree` found.

Both versions are kept. One keeps the name; the other becomes `name.conflict-<7 hex of its blob>.ext`.
Which is which depends on the two merged commits alone, so every machine makes the same tree.
Delete against edit keeps the edit. The copy of a copy takes the place beside the original name.

Where renames conflict, git mixes contents across names. Those paths are merged again here, name by name and
without renames, so that each side's own version stays under the name that side gave it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

# The kinds of conflict whose stages hold nothing but the two sides' own blobs. After a rename conflict git
# may put the result of a merge, with markers in it, into a stage.
_PLAIN = frozenset(
    {
        "CONFLICT (contents)",
        "CONFLICT (binary)",
        "CONFLICT (add/add)",
        "CONFLICT (modify/delete)",
        "CONFLICT (file/directory)",
        "CONFLICT (distinct modes)",
        "CONFLICT (submodule)",
    }
)

_COPY = re.compile(r"\.conflict-[0-9a-f]{7,64}(?=\.[^.]*$|$)")
_NAME_LIMIT = 255  # bytes, NAME_MAX of Linux file systems
_SUBMODULE = "160000"
_AGAINST = "a file against a folder or a link"


@dataclass(frozen=True, slots=True)
class Stage:
    """One unmerged entry: ``number`` 1 is the base, 2 the first commit's version, 3 the second's."""

    mode: str
    oid: str
    number: int
    path: str

    @property
    def entry(self) -> tuple[str, str]:
        """(mode, oid)"""
        return self.mode, self.oid


@dataclass(frozen=True, slots=True)
class Message:
    """What git says of some paths; ``kind`` is its short form, like `CONFLICT (contents)`."""

    kind: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to the merged tree: ``entry`` is (mode, oid) to put at ``path``, None to remove it."""

    path: str
    entry: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """One resolved conflict, for people. ``copy`` is the name of the other version, None when there is only one."""

    path: str
    copy: str | None
    what: str


@dataclass(frozen=True, slots=True)
class Resolution:
    edits: tuple[Edit, ...]
    conflicts: tuple[Conflict, ...]


def copy_name(path: str, oid: str, free: Callable[[str], bool] = lambda name: True) -> str:
    """Where the other version of ``path`` goes. ``free`` says whether it can have a name, which is made longer until it
    can."""
    folder, slash, name = path.rpartition("/")
    name = _COPY.sub("", name, count=1)
    dot = name.rfind(".")
    stem, extension = (name[:dot], name[dot:]) if dot > 0 else (name, "")
    for digits in range(7, len(oid) + 1):
        mark = f".conflict-{oid[:digits]}"
        candidate = folder + slash + _shortened(stem, mark + extension) + mark + extension
        if free(candidate):
            return candidate
    raise AssertionError("two different blobs have the same name")


def original(path: str) -> str | None:
    """The path whose other version ``path`` is, by its name; None when it is no copy."""
    folder, slash, name = path.rpartition("/")
    found, number = _COPY.subn("", name, count=1)
    return folder + slash + found if number and found else None


def _shortened(stem: str, rest: str) -> str:
    while stem and len((stem + rest).encode(errors="surrogateescape")) > _NAME_LIMIT:
        stem = stem[:-1]
    return stem


#: A tree, as a map from path to (mode, oid).
Tree = Mapping[str, tuple[str, str]]


def renamed_paths(messages: Sequence[Message]) -> set[str]:
    """The paths in rename conflicts, old names and new ones."""
    return {
        path
        for message in messages
        if message.kind.startswith("CONFLICT") and message.kind not in _PLAIN
        for path in message.paths
    }


class Resolver:
    """Collects the edits that turn git's merged tree into one without conflicts.

    ``merged`` is git's tree, ``winner`` the stage (2 or 3) that keeps its names.
    """

    def __init__(self, merged: Tree, winner: int = 2) -> None:
        self._taken = {**merged}
        self._names = sorted(merged)
        self._winner = winner
        self._edits: dict[str, tuple[str, str] | None] = {}
        self._conflicts: list[Conflict] = []

    def resolution(self) -> Resolution:
        """All edits and conflicts so far."""
        edits = tuple(Edit(path, entry) for path, entry in self._edits.items())
        return Resolution(edits, tuple(self._conflicts))

    def by_stages(self, stages: Sequence[Stage], labels: tuple[str, str]) -> None:
        """Resolve unmerged paths from their stages.

        ``labels`` are the names under which git was given the two commits: a file that gives way to a folder
        is moved to `path~label`.
        """
        by_path: dict[str, dict[int, Stage]] = {}
        for stage in stages:
            by_path.setdefault(stage.path, {})[stage.number] = stage
        moved = {_moved_from(path, labels) for path in by_path}
        # the moved-aside ones last, so that a name they may take back is known to be free
        for path in sorted(by_path, key=lambda p: (_moved_from(p, labels) is not None, p)):
            found = by_path[path]
            ours, theirs = found.get(self._winner), found.get(5 - self._winner)
            original = _moved_from(path, labels)
            if original is not None:
                self._put(path, None)
                version = ours or theirs
                if version is not None:
                    self._beside(original, version.entry)
            elif path in moved:
                # the other side's version has been moved aside, and is told of there
                kept = ours or theirs
                self._put(path, None)
                if kept is not None:
                    self._place(path, kept.entry)
            else:
                self._both(path, ours.entry if ours else None, theirs.entry if theirs else None)

    def by_path(self, paths: Collection[str], base: Tree, winner: Tree, loser: Tree) -> None:
        """Merge ``paths`` name by name, from the three trees, whatever git made of them."""
        for path in sorted(paths):
            self._put(path, None)
        for path in sorted(paths):
            ours, theirs, old = winner.get(path), loser.get(path), base.get(path)
            if ours == old:
                ours = theirs
            elif theirs == old:
                theirs = ours
            if ours == theirs:
                if ours is not None:
                    self._beside(path, ours)
            else:
                self._both(path, ours, theirs)

    def move(self, path: str, goal: str, entry: tuple[str, str]) -> None:
        """Move a file, unless something is in the way."""
        if goal not in self._taken and not self._is_folder(goal) and not self._files_above(goal):
            self._put(path, None)
            self._put(goal, entry)

    def _both(self, path: str, ours: tuple[str, str] | None, theirs: tuple[str, str] | None) -> None:
        self._put(path, None)
        if ours is None or theirs is None:
            kept = ours or theirs
            if kept is not None:
                self._place(path, kept)
                what = "deleted or renamed on one side, edited on the other: the edit is kept"
                self._conflicts.append(Conflict(path, None, what))
        elif ours[1] == theirs[1]:
            self._place(path, max(ours, theirs))
        elif theirs[0] == _SUBMODULE:
            self._place(path, ours)
            what = f"commits of a submodule; the other side's is {theirs[1]}"
            self._conflicts.append(Conflict(path, None, what))
        else:
            self._place(path, ours)
            self._copy(path, theirs, "edited on both sides")

    def _beside(self, path: str, entry: tuple[str, str]) -> None:
        """Put at ``path`` if that is free, else under a copy's name."""
        if path in self._taken:
            self._copy(path, entry, _AGAINST)
        else:
            self._place(path, entry)

    def _place(self, path: str, entry: tuple[str, str]) -> None:
        """Put a file where no other is. Of a file and a folder with one name the folder keeps it."""
        for above in self._files_above(path):
            moved = self._taken[above]
            self._put(above, None)
            self._copy(above, moved, _AGAINST)
        if self._is_folder(path):
            self._copy(path, entry, _AGAINST)
        else:
            self._put(path, entry)

    def _copy(self, path: str, entry: tuple[str, str], what: str) -> None:
        def free(name: str) -> bool:
            return self._taken.get(name, entry)[1] == entry[1] and not self._is_folder(name)

        copy = copy_name(path, entry[1], free)
        self._put(copy, entry)
        self._conflicts.append(Conflict(path, copy, what))

    def _files_above(self, path: str) -> list[str]:
        """The files that stand where one of its folders would have to be."""
        parts = path.split("/")
        return [above for n in range(1, len(parts)) if (above := "/".join(parts[:n])) in self._taken]

    def _is_folder(self, path: str) -> bool:
        prefix = path + "/"
        place = bisect_left(self._names, prefix)
        return place < len(self._names) and self._names[place].startswith(prefix)

    def _put(self, path: str, entry: tuple[str, str] | None) -> None:
        self._edits[path] = entry
        if entry is not None:
            if path not in self._taken:
                insort(self._names, path)
            self._taken[path] = entry
        elif self._taken.pop(path, None) is not None:
            del self._names[bisect_left(self._names, path)]


def _moved_from(path: str, labels: Collection[str]) -> str | None:
    """The name a moved-aside file had. git appends `~label`, and `_<n>` when that is taken."""
    head, tilde, tail = path.rpartition("~")
    if tilde and any(re.fullmatch(re.escape(label) + r"(_\d+)?", tail) for label in labels):
        return head
    return None
