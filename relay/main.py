"""`autosync-relay`: carries announcements, pulls when it hears one, and pushes."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path

import click

from autosync.common import cli, descriptors, logs
from autosync.common.cli import AnyPath
from autosync.common.errors import exit_code
from autosync.common.frugal import keep_little
from autosync.common.git import Git
from autosync.common.instance import Instance
from autosync.common.private import keep_from_dumps
from autosync.common.service import only_one, run_until_stopped
from autosync.common.systemd import ServiceManager
from autosync.common.version import version

from .writers import DESCRIPTORS


@click.command("autosync-relay")
@cli.config_option
@click.option("--once", metavar="REPO", type=AnyPath(), help="One look at one repository, then end.")
@click.option("--listen-refs", is_flag=True, help="Tell the other side of an ssh connection when branches move.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@cli.log_file_option
@click.version_option(version(), message="%(prog)s %(version)s")
@click.pass_context
def command(
    context: click.Context,
    config: Path | None,
    once: Path | None,
    listen_refs: bool,
    verbose: bool,
    log_file: Path | None,
) -> None:
    """Keep the configured repositories in sync with their remotes.

    Looks when a hook leaves a note, when another machine announces a push, after a reconnect and now and then; then
    fetches, merges and pushes, and tells the other machines.
    """
    if listen_refs:
        from .listen_refs import main as listen

        logs.set_up("autosync-relay", verbose)
        context.exit(listen())
    instance = Instance.of(config or (_configured_for(once) if once is not None else None))

    def run() -> int:
        logs.set_up("autosync-relay", verbose, log_file)
        return _run(instance, once)

    context.exit(exit_code("autosync-relay", run, lambda: instance.state, logs.last_words))


def _run(instance: Instance, once: Path | None) -> int:
    keep_from_dumps()
    keep_little()
    if once is not None:
        return _once(instance, once)
    descriptors.allow(DESCRIPTORS)
    from .service import Service

    manager = ServiceManager()
    with only_one(instance, "relay"):
        service: Service | None = None

        async def body() -> None:
            nonlocal service
            service = Service(instance, manager)
            await service.run()

        return run_until_stopped(body, manager, on_reload=lambda: service.reload() if service else None)


def _configured_for(path: Path) -> Path | None:
    """The configuration file that the repository's own git configuration names."""
    found = (
        Git(path.expanduser()).run("config", "--path", "--get", "autosync.config", check=False)
        if path.is_dir()
        else None
    )
    return Path(found.text) if found is not None and found.code == 0 else None


def _once(instance: Instance, path: Path) -> int:
    # a hook's descriptors are not ours: one may be the lock of the very repository (sh cannot close those above 9)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    from . import once

    once.checked(asyncio.run(once.run(instance, Path(os.path.abspath(path.expanduser())))))  # noqa: PTH100
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return cli.run(command, "autosync-relay", argv)
