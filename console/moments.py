"""Times as people say them: `2 hours ago`, `2026-03-01 14:00`. git reads them, so that all commands agree."""

from __future__ import annotations

from pathlib import Path

from autosync.common.errors import Problem
from autosync.common.git import Git, GitError

_WORDS = frozenset({"yesterday", "today", "noon", "midnight", "tea", "now", "last", "never"})


def is_one(text: str) -> bool:
    """Whether ``text`` can be a time: git reads any words as one, and what it does not understand as now."""
    words = text.lower().replace(".", " ").replace("-", " ").split()
    return any(character.isdigit() for character in text) or bool(_WORDS & set(words))


def moment(text: str) -> float:
    """Seconds since the epoch. Raises Problem."""
    if is_one(text):
        try:
            # git-config(1): --type=expiry-date reads what `git log --since` reads, and needs no repository
            asked = Git(Path("/")).with_config(f"autosync.moment={text}")
            return float(asked.run("config", "--type=expiry-date", "--get", "autosync.moment").text)
        except (GitError, ValueError):
            pass
    raise Problem(f"{text!r} is no time", "say for example '2 hours ago' or '2026-03-01 14:00'")
