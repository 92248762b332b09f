"""`autosync-watcher`: watches work trees and commits what has settled."""

from __future__ import annotations

from pathlib import Path

import click

from autosync.common import cli
from autosync.common.errors import exit_code
from autosync.common.instance import Instance
from autosync.common.service import only_one, run_until_stopped, set_up_logging
from autosync.common.version import version


@click.command("autosync-watcher")
@cli.config_option
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.version_option(version(), message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context, config: Path | None, verbose: bool) -> None:
    """Watch the work trees of the configuration and commit what changes in them, until SIGTERM.

    A change of the configuration file is noticed by itself; SIGHUP reads it again too.
    """
    set_up_logging(verbose)
    instance = Instance.of(config)
    context.exit(exit_code("autosync-watcher", lambda: _run(instance), lambda: instance.state))


def _run(instance: Instance) -> int:
    from .service import Watcher

    with only_one(instance, "watcher"):
        watcher = Watcher(instance)
        return run_until_stopped(watcher.run, watcher.reload)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return cli.run(command, "autosync-watcher", argv)
