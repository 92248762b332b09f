"""What the watcher would commit now, by its own rules about single files, without it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from autosync.common.config import Settings
from autosync.common.git import split
from autosync.common.repository import Repository
from autosync.watcher import quarantine
from autosync.watcher.ignores import own_patterns
from autosync.watcher.patterns import Patterns
from autosync.watcher.staging import Chooser, Rules

#: Seconds for asking git what has changed.
_STATUS_LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """Changed paths: those to be committed, and those that are held back."""

    ready: tuple[str, ...]
    held: tuple[str, ...]


def candidates(repository: Repository, settings: Settings) -> Candidates:
    """Sort what has changed in the work tree. Raises GitError."""
    listed = repository.git.run(
        "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", limit=_STATUS_LIMIT
    )
    changed = [os.fsencode(entry) for entry in split(listed.stdout)]
    untracked = {entry[3:] for entry in changed if entry.startswith(b"??")}
    rules = rules_of(settings, repository.reader().config_all("autosync.allow"))
    chooser = Chooser(os.fsencode(repository.path), rules)
    for entry in changed:
        path = entry[3:]
        if not (path in untracked and rules.ignored.match(path)):
            chooser.add(path)
    choice = chooser.choice
    # what is in the history already is no secret any more
    held = choice.held.keys() | (choice.suspects.keys() & untracked)
    ready = {*choice.present, *choice.gone, *choice.suspects} - held
    return Candidates(_names(ready), _names(held))


def rules_of(settings: Settings, allowed: Sequence[str]) -> Rules:
    """What decides about single files; ``allowed`` is what `autosync.allow` says in git's configuration."""
    names = quarantine.SECRET_NAMES if settings.quarantine is None else settings.quarantine
    ignored = Patterns(own_patterns(settings.exclude, settings.builtin_ignores))
    return Rules(ignored, Patterns(names), Patterns(allowed), settings.max_file_size)


def _names(paths: set[bytes]) -> tuple[str, ...]:
    return tuple(map(os.fsdecode, sorted(paths)))
