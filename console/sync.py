"""`autosync sync`: commit, pull and push now, and wait until each repository is in sync or stuck."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from autosync.common import config, control
from autosync.common.cli import AnyPath
from autosync.common.config import Repo
from autosync.common.errors import EXIT_OK, EXIT_PROBLEM, Problem
from autosync.common.git import GitError
from autosync.common.instance import Instance
from autosync.common.reader import Unreadable
from autosync.common.shell import typed

from . import answering, look, services, wording
from .choose import choose
from .edge import subcommand
from .terminal import complain, progress, say


@click.command("sync")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=AnyPath())
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@subcommand
def command(instance: Instance, paths: tuple[Path, ...], dry_run: bool) -> int:
    """Commit what has changed, pull and push, and wait. Ends with 0 only when all is in sync.

    Without PATH, all repositories. Works without a running relay, too.
    """
    _, repos = config.load(instance.config)
    chosen = choose(instance, repos, paths)
    if dry_run:
        return max(_preview(instance, repo) for repo in chosen)
    with progress() as show:
        outcome = asyncio.run(_sync(instance, chosen, show))
    for repo in chosen:
        _tell(repo, *outcome[repo.path])
    return EXIT_OK if all(state == "in sync" for state, _, _ in outcome.values()) else EXIT_PROBLEM


def _preview(instance: Instance, repo: Repo) -> int:
    """Say what would be done; returns the exit code."""
    from .dryrun import preview

    shown = wording.path(repo.path, Path.home())
    try:
        found = preview(instance, repo)
    except Problem as problem:
        _tell(repo, "error", problem.what, problem.remedy)
        return EXIT_PROBLEM
    except (GitError, Unreadable, OSError) as error:
        _tell(repo, "error", str(error), f"see: git -C {typed(repo.path)} fetch --dry-run")
        return EXIT_PROBLEM
    status = found.status
    stuck = status.remedy is not None
    if stuck:
        _tell(repo, status.name, status.reason, status.remedy)
    if found.steps:
        say(f"{shown}:")
        for step in found.steps:
            say(f"  would {step}")
    elif not stuck:
        say(f"{shown}: nothing to do")
    return EXIT_PROBLEM if stuck else EXIT_OK


#: A repository's end: state, and for one that is stuck the reason and the remedy.
_End = tuple[str, str | None, str | None]


async def _sync(instance: Instance, chosen: Sequence[Repo], show: Callable[[str], None]) -> dict[Path, _End]:
    silent = answering.silent(repo.path for repo in chosen)
    there = [repo for repo in chosen if repo.path not in silent]
    show("committing")
    held = await _commit(instance, [repo for repo in there if repo.settings.watch and look.has_work_tree(repo)], show)
    show("pulling and pushing")
    reports = await _exchange(instance, there, show)
    outcome: dict[Path, _End] = {}
    for path in silent:
        problem = answering.unanswered(path)
        outcome[path] = "error", problem.what, problem.remedy
    for repo in there:
        report = reports[repo.path]
        end: _End = report["state"], report["reason"], report["remedy"]
        outcome[repo.path] = held.get(repo.path, end) if end[0] == "in sync" else end
    return outcome


async def _commit(instance: Instance, watched: Sequence[Repo], show: Callable[[str], None]) -> dict[Path, _End]:
    """Let the watcher commit; returns what of it is not committed, and why."""
    if not watched:
        return {}
    paths = [str(repo.path) for repo in watched]
    try:
        answer = await services.ask(instance, "watcher", "commit", progress=show, paths=paths)
    except control.NotRunning as absent:
        return {repo.path: end for repo in watched if (end := _uncommitted(repo, absent)) is not None}
    return {
        Path(entry["path"]): (entry["state"], entry["reason"], entry["remedy"])
        for entry in answer["repositories"]
        if entry["reason"] is not None
    }


def _uncommitted(repo: Repo, absent: Problem) -> _End | None:
    """Without a watcher: nobody commits what has changed."""
    sight = look.look(repo)
    number = look.changed_files(sight.repository) if sight.repository is not None else None
    if not number:
        return None
    changed = wording.count(number, "changed file is", "changed files are")
    return "not committed", f"{changed} not committed, as {absent.what}", absent.remedy


async def _exchange(
    instance: Instance, chosen: Sequence[Repo], show: Callable[[str], None]
) -> dict[Path, dict[str, Any]]:
    if not chosen:
        return {}
    paths = [str(repo.path) for repo in chosen]
    try:
        answer = await services.ask(instance, "relay", "sync", progress=show, paths=paths)
    except control.NotRunning:
        return {repo.path: await _once(instance, repo, show) for repo in chosen}
    return {Path(entry["path"]): entry for entry in answer["repositories"]}


async def _once(instance: Instance, repo: Repo, show: Callable[[str], None]) -> dict[str, Any]:
    """What the relay would do, done here. One repository's trouble does not keep the next from its turn."""
    from autosync.relay import once

    # its warnings are in the report, too
    logging.getLogger("autosync").addHandler(logging.NullHandler())
    try:
        report = await once.run(instance, repo.path, show)
    except Problem as problem:
        return {"state": "error", "reason": problem.what, "remedy": problem.remedy}
    # nothing comes back when another one-shot run is at it and goes round once more for us
    return report or {
        "state": "syncing",
        "reason": "another sync of it is under way",
        "remedy": f"autosync sync {typed(repo.path)}",
    }


def _tell(repo: Repo, state: str, reason: str | None, remedy: str | None) -> None:
    home = Path.home()
    shown = wording.path(repo.path, home)
    if state == "in sync":
        say(f"{shown}: in sync")
        return
    complain(f"{shown}: {state}" + (f": {wording.homely(reason, home)}" if reason else ""))
    if remedy:
        complain(f"   {wording.homely(remedy, home)}")
