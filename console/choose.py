"""Which of the configured repositories a person means."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from autosync.common.config import Repo
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.shell import typed

from . import answering


def absolute(path: Path) -> Path:
    """The path without `~`, `.` and `..`; symbolic links stay, as in the configuration."""
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() would follow links


def choose(instance: Instance, repos: Sequence[Repo], paths: Sequence[Path]) -> list[Repo]:
    """The repositories that ``paths`` are or lie in, each once; without paths all. Raises Problem."""
    if not paths:
        if not repos:
            raise Problem(f"no repository is configured in {instance.config}", "add one with: autosync init PATH")
        return list(repos)
    chosen = {id(repo): repo for repo in (_containing(instance, repos, path) for path in paths)}
    return list(chosen.values())


def several(chosen: Sequence[Repo], command: str) -> Problem:
    """That one of several repositories has to be named for ``command``, with the commands to choose from."""
    shown = [f"autosync {command} {typed(repo.path)}" for repo in chosen]
    return Problem(f"{len(chosen)} repositories are configured: say which", "\n".join(shown))


def inside(repos: Sequence[Repo], path: Path) -> Repo | None:
    """The repository that ``path`` is or lies in: the innermost of several. Raises Problem when that cannot be known,
    as a file system does not answer."""
    found = [repo for repo in repos if path.is_relative_to(repo.path)]
    if not found:
        silent = answering.silent([path, *(repo.path for repo in repos)])
        if path in silent:
            raise answering.unanswered(path)
        real = path.resolve()
        found = [
            repo
            for repo in repos
            if repo.path not in silent and any(p.is_relative_to(repo.path.resolve()) for p in (path, real))
        ]
    return max(found, key=lambda repo: len(repo.path.parts), default=None)


def addition(path: Path) -> str:
    """What to do to have ``path``, which is in no configured repository, in one."""
    folder = path if path.is_dir() else path.parent
    if not os.path.lexists(path):
        return "look at its name: autosync status shows the repositories"
    home = Path.home()
    if home.is_relative_to(folder) or (folder != path and not folder.is_relative_to(home)):
        # a whole home folder is hardly meant, nor one of the system's for a file in it
        return "move it into a repository; or into a folder of its own, and add that: autosync init FOLDER"
    return f"add it with: autosync init {typed(folder)}"


def _containing(instance: Instance, repos: Sequence[Repo], path: Path) -> Repo:
    wanted = absolute(path)
    found = inside(repos, wanted)
    if found is None:
        raise Problem(f"{wanted} is in no repository of {instance.config}", addition(wanted))
    return found
