"""Lines for a terminal: where a text is broken, and where not."""

from __future__ import annotations

import re
import unicodedata

#: A command within a sentence, up to a `;`, a `: ` or a bracket: what people are told to type begins with one of these.
_COMMAND = re.compile(
    r"(?:(?<=: )|(?<=; )|(?<= or )|^)"
    r"(?:autosync(?:-[a-z-]+)?|git|sudo|setsid|echo|systemctl|journalctl|loginctl|chmod|ssh(?:-[a-z]+)?|apt-get)"
    r" (?:'[^']*'|[^;:()']|:(?! ))+(?<! )"
)


def folded(text: str, width: int, hang: int = 0, copied: bool = True) -> list[str]:
    """The lines of a text, each at most ``width`` columns: broken between words, a longer word after a `/`. A command
    is one word and stays whole, if it is to be ``copied``: the terminal folds it, and pastes one line.

    Lines that go on are indented by ``hang`` columns more than the first one.
    """
    lines: list[str] = []
    for whole in text.split("\n"):
        body = whole.lstrip(" ")
        indent = " " * (len(whole) - len(body))
        line = indent
        for word in _words(body) if copied else body.split(" "):
            room = max(8, width - len(indent) - hang)
            for number, piece in enumerate([word] if copied and _COMMAND.match(word) else _pieces(word, room)):
                glue = "" if number or not line.strip() else " "
                if line.strip() and columns(line) + len(glue) + columns(piece) > width:
                    lines.append(line)
                    line, glue = indent + " " * hang, ""
                line += glue + piece
        lines.append(line)
    return lines


def _words(line: str) -> list[str]:
    """The words of a line; a command with all of its own is one."""
    words, end = [""], 0
    for found in _COMMAND.finditer(line):
        _add(words, line[end : found.start()])
        words[-1] += found[0]
        end = found.end()
    _add(words, line[end:])
    return words


def _add(words: list[str], text: str) -> None:
    first, *others = text.split(" ")
    words[-1] += first
    words += others


def _pieces(word: str, width: int) -> list[str]:
    """A word in parts that fit."""
    if columns(word) <= width:
        return [word]
    pieces = [""]
    for part in re.findall(r"[^/]*/|[^/]+", word):
        for character in [part] if columns(part) <= width else part:
            if columns(pieces[-1] + character) > width:
                pieces.append("")
            pieces[-1] += character
    return pieces


def columns(text: str) -> int:
    """The columns that a text takes on a terminal (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
