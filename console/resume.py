"""`autosync resume`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from autosync.common import config
from autosync.common.cli import AnyPath
from autosync.common.config import Repo
from autosync.common.errors import Problem
from autosync.common.instance import Instance

from . import services, wording
from .answering import opened
from .choose import choose
from .edge import subcommand
from .terminal import say


@click.command("resume")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=AnyPath())
@click.option("--confirm-deletions", is_flag=True, help="The mass deletion that is held back was meant: commit it.")
@subcommand
def command(instance: Instance, paths: tuple[Path, ...], confirm_deletions: bool) -> None:
    """Go on with paused repositories; what has changed meanwhile is caught up with. Without PATH, all of them."""
    _, repos = config.load(instance.config)
    chosen = choose(instance, repos, paths)
    for repo in chosen:
        _resume(repo, quiet=confirm_deletions)
    asyncio.run(_tell(instance, chosen, confirm_deletions))


def _resume(repo: Repo, quiet: bool) -> None:
    repository = opened(repo.path)
    shown = wording.path(repo.path, Path.home())
    try:
        repository.pause_mark.unlink()
        say(f"{shown} goes on")
    except FileNotFoundError:
        if not quiet:
            say(f"{shown} is not paused")
    except OSError as error:
        raise Problem(f"cannot resume {repo.path} ({error.strerror})", "let this user write there") from error


async def _tell(instance: Instance, chosen: Sequence[Repo], confirm_deletions: bool) -> None:
    await services.tell(instance, "look")
    if confirm_deletions:
        await services.ask(instance, "watcher", "confirm-deletions", paths=[str(repo.path) for repo in chosen])
        say("the deletions are committed now")
