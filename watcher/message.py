"""What a commit says: a summary, what was done to which path, which machine and user.

Pure functions of a list of changes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

#: So many paths are listed in the body.
LISTED = 50
#: Longest name in a summary, in characters.
_NAME_LIMIT = 60

_ACTIONS = {"A": "added", "M": "edited", "D": "deleted", "T": "retyped", "R": "moved"}


class Change(NamedTuple):
    """One changed path: ``status`` is git's letter (A, M, D, T, R), ``old`` where a moved one was."""

    status: str
    path: bytes
    old: bytes | None = None


def summary(changes: Sequence[Change]) -> str:
    """One line: `"notes/todo.md" edited`, or `12 files in papers/: 9 added, 3 edited`."""
    if len(changes) == 1:
        change = changes[0]
        if change.old is not None:
            return f'"{_short(change.old)}" moved to "{_short(change.path)}"'
        return f'"{_short(change.path)}" {_ACTIONS.get(change.status, "changed")}'
    counted = Counter(_ACTIONS.get(change.status, "changed") for change in changes)
    folder = _common_folder([p for c in changes for p in ((c.path, c.old) if c.old is not None else (c.path,))])
    where = f" in {_short(folder)}" if folder else ""
    if len(counted) == 1:
        return f"{len(changes)} files{where} {next(iter(counted))}"
    parts = [f"{counted[action]} {action}" for action in dict.fromkeys(_ACTIONS.values()) if counted[action]]
    if counted["changed"]:
        parts.append(f"{counted['changed']} changed")
    return f"{len(changes)} files{where}: {', '.join(parts)}"


def compose(template: str, changes: Sequence[Change], machine: str, user: str, context: str = "") -> str:
    """The whole message. ``template`` may use `{summary}`, `{machine}`, `{user}` and `{count}`."""
    values = {"summary": summary(changes), "machine": machine, "user": user, "count": str(len(changes))}
    # in one go: a file may be called `{machine}`
    head = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)
    listed = [f"{_ACTIONS.get(c.status, 'changed')} {_place(c)}" for c in changes[:LISTED]]
    if len(changes) > LISTED:
        listed.append(f"and {len(changes) - LISTED} more")
    trailers = f"Autosync-Machine: {_one_line(machine)}\nAutosync-User: {_one_line(user)}"
    return "\n\n".join(filter(None, (head.strip(), context.strip(), "\n".join(listed), trailers))) + "\n"


def escaped(path: bytes) -> str:
    """A path as printable text: what is not UTF-8 or a control character is written as an escape."""
    text = path.decode("utf-8", errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _place(change: Change) -> str:
    if change.old is not None:
        return f"{escaped(change.old)} to {escaped(change.path)}"
    return escaped(change.path)


def _short(path: bytes) -> str:
    text = escaped(path)
    if len(text) <= _NAME_LIMIT:
        return text
    return "..." + text[-(_NAME_LIMIT - 3) :]


def _one_line(text: str) -> str:
    return " ".join(text.encode("utf-8", errors="backslashreplace").decode().split())


def _common_folder(paths: Sequence[bytes]) -> bytes:
    """The deepest folder that holds all paths, with a trailing slash; empty for the root."""
    first, last = min(paths), max(paths)
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[: first.rfind(b"/", 0, length) + 1]
