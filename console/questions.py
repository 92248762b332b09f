"""What `autosync init` asks on a terminal. Nothing is asked where nobody can answer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from autosync.common.errors import Problem
from autosync.common.git import Git, GitError
from autosync.common.reader import Unreadable
from autosync.common.repository import Repository

from . import wording
from .adopt import BRANCH
from .terminal import complain


def somebody_is_there() -> bool:
    """Whether a question would be seen and can be answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def folder() -> Path:
    """The folder to keep in sync, when the command line names none. Raises click.UsageError where nobody is there."""
    if not somebody_is_there():
        raise click.UsageError("Missing argument 'PATH'.")
    here = Path.cwd()
    # a whole home folder is hardly meant
    default = None if here == Path.home() else str(here)
    return Path(click.prompt("Folder to keep in sync", default=default, err=True))


def remote(path: Path) -> str | None:
    """The central repository, when neither the command line nor the repository at ``path`` names one."""
    if not somebody_is_there() or _has_upstream(path):
        return None
    complain("The machines meet at a central repository that all of them reach: a bare one on")
    complain("a server of yours (ssh://...), a shared disk (a path), or a hosting service.")
    answer: str = click.prompt("Its address (Enter: none yet)", default="", show_default=False, err=True).strip()
    if not answer:
        return None
    _offer_to_make(Path(answer).expanduser(), answer)
    return answer


def _has_upstream(path: Path) -> bool:
    if not path.is_dir():
        return False
    try:
        repository = Repository.open(path)
        reader = repository.reader()
        head = reader.head()
        return repository.bare or (head.branch is not None and reader.upstream(head.branch) is not None)
    except (Problem, GitError, Unreadable, OSError):
        return False


def _offer_to_make(place: Path, typed: str) -> None:
    """Make the bare repository, when what was typed is a path to where nothing is."""
    if "/" not in typed or ":" in typed.split("/")[0] or os.path.lexists(place) or not place.parent.is_dir():
        return
    if not click.confirm(f"{wording.plain(str(place))} is not there. Make an empty central repository?", err=True):
        raise click.Abort
    try:
        Git(place.parent).run("init", "--quiet", "--bare", "-b", BRANCH, "--", str(place))
    except GitError as error:
        raise Problem(f"cannot make {place} ({error.message})", "choose another place") from error
