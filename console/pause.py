"""`autosync pause`: a mark in the repository, which both services heed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from autosync.common import config
from autosync.common.cli import AnyPath
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.shell import typed

from . import services, wording
from .answering import opened
from .choose import choose
from .edge import subcommand
from .terminal import say


@click.command("pause")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=AnyPath())
@subcommand
def command(instance: Instance, paths: tuple[Path, ...]) -> None:
    """Let repositories alone: no commits, no pulls, no pushes until `autosync resume`. Without PATH, all of them."""
    _, repos = config.load(instance.config)
    for repo in choose(instance, repos, paths):
        repository = opened(repo.path)
        shown = wording.path(repo.path, Path.home())
        if repository.paused:
            say(f"{shown} is paused already")
            continue
        try:
            repository.make_own_folders()
            repository.pause_mark.touch()
        except OSError as error:
            raise Problem(f"cannot pause {repo.path} ({error.strerror})", "let this user write there") from error
        say(f"{shown} is paused; go on with: {wording.homely(f'autosync resume {typed(repo.path)}', Path.home())}")
    asyncio.run(services.tell(instance, "look"))
