"""How two trees differ, as rows: from git's raw diff format (`--raw -z --no-renames`, git-diff-tree(1)), or by
comparing the tree objects themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

# A tree object (gitformat in git's Documentation, "tree"): mode, name and binary object name of each entry. sha1 only.
_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)
_Read = Callable[[str], bytes]
_ABSENT = b"000000"
_NOTHING = b"0" * 40
_FOLDER = b"40000"


class Row(NamedTuple):
    """One difference: git's status letter, path, and mode and object on both sides (as git writes them)."""

    status: bytes
    path: bytes
    old_mode: bytes
    new_mode: bytes
    old: bytes
    new: bytes


def parse(data: bytes) -> list[Row]:
    """The rows of a raw diff."""
    fields = data.split(b"\0")[:-1]
    rows = []
    for meta, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old, new, status = meta[1:].split(b" ")
        rows.append(Row(status[:1], path, old_mode, new_mode, old, new))
    return rows


def compare(read: _Read, before: str, after: str) -> list[Row]:
    """The rows between two trees, in git's order. ``read`` gives the content of a tree object by its name, and its
    exceptions are passed on.

    Only folders that differ are read: the cost is that of the changed folders' entries, whatever the size of the whole.
    """
    rows: list[Row] = []
    # not by recursion: folders may be nested deeper than Python's stack is
    waiting: list[Row | tuple[bytes, str | None, str | None]] = [(b"", before, after)]
    while waiting:
        next_one = waiting.pop()
        if isinstance(next_one, Row):
            rows.append(next_one)
        else:
            waiting += reversed(_level(read, *next_one))
    return rows


def _level(
    read: _Read, below: bytes, before: str | None, after: str | None
) -> list[Row | tuple[bytes, str | None, str | None]]:
    """What differs in one folder: rows, and folders below it with the tree on each side."""
    if before == after:
        return []
    old = set(_ENTRY.findall(read(before))) if before else set()
    new = set(_ENTRY.findall(read(after))) if after else set()
    # a name can be a file on one side and a folder on the other: these are two entries
    sides: dict[tuple[bytes, bool], list[tuple[bytes, str] | None]] = {}
    for side, entries in ((0, old - new), (1, new - old)):
        for mode, name, oid in entries:
            folder = mode == _FOLDER
            sides.setdefault((name + b"/" if folder else name, folder), [None, None])[side] = mode, oid.hex()
    found: list[Row | tuple[bytes, str | None, str | None]] = []
    for (name, folder), (one, other) in sorted(sides.items()):
        if folder:
            found.append((below + name, one[1] if one else None, other[1] if other else None))
        elif (row := _row(below + name, one, other)) is not None:
            found.append(row)
    return found


def _row(path: bytes, one: tuple[bytes, str] | None, other: tuple[bytes, str] | None) -> Row | None:
    old_mode, old = (_canonical(one[0]), one[1].encode()) if one else (_ABSENT, _NOTHING)
    new_mode, new = (_canonical(other[0]), other[1].encode()) if other else (_ABSENT, _NOTHING)
    if (old_mode, old) == (new_mode, new):
        return None
    if one is None or other is None:
        status = b"A" if one is None else b"D"
    else:
        status = b"M" if old_mode[:3] == new_mode[:3] else b"T"
    return Row(status, path, old_mode, new_mode, old, new)


def _canonical(mode: bytes) -> bytes:
    """Old trees have more kinds of file modes than git tells apart (canon_mode in git's cache.h)."""
    if not mode.startswith(b"100"):
        return mode
    return b"100755" if int(mode, 8) & 0o100 else b"100644"
