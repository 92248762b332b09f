"""`autosync status`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autosync.common.errors import Problem
from autosync.common.instance import Instance

from .edge import subcommand
from .survey import survey
from .terminal import complain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Seconds between two looks of `--watch`.
_INTERVAL = 1.0


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="For scripts: all that is known, as one JSON object.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C; where nobody looks on, print what has changed.")
@click.option("--peers", is_flag=True, help="The machines: which commit each has, how far behind, when last heard.")
@subcommand
def command(instance: Instance, as_json: bool, watch: bool, peers: bool) -> None:
    """Show how each repository and each connection is, and what to do where something is wrong."""
    if not watch:
        _show(survey(instance), as_json, peers)
    elif as_json or not sys.stdout.isatty():
        _print_changes(instance, as_json, peers)
    else:
        _live(instance, peers)


def _show(data: dict[str, Any], as_json: bool, peers: bool) -> None:
    if as_json:
        _show_json(data)
        return
    from .terminal import rich_console, show

    show(_picture(data, rich_console(), peers))


def _show_json(data: dict[str, Any]) -> None:
    print(json.dumps(data, indent=None if not sys.stdout.isatty() else 2), flush=True)


def _picture(data: dict[str, Any], console: Console, peers: bool, copied: bool = True) -> RenderableType:
    from .terminal import symbols_fit

    if peers:
        from .fleet import FleetTable

        return FleetTable(console.width, time.time(), Path.home(), symbols_fit()).render(data)
    from .table import StatusTable

    return StatusTable(console.width, time.time(), Path.home(), symbols_fit(), copied).render(data)


def _print_changes(instance: Instance, as_json: bool, peers: bool) -> None:
    shown: dict[str, Any] | str | None = None
    try:
        while True:
            found = _survey_or_why_not(instance)
            if found != shown:
                shown = found
                if isinstance(found, str):
                    complain(found)
                else:
                    _show(found, as_json, peers)
            time.sleep(_INTERVAL)
    except KeyboardInterrupt:
        pass  # the way to end it


def _survey_or_why_not(instance: Instance) -> dict[str, Any] | str:
    """A configuration that is wrong is being mended, perhaps: that ends no `--watch`."""
    try:
        return survey(instance)
    except Problem as problem:
        return str(problem)


def _live(instance: Instance, peers: bool) -> None:
    from rich.live import Live

    from .terminal import rich_console

    console = rich_console()
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(_sight(instance, console, peers), refresh=True)
                time.sleep(_INTERVAL)
    except KeyboardInterrupt:
        pass
    console.print(_sight(instance, console, peers))


def _sight(instance: Instance, console: Console, peers: bool) -> RenderableType:
    from .terminal import hanging

    found = _survey_or_why_not(instance)
    return (
        hanging("! ", "bold red", found, 0, console.width)
        if isinstance(found, str)
        # what runs over is cut off here
        else _picture(found, console, peers, copied=False)
    )
