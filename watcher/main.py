"""`autosync-watcher`: watches work trees and commits what has settled."""

from __future__ import annotations

from pathlib import Path

import click

from autosync.common import cli, logs
from autosync.common.errors import exit_code
from autosync.common.instance import Instance
from autosync.common.service import only_one, run_until_stopped
from autosync.common.systemd import ServiceManager
from autosync.common.version import version


@click.command("autosync-watcher")
@cli.config_option
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@cli.log_file_option
@click.version_option(version(), message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context, config: Path | None, verbose: bool, log_file: Path | None) -> None:
    """Watch the work trees of the configuration and commit what changes in them, until SIGTERM.

    A change of the configuration file is noticed by itself; SIGHUP reads it again too.
    """
    instance = Instance.of(config)

    def run() -> int:
        logs.set_up("autosync-watcher", verbose, log_file)
        return _run(instance)

    context.exit(exit_code("autosync-watcher", run, lambda: instance.state, logs.last_words))


def _run(instance: Instance) -> int:
    from .service import Watcher

    manager = ServiceManager()
    with only_one(instance, "watcher"):
        watcher = Watcher(instance, manager)
        return run_until_stopped(watcher.run, manager, watcher.reload)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return cli.run(command, "autosync-watcher", argv)
