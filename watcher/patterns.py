"""Patterns as in .gitignore (gitignore(5)), matched in-process.

git's own rules are asked of git's engines; this is for the patterns that only the watcher knows:
`exclude`, the built-in leavings of editors, and what is held back by name. Paths are bytes, relative to the
work tree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

_SLASH = ord("/")


@dataclass(frozen=True, slots=True)
class _Pattern:
    regex: re.Pattern[bytes]
    negated: bool
    folder_only: bool
    anchored: bool


class Patterns:
    """A list of patterns; the last one that matches decides."""

    def __init__(self, lines: Iterable[str]) -> None:
        parsed = [pattern for line in lines if (pattern := _parse(os.fsencode(line))) is not None]
        self._all = parsed
        self._last: tuple[bytes, bool] = b"", False
        self._simple: re.Pattern[bytes] | None = None
        if parsed and not any(p.negated or p.anchored or p.folder_only for p in parsed):
            self._simple = re.compile(b"|".join(p.regex.pattern for p in parsed), re.DOTALL)

    def __bool__(self) -> bool:
        return bool(self._all)

    def match(self, path: bytes, folder: bool = False) -> bool:
        """Whether the patterns match the path, or one of the folders it is in."""
        if not self._all:
            return False
        end = path.rfind(b"/")
        return (end > 0 and self._match_folder(path[:end])) or self.match_entry(path, folder)

    def _match_folder(self, path: bytes) -> bool:
        known, answer = self._last  # paths come by folders
        if known != path:
            ends = (place for place, byte in enumerate(path + b"/") if byte == _SLASH)
            answer = any(self.match_entry(path[:end], True) for end in ends)
            self._last = path, answer
        return answer

    def match_entry(self, path: bytes, folder: bool) -> bool:
        """The same for a path whose folders are known not to match."""
        name = path[path.rfind(b"/") + 1 :]
        if self._simple is not None:
            return self._simple.fullmatch(name) is not None
        for pattern in reversed(self._all):
            if (folder or not pattern.folder_only) and pattern.regex.fullmatch(path if pattern.anchored else name):
                return not pattern.negated
        return False


def _parse(line: bytes) -> _Pattern | None:
    text = line.rstrip(b"\r\n")
    while text.endswith(b" ") and not _escaped(text):
        text = text[:-1]
    if not text or text.startswith(b"#"):
        return None
    negated = text.startswith(b"!")
    if negated:
        text = text[1:]
    folder_only = text.endswith(b"/")
    text = text.removesuffix(b"/")
    anchored = b"/" in text
    text = text.removeprefix(b"/")
    if not text:
        return None
    regex = _regex(text)
    if regex is None:
        return None
    return _Pattern(re.compile(regex, re.DOTALL), negated, folder_only, anchored)


def _escaped(text: bytes) -> bool:
    """Whether the last character has an odd number of backslashes before it."""
    body = text[:-1]
    return (len(body) - len(body.rstrip(b"\\"))) % 2 == 1


def _regex(glob: bytes) -> bytes | None:
    """A regular expression for git's wildmatch with WM_PATHNAME; None for a glob that matches nothing.

    What follows a star is looked for at its first place only (atomic groups): whatever lies between is the next
    star's. With every place tried in turn, a pattern of a few stars would take a name of 200 characters for hours.
    """
    # by what `**/` parts, then by what `*` parts
    parts: list[list[bytearray]] = [[bytearray()]]
    position = 0
    while position < len(glob):
        character = glob[position : position + 1]
        if character == b"*":
            end = position
            while glob[end : end + 1] == b"*":
                end += 1
            before = position == 0 or glob[position - 1 : position] == b"/"
            if end - position >= 2 and before and glob[end : end + 1] == b"/":
                parts.append([bytearray()])
                end += 1
            elif end - position >= 2 and before and end == len(glob):
                parts[-1][-1] += b".*" if position == 0 else b".+"
            else:
                parts[-1].append(bytearray())
            position = end
        elif character == b"?":
            parts[-1][-1] += b"[^/]"
            position += 1
        elif character == b"[":
            found = _bracket(glob, position)
            if found is None:
                return None
            expression, position = found
            parts[-1][-1] += expression
        elif character == b"\\":
            if position + 1 == len(glob):
                return None
            parts[-1][-1] += re.escape(glob[position + 1 : position + 2])
            position += 2
        else:
            parts[-1][-1] += re.escape(character)
            position += 1
    result = b""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        expression = bytes(part[0])
        for place, segment in enumerate(part[1:], 2):
            at_end = last and place == len(part)
            expression += b"[^/]*" + segment if at_end else b"(?>[^/]*?" + segment + b")"
        if number == 0:
            result += expression
        else:
            result += b"(?:.*/)?" + expression if last else b"(?>(?:[^/]*/)*?" + expression + b")"
    return result


_CLASSES = {
    b"alpha": b"A-Za-z",
    b"digit": b"0-9",
    b"alnum": b"A-Za-z0-9",
    b"upper": b"A-Z",
    b"lower": b"a-z",
    b"space": rb" \t\n\r\f\v",
    b"blank": rb" \t",
    b"xdigit": b"0-9A-Fa-f",
    b"punct": rb"!-/:-@\[-`{-~",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"graph": b"!-~",
    b"print": b" -~",
}


def _bracket(glob: bytes, start: int) -> tuple[bytes, int] | None:
    """The expression for the bracket at ``start`` and where it ends."""
    position = start + 1
    negated = glob[position : position + 1] in (b"!", b"^")
    if negated:
        position += 1
    members = bytearray()
    first = True
    while first or glob[position : position + 1] != b"]":
        first = False
        if position >= len(glob):
            return None
        if glob[position : position + 2] == b"[:":
            end = glob.find(b":]", position)
            name = glob[position + 2 : end] if end > 0 else b""
            if name in _CLASSES:
                members += _CLASSES[name]
                position = end + 2
                continue
            if end > 0:
                return None
        low, position = _member(glob, position)
        if low is None:
            return None
        following = glob[position + 1 : position + 2]
        if glob[position : position + 1] == b"-" and following and following != b"]":
            high, position = _member(glob, position + 1)
            if high is None:
                return None
            # wildmatch takes the lower end by itself before it looks at the range
            members += re.escape(low) + (b"-" + re.escape(high) if low <= high else b"")
        else:
            members += re.escape(low)
    if negated:
        return b"[^/" + bytes(members) + b"]", position + 1
    if not members:
        return b"(?!)", position + 1
    return b"(?!/)[" + bytes(members) + b"]", position + 1


def _member(glob: bytes, position: int) -> tuple[bytes | None, int]:
    if glob[position : position + 1] == b"\\":
        position += 1
    member = glob[position : position + 1]
    return member or None, position + 1
