"""`autosync log`: the operation log, newest last."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import click

from autosync.common.cli import AnyPath
from autosync.common.instance import Instance
from autosync.common.operations import Operation, OperationLog

from . import moments, wording
from .brought import Brought
from .choose import absolute
from .edge import subcommand
from .pager import page

#: File names shown for one operation.
_SHOWN = 3


@click.command("log")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=AnyPath())
@click.option("-n", "number", type=click.IntRange(0), default=30, show_default=True, help="How many; 0: all.")
@click.option("--machine", metavar="NAME", help="Only what was made on that machine.")
@click.option("--since", metavar="TIME", help="Only what came after: '2 hours ago', '2026-03-01 14:00'.")
@click.option("--until", metavar="TIME", help="Only what came before.")
@click.option("--action", "actions", metavar="WORD", multiple=True, help="Only commit, merge, push, hold ...")
@click.option("--json", "as_json", is_flag=True, help="For scripts: one JSON object a line.")
@subcommand
def command(
    instance: Instance,
    paths: tuple[Path, ...],
    number: int,
    machine: str | None,
    since: str | None,
    until: str | None,
    actions: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what autosync did of its own accord: commits, merges, pushes, what it held back, and why.

    PATH is a repository, or a file or folder in one. For a file, and for a machine, what came in with a merge counts.
    """
    brought = Brought()
    tests: list[Callable[[Operation], bool]] = []
    if since is not None:
        first = moments.moment(since)
        tests.append(lambda operation: operation.time >= first)
    if until is not None:
        last = moments.moment(until)
        tests.append(lambda operation: operation.time <= last)
    if actions:
        tests.append(lambda operation: operation.action in actions)
    if paths:
        wanted = [absolute(path) for path in paths]
        tests.append(lambda operation: any(_concerns(operation, path, brought) for path in wanted))
    if machine is not None:
        here = _name(instance)
        tests.append(lambda operation: machine in brought.machines(operation, here))
    found = _newest(OperationLog(instance.operations).read(), tests, number)
    if as_json:
        for operation in found:
            print(json.dumps(asdict(operation)))
        return
    now, home = time.time(), Path.home()
    page([line(operation, now, home) for operation in found] or ["nothing yet" if not tests else "nothing like that"])


def _name(instance: Instance) -> str:
    from autosync.common import config

    return config.load(instance.config)[0].name


def _newest(operations: Iterable[Operation], tests: list[Callable[[Operation], bool]], number: int) -> list[Operation]:
    """The newest that pass all tests, oldest first. From the end: some tests ask git."""
    found: deque[Operation] = deque()
    for operation in reversed(list(operations)):
        if all(test(operation) for test in tests):
            found.appendleft(operation)
            if len(found) == number:
                break
    return list(found)


def _concerns(operation: Operation, path: Path, brought: Brought) -> bool:
    """Whether the operation is about the path; a repository itself, or what is above it, matches all in it."""
    root = Path(operation.repository)
    if root.is_relative_to(path):
        return True
    if not path.is_relative_to(root):
        return False
    named = any((root / name).is_relative_to(path) for name in operation.paths)
    return named or brought.touches(operation, str(path.relative_to(root)))


def line(operation: Operation, now: float, home: Path | None) -> str:
    """One operation as a person reads it."""
    words = [wording.clock(operation.time, now), wording.path(operation.repository, home), operation.action]
    if operation.ref:
        words.append(wording.plain(operation.ref.removeprefix("refs/heads/").removeprefix("refs/remotes/")))
    if operation.before and operation.after:
        words.append(f"{operation.before[:7]}..{operation.after[:7]}")
    elif operation.after:
        words.append(operation.after[:7])
    if operation.detail:
        words.append(wording.plain(operation.detail))
    # a commit's subject may name them already
    paths = [path for path in operation.paths if path not in operation.detail]
    if paths:
        shown = ", ".join(wording.plain(path) for path in paths[:_SHOWN])
        more = len(paths) - _SHOWN
        words.append(f"({shown}{f' and {more} more' if more > 0 else ''})")
    if operation.seconds is not None:
        words.append(f"in {wording.duration(operation.seconds)}")
    return "  ".join(words[:3]) + (" " + " ".join(words[3:]) if words[3:] else "")
