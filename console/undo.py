"""`autosync undo`: take the newest automatic commit or merge back, with a new commit."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from autosync.common import config
from autosync.common.cli import AnyPath
from autosync.common.errors import Problem
from autosync.common.git import Git, split
from autosync.common.instance import Instance
from autosync.common.operations import Operation, OperationLog
from autosync.common.repository import Repository
from autosync.common.shell import typed
from autosync.relay.act import Actor
from autosync.relay.conflict import original
from autosync.relay.failures import Failed
from autosync.relay.state import FastForward
from autosync.relay.undo import TRAILER, reverse
from autosync.watcher.identity import Identity

from . import services, wording
from .answering import opened
from .choose import choose, several
from .edge import subcommand
from .terminal import say

#: How many commits are searched for one that autosync made.
_DEPTH = 200


@click.command("undo")
@click.argument("path", required=False, type=AnyPath())
@subcommand
def command(instance: Instance, path: Path | None) -> None:
    """Take back the newest commit or merge that autosync made, with a new commit; nothing is rewritten.

    Again takes back the one before. PATH is a repository, or lies in one; without it there must be only one.
    """
    settings, repos = config.load(instance.config)
    chosen = choose(instance, repos, [path] if path else ())
    if len(chosen) > 1:
        raise several(chosen, "undo")
    asyncio.run(_undo(instance, opened(chosen[0].path), Identity.here(settings.name)))


async def _undo(instance: Instance, repository: Repository, fallback: Identity) -> None:
    repository.make_own_folders()
    operation = repository.operation()
    head = repository.reader().head()
    if head.branch is None or head.commit is None or operation:
        raise Problem(
            f"{repository.path} is not on a branch with commits" if not operation else f"a {operation} is under way",
            f"look at: git -C {typed(repository.path)} status",
        )
    log = OperationLog(instance.operations)
    found, parent = _newest(repository, log)
    subject = repository.git.run("log", "-1", "--no-show-signature", "--format=%s", found, "--").text
    # as the watcher does it where git does not know who the person is
    nameless = repository.git.run("var", "GIT_COMMITTER_IDENT", check=False).code != 0
    new = await reverse(repository, head.commit, found, parent, fallback.environment() if nameless else {})
    try:
        await Actor(repository, log, lambda _: None).fast_forward(FastForward(head.branch, head.commit, new))
    except Failed as failed:
        raise Problem(failed.failure.what, failed.failure.remedy) from failed
    log.append(Operation(str(repository.path), "undo", head.branch, head.commit, new, subject))
    say(f"undone: {wording.plain(subject)} ({found[:7]}); autosync undo again takes back the one before")
    for path in _copies_gone(repository.git, head.commit, new):
        again = f"autosync restore {typed(repository.path / path)} --at {found[:7]}"
        say(wording.homely(f"the other version of a conflict went with it: {again}", Path.home()))
    await services.tell(instance, "look")


def _copies_gone(git: Git, before: str, after: str) -> list[str]:
    """The conflict copies that a move from ``before`` to ``after`` takes away."""
    args = ("diff-tree", "-r", "-z", "--no-renames", "--name-only", "--diff-filter=D", before, after, "--")
    return [path for path in split(git.run(*args).stdout) if original(path) is not None]


def _newest(repository: Repository, log: OperationLog) -> tuple[str, str]:
    """The newest commit that autosync made here or on another machine and that is not undone, and the parent to
    go back to: for a merge the branch as it was here."""
    merges = {
        operation.after: operation.before
        for operation in log.read()
        if operation.repository == str(repository.path) and operation.action == "merge" and operation.before
    }
    undone: set[str] = set()
    for commit, parents, automatic, undoes in _history(repository.git):
        if undoes:
            undone.add(undoes)
        elif commit not in undone and parents:
            if automatic and len(parents) == 1:
                return commit, parents[0]
            before = merges.get(commit)
            if before in parents:
                return commit, before
    raise Problem(
        f"autosync made none of the last {_DEPTH} commits in {repository.path}",
        "git log and git revert go further back",
    )


def _history(git: Git) -> list[tuple[str, list[str], bool, str]]:
    fields = f"%H%x00%P%x00%(trailers:key=Autosync-Machine,valueonly)%x00%(trailers:key={TRAILER},valueonly)%x00"
    out = git.run(
        "log", "--first-parent", f"-{_DEPTH}", "--no-show-signature", f"--format={fields}", "HEAD", "--"
    ).stdout
    cells = [os.fsdecode(cell).strip("\n") for cell in out.split(b"\0")]
    rows = zip(cells[0::4], cells[1::4], cells[2::4], cells[3::4], strict=False)
    return [(commit, parents.split(), bool(machine), undoes) for commit, parents, machine, undoes in rows]
