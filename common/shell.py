"""Words of the commands that messages tell people to type."""

from __future__ import annotations

import os
import re
import shlex


def typed(word: str | os.PathLike[str]) -> str:
    """A word as it is typed into a shell: whatever a path or a branch is called, the command can be pasted.

    What cannot be printed, a byte that is not UTF-8 among it, becomes an escape within `$'...'`, which bash, zsh, ksh
    and POSIX.1-2024 read alike.
    """
    text = os.fspath(word)
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(_escaped(character) for character in text)}'"


def command_line(*words: str | os.PathLike[str]) -> str:
    """A whole command."""
    return " ".join(map(typed, words))


def _escaped(character: str) -> str:
    if character.isprintable():
        return re.sub(r"(['\\])", r"\\\1", character)
    # octal, three digits for each byte: a digit that follows is never taken for a part of it
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))
