"""What the differences between two trees mean to a person, and to an index."""

from __future__ import annotations

from autosync.common.rawdiff import Row

from .message import Change


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
