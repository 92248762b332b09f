"""Numbers, times and paths as people write them. Pure functions."""

from __future__ import annotations

import time
from pathlib import Path


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
    """At most ``width`` characters, with the middle left out: both ends of a path tell something."""
    if len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
