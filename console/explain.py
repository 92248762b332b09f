"""`autosync explain`: why a file is not synchronised, or which version of it is and where."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from autosync.common import config
from autosync.common.cli import AnyPath
from autosync.common.config import Repo
from autosync.common.errors import EXIT_OK, EXIT_PROBLEM
from autosync.common.instance import Instance

from . import place, reasons, wording
from .choose import absolute, inside
from .edge import subcommand
from .place import Reason
from .survey import survey
from .terminal import hanging, say, show, symbols_fit


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one path: ``reasons`` why it is not synchronised (none: it is), and the ``version`` that is, in a sentence."""

    path: str
    reasons: tuple[Reason, ...]
    version: str | None


@click.command("explain")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=AnyPath())
@click.option("--json", "as_json", is_flag=True, help="For scripts: one JSON object a line, for each FILE.")
@subcommand
def command(instance: Instance, files: tuple[Path, ...], as_json: bool) -> int:
    """Say why FILE is not synchronised, and what to do about it.

    For one that is: which commit has its version, and where that is. Ends with 1 if any is not.
    """
    _, repos = config.load(instance.config)
    found = survey(instance)
    data = {entry["path"]: entry | {"watcher": found["watcher"]} for entry in found["repositories"]}
    code = EXIT_OK
    for file in files:
        where = absolute(file)
        repo = inside(repos, where)
        explanation = _explained(repo, where, data[str(repo.path)] if repo else {})
        if as_json:
            print(json.dumps(asdict(explanation)))
        else:
            _show(explanation)
        if explanation.reasons:
            code = EXIT_PROBLEM
    return code


def _explained(repo: Repo | None, path: Path, entry: dict[str, object]) -> Explanation:
    if repo is None:
        return Explanation(str(path), (reasons.outside(path),), None)
    found = place.found(repo, path)
    if isinstance(found, Reason):
        return Explanation(str(path), (found,), None)
    now = time.time()
    return Explanation(str(path), tuple(reasons.reasons(found, entry, now)), reasons.version(found, now))


def _show(found: Explanation) -> None:
    home = Path.home()
    tick, arrow = ("✓", "→ ") if symbols_fit() else ("+", "-> ")
    say(wording.path(found.path, home))
    for reason in found.reasons:
        show(hanging("! ", "bold red", wording.homely(reason.what, home), 2))
        if reason.remedy:
            show(hanging(arrow, "cyan", wording.homely(reason.remedy, home), 4))
    if found.version:
        mark = ("  ", "") if found.reasons else (f"{tick} ", "green")
        show(hanging(*mark, wording.homely(found.version, home), 2))
