"""`autosync describe`: a message of the person's own for what autosync commits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from autosync.common import config, control
from autosync.common.cli import AnyPath
from autosync.common.config import Repo
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.operations import Operation, OperationLog
from autosync.common.reword import reword

from . import services, wording
from .answering import opened
from .choose import choose
from .edge import subcommand
from .terminal import say


@click.command("describe")
@click.argument("path", type=AnyPath())
@click.argument("message")
@subcommand
def command(instance: Instance, path: Path, message: str) -> None:
    """Give the newest automatic commits a message of your own, while they are not pushed.

    Where a commit waits for a message (`ask-message`), it gets this one. PATH is a repository, or lies in one. What is
    pushed already, and commits of your own, stay as they are.
    """
    if not message.strip():
        raise Problem("the message is empty", "autosync describe PATH 'what this is about'")
    _, repos = config.load(instance.config)
    (repo,) = choose(instance, repos, [path])
    shown = wording.path(repo.path, Path.home())
    if asyncio.run(_taken(instance, repo, message)):
        say(f"{shown}: the commit that waits gets this message")
        return
    if repo.settings.direct:
        raise Problem(
            f"other machines may have fetched the commits in {shown} already (direct = true)",
            "only a commit that still waits for its message can be described there",
        )
    done = reword(opened(repo.path), message)
    log = OperationLog(instance.operations)
    log.append(Operation(str(repo.path), "describe", done.branch, done.before, done.after, message.splitlines()[0]))
    say(f"{shown}: {wording.count(done.count, 'commit')} reworded")
    asyncio.run(services.tell(instance, "look"))


async def _taken(instance: Instance, repo: Repo, message: str) -> bool:
    """Whether the watcher had a commit waiting for a message, and has taken this one."""
    try:
        answer = await control.ask(instance.socket("watcher"), "describe", paths=[str(repo.path)], message=message)
    except control.NotRunning:
        return False
    return bool(answer["taken"])
