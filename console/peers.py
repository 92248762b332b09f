"""`autosync peers`: the other machines, and the git remotes to fetch from them directly."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path

import click

from autosync.common import config
from autosync.common.cli import AnyPath
from autosync.common.config import Repo
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.shell import command_line, typed

from . import services, wording
from .answering import opened
from .choose import choose, several
from .edge import subcommand
from .terminal import say

_PATHS = click.argument("paths", metavar="[PATH]...", nargs=-1, type=AnyPath())


@click.group("peers", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """The other machines: who is there, and from whom to fetch directly.

    A machine with `direct = true` tells of its commits before they are pushed. Where a git remote has that
    machine's name, they are fetched from it, and from the upstream only when that fails.
    """
    if context.invoked_subcommand is None:
        context.invoke(_show)


@command.command("list")
@subcommand
def _show(instance: Instance) -> None:
    """Show the machines that the relay knows of."""
    status = asyncio.run(services.ask(instance, "relay", "status"))
    now = time.time()
    for peer in status["peers"]:
        heard = f"heard {wording.ago(peer['last_heard'], now)}" if peer["last_heard"] else "not heard yet"
        release = f", autosync {wording.plain(peer['version'])}" if peer.get("version") else ""
        way = f"{wording.plain(peer['address'])} over {peer['transport']}"
        say(f"{wording.plain(peer['name'])}  {way}{release}, {heard}")
        for path in peer.get("repositories", ()):
            say(f"    has {wording.path(path, Path.home())}, too")
    if not status["peers"]:
        say("no other machine is known")


@command.command("add")
@click.argument("name")
@click.argument("url")
@_PATHS
@subcommand
def _add(instance: Instance, name: str, url: str, paths: tuple[Path, ...]) -> None:
    """Fetch from the machine NAME directly, at URL, for the repository at PATH (needed when there are several)."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise Problem(f"{name!r} cannot be the name of a git remote", "use the machine's name, of letters and digits")
    for repo in _one(instance, paths, command_line("peers", "add", name, url)):
        git = opened(repo.path).git
        before = git.run("remote", "get-url", "--", name, check=False)
        if before.code == 0 and before.text != url:
            raise Problem(
                f"the remote {name} of {repo.path} is {before.text}", f"git -C {typed(repo.path)} remote remove {name}"
            )
        if before.code:
            # fetched only when the machine announces something: no `git remote update` shall wait for it
            git.run("remote", "add", "--", name, url)
            git.run("config", f"remote.{name}.skipDefaultUpdate", "true")
        say(f"{wording.path(repo.path, Path.home())} fetches from {name} directly; on {name}, set: direct = true")


@command.command("remove")
@click.argument("name")
@_PATHS
@subcommand
def _remove(instance: Instance, name: str, paths: tuple[Path, ...]) -> None:
    """Fetch from the machine NAME no longer."""
    for repo in _one(instance, paths, command_line("peers", "remove", name)):
        repository = opened(repo.path)
        head = repository.reader().head()
        upstream = repository.reader().upstream(head.branch) if head.branch else None
        if upstream is not None and upstream.remote == name:
            raise Problem(f"{name} is the upstream of {repo.path}", "it has to stay, or another upstream be set first")
        if repository.git.run("remote", "remove", "--", name, check=False).code:
            raise Problem(
                f"{repo.path} has no remote {name}", f"git -C {typed(repo.path)} remote -v shows which it has"
            )
        say(f"{wording.path(repo.path, Path.home())} no longer fetches from {name}")


@command.command("forget")
@click.argument("name")
@subcommand
def _forget(instance: Instance, name: str) -> None:
    """Leave the machine NAME out of `autosync status --peers`: it is gone for good. If it speaks again, it is back."""
    asyncio.run(services.ask(instance, "relay", "forget", machine=name))
    say(f"{wording.plain(name)} is forgotten")


def _one(instance: Instance, paths: Sequence[Path], command_line: str) -> list[Repo]:
    _, repos = config.load(instance.config)
    chosen = choose(instance, repos, paths)
    if len(chosen) > 1 and not paths:
        raise several(chosen, command_line)
    return chosen
