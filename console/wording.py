"""Numbers, times and paths as people write them. Pure functions."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

from autosync.common.folding import columns
from autosync.common.shell import typed

#: What people are told to type.
_SUBCOMMAND = re.compile(
    r"\bautosync (?=(?:describe|disable|doctor|enable|explain|import|init|invite|log|pause|peers|restore|resume|status"
    r"|sync|undo)\b)"
)


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 file`, `3 files`, `12,345 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """Bytes as `512 bytes`, `4.2 kB`, `50 MB`."""
    if number < 1000:
        return count(number, "byte")
    power = next((n for n in range(1, 4) if number < 999.5 * 1000**n), 4)
    value, unit = number / 1000**power, ("kB", "MB", "GB", "TB")[power - 1]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def duration(seconds: float) -> str:
    """`0.31 s`, `12 s`, `5 min`, `3 h`, `2 days`."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.0f} h"
    return count(round(seconds / 86400), "day")


def ago(then: float, now: float) -> str:
    """How long ``then`` is before ``now``, both in seconds since the epoch."""
    passed = now - then
    if passed < 2:  # clocks differ and are set: nothing is ever "in 3 s"
        return "just now"
    return f"{duration(passed) if passed >= 10 else f'{passed:.0f} s'} ago"


def clock(then: float, now: float) -> str:
    """A time of day, with the date when it is not today's."""
    at, today = time.localtime(then), time.localtime(now)
    if at[:3] == today[:3]:
        return time.strftime("%H:%M:%S", at)
    return time.strftime("%Y-%m-%d %H:%M:%S" if at.tm_year != today.tm_year else "%d %b %H:%M:%S", at)


def plain(text: str) -> str:
    """``text`` on one line and printable everywhere: control characters and bytes that are not UTF-8 as escapes."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape stands for
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def path(value: str | Path, home: Path | None = None) -> str:
    """A path for a line of text, with `~` for the home folder."""
    text = str(value)
    if home is not None and text == str(home):
        return "~"
    if home is not None and home != Path("/") and text.startswith(f"{home}/"):
        text = "~" + text[len(str(home)) :]
    return plain(text)


def shortened(text: str, width: int) -> str:
    """At most ``width`` columns, with the middle left out: both ends of a path tell something."""
    if columns(text) <= width:
        return text
    if width < 1:
        return ""
    tail = (width - 1) * 2 // 3
    return f"{_beginning(text, width - 1 - tail)}…{_beginning(text[::-1], tail)[::-1]}"


def _beginning(text: str, width: int) -> str:
    """As much of a text as fits."""
    end, room = 0, width
    while end < len(text) and columns(text[end]) <= room:
        room -= columns(text[end])
        end += 1
    return text[:end]


def homely(text: str, home: Path | None) -> str:
    """A sentence or command with `~` for the home folder, wherever a shell would read it so, too."""
    if home is None or home == Path("/") or str(home) not in text:
        return text
    # a word in quotes that begins with it, as `typed` makes them
    quoted = re.compile(rf"(?<![^\s(])'{re.escape(str(home))}/([^'\n]+)'(?=[\s,;:)]|$)", re.MULTILINE)
    text = quoted.sub(lambda found: f"~/{shlex.quote(found[1])}", text)
    # but not within quotes, where `~` stands for itself
    pieces = re.split(r"('[^'\n]*'(?=\W|$)|\"[^\"\n]*\")", text)
    found = re.compile(rf"(?<![^\s(]){re.escape(str(home))}(?=/|[\s,;:)]|$)")
    return "".join(piece if number % 2 else found.sub("~", piece) for number, piece in enumerate(pieces))


def of_instance(text: str, config: str | Path | None) -> str:
    """A text whose `autosync` commands are for the instance of another configuration file than the usual one."""
    if config is None:
        return text
    option = f"--config {typed(config)}"
    return _SUBCOMMAND.sub(lambda found: f"{found[0]}{option} ", text)


def listed(names: list[str], most: int = 3) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c and 4 more`."""
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most:,} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
