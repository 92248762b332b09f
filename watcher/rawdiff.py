"""git's raw diff format (`--raw -z --no-renames`, git-diff-tree(1)) as rows."""

from __future__ import annotations

from typing import NamedTuple

from .message import Change


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


def changes(rows: list[Row]) -> list[Change]:
    """The rows as a person sees them: what is gone here and new there with the same content has moved."""
    homeless = {row.old: row.path for row in rows if row.status == b"D"}
    found, moved = [], set()
    for row in rows:
        if row.status == b"A" and (origin := homeless.pop(row.new, None)) is not None:
            found.append(Change("R", row.path, origin))
            moved.add(origin)
        elif row.status != b"D":
            found.append(Change(row.status.decode(), row.path))
    return found + [Change("D", row.path) for row in rows if row.status == b"D" and row.path not in moved]


def lost(rows: list[Row]) -> int:
    """How many files are gone whose content did not arrive anywhere else."""
    arrived = {row.new for row in rows if row.status != b"D"}
    return sum(row.status == b"D" and row.old not in arrived for row in rows)


def index_info(rows: list[Row]) -> bytes:
    """Input for `update-index -z --index-info` that brings an index to the new side."""
    lines = (
        (b"0 " + b"0" * len(row.new) if row.status == b"D" else row.new_mode + b" " + row.new)
        + b"\t"
        + row.path
        + b"\0"
        for row in rows
    )
    return b"".join(lines)
