"""`autosync log`: the operation log, newest last."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

import click

from autosync.common.instance import Instance
from autosync.common.operations import Operation, OperationLog

from . import wording
from .choose import absolute
from .edge import subcommand
from .terminal import say

#: File names shown for one operation.
_SHOWN = 3


@click.command("log")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("-n", "number", type=click.IntRange(0), default=30, show_default=True, help="How many; 0: all.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: one JSON object a line.")
@subcommand
def command(instance: Instance, paths: tuple[Path, ...], number: int, as_json: bool) -> None:
    """Show what autosync did of its own accord: commits, merges, pushes, what it held back, and why.

    PATH is a repository, or a file or folder in one.
    """
    wanted = [absolute(path) for path in paths]
    found = deque(
        (operation for operation in OperationLog(instance.operations).read() if _concerns(operation, wanted)),
        maxlen=number or None,
    )
    now = time.time()
    for operation in found:
        if as_json:
            print(json.dumps(asdict(operation)))
        else:
            say(line(operation, now, Path.home()))
    if not found and not as_json:
        say("nothing yet")


def _concerns(operation: Operation, wanted: list[Path]) -> bool:
    """Whether the operation is about one of the paths; a repository itself, or what is above it, matches all in it."""
    if not wanted:
        return True
    root = Path(operation.repository)
    return any(
        root.is_relative_to(path) or any((root / name).is_relative_to(path) for name in operation.paths)
        for path in wanted
    )


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
