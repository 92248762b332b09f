"""What is said over an ssh connection: JSON objects, one a line (docs/protocol.md).

The client's side asks for branches of repositories, by numbers of its own; the far side says where they are, at once
and whenever they move. Pure rules for both sides: nothing here is believed that is not well-formed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .announcement import is_branch, is_commit

#: Longest line in bytes, its LF included.
LINE_LIMIT = 8192
#: Branches that one connection may ask for.
MOST = 10_000
_PATH_LIMIT = 4096
VERSION = 1


@dataclass(frozen=True, slots=True)
class Watch:
    """Tell of ``ref`` in the repository at ``path`` from now on, under the name ``number``."""

    number: int
    path: str
    ref: str


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Tell of it no longer."""

    number: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""


@dataclass(frozen=True, slots=True)
class Hello:
    """The far side's first line: its host name and version, for people."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Report:
    """Where a branch is now; ``commit`` None: it is not there."""

    number: int
    commit: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A branch cannot be told of; ``reason`` in words."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pong:
    """I am here."""


def parse_request(line: bytes) -> Watch | Unwatch | Ping | None:
    """What a client asks for; None for a line that is to be ignored."""
    match _object(line):
        case {"watch": int(number), "path": str(path), "ref": str(ref)} if _is_number(number):
            return Watch(number, path, ref) if is_branch(ref) and _is_path(path) else None
        case {"unwatch": int(number)} if _is_number(number):
            return Unwatch(number)
        case {"ping": _}:
            return Ping()
    return None


def parse_answer(line: bytes) -> Hello | Report | Refused | Pong | None:
    """What the far side says; None for a line that is to be ignored."""
    match _object(line):
        case {"autosync": int(version), "name": str(name), "version": str(release)} if version == VERSION:
            return Hello(_plain(name), _plain(release))
        case {"watch": int(number), "error": str(reason)} if _is_number(number):
            return Refused(number, _plain(reason))
        case {"watch": int(number), "commit": None} if _is_number(number):
            return Report(number, None)
        case {"watch": int(number), "commit": str(commit)} if _is_number(number) and is_commit(commit):
            return Report(number, commit)
        case {"pong": _}:
            return Pong()
    return None


def write(said: Watch | Unwatch | Ping | Hello | Report | Refused | Pong) -> bytes:
    """The line that says it."""
    fields: dict[str, Any]
    match said:
        case Watch(number, path, ref):
            fields = {"watch": number, "path": path, "ref": ref}
        case Unwatch(number):
            fields = {"unwatch": number}
        case Ping():
            fields = {"ping": True}
        case Hello(name, version):
            fields = {"autosync": VERSION, "name": name, "version": version}
        case Report(number, commit):
            fields = {"watch": number, "commit": commit}
        case Refused(number, reason):
            fields = {"watch": number, "error": reason[:500]}
        case Pong():
            fields = {"pong": True}
    # ASCII: paths that are not UTF-8 travel as escaped surrogates
    return json.dumps(fields).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, Any] | None:
    if len(line) > LINE_LIMIT:
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_number(number: int) -> bool:
    return not isinstance(number, bool) and 0 <= number < 2**31


def _is_path(path: str) -> bool:
    return 0 < len(path) <= _PATH_LIMIT and "\0" not in path


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:64]
