"""`autosync-install-hooks`: puts the hooks into repositories, shows them, takes them out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from autosync.common import cli, config
from autosync.common.cli import AnyPath
from autosync.common.errors import EXIT_OK, EXIT_PROBLEM, Problem, exit_code
from autosync.common.instance import Instance
from autosync.common.repository import Repository
from autosync.common.version import version

from .install import Report, inspect, install, uninstall

_PROGRAM = "autosync-install-hooks"


@click.command(_PROGRAM)
@click.argument("repo", required=False, type=AnyPath())
@click.option("--standalone", is_flag=True, help="For a machine without a relay: the hooks start it for one look.")
@click.option("--uninstall", "removing", is_flag=True, help="Take the hooks out, and put back what was there.")
@click.option("--list", "listing", is_flag=True, help="Show what is installed where, and whether it is in order.")
@click.option("--dry-run", is_flag=True, help="Only say what would be changed.")
@click.option("--all", "every", is_flag=True, help="Every repository of the configuration.")
@cli.config_option
@click.version_option(version(), message="%(prog)s %(version)s")
@click.pass_context
def command(
    context: click.Context,
    repo: Path | None,
    standalone: bool,
    removing: bool,
    listing: bool,
    dry_run: bool,
    every: bool,
    config: Path | None,
) -> None:
    """Let commits and pushes by hand in REPO (default: the current folder) be noticed at once.

    Hooks that are there already run on as before. A bare repository gets a post-receive hook, and so announces every
    push, whoever it comes from.
    """
    if sum((standalone, removing, listing)) > 1:
        raise click.UsageError("--standalone, --uninstall and --list exclude each other.")
    if every and repo is not None:
        raise click.UsageError("name one repository, or --all.")
    instance = Instance.of(config)

    def treat(repository: Repository) -> bool:
        if listing:
            return _show(repository)
        if removing:
            report = uninstall(repository, dry_run=dry_run)
        else:
            report = install(repository, standalone=standalone, config=config, dry_run=dry_run)
        return _tell(repository, report, dry_run)

    paths = (lambda: _configured(instance)) if every else (lambda: [(repo or Path()).absolute()])
    context.exit(exit_code(_PROGRAM, lambda: _each(paths, treat), lambda: instance.state))


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return cli.run(command, _PROGRAM, argv)


def _configured(instance: Instance) -> list[Path]:
    found = [repo.path for repo in config.load(instance.config)[1]]
    if not found:
        raise Problem(f"{instance.config} names no repository", "add one with: autosync init PATH")
    return found


def _each(paths: Callable[[], list[Path]], treat: Callable[[Repository], bool]) -> int:
    """One repository's trouble does not keep the others from their hooks."""
    fine = True
    for path in paths():
        try:
            fine &= treat(Repository.open(path))
        except Problem as problem:
            fine = False
            _say_problem(problem)
    return EXIT_OK if fine else EXIT_PROBLEM


def _tell(repository: Repository, report: Report, dry_run: bool) -> bool:
    _say(f"{repository.path}:{' nothing is changed, but would be:' if dry_run else ''}")
    for change in report.changes or ("nothing to change",):
        _say(f"  {change}")
    for problem in report.problems:
        _say_problem(problem)
    return not report.problems


def _show(repository: Repository) -> bool:
    _say(f"{repository.path}:")
    found = inspect(repository)
    for status in found:
        _say(f"  {status.name:14} {status.state:10} {status.path}")
    for status in found:
        if status.problem is not None:
            _say_problem(Problem(status.problem, status.remedy))
    return all(status.in_order for status in found)


def _say(line: str) -> None:
    click.echo(os.fsencode(line))  # paths are shown as they are, whatever bytes they have


def _say_problem(problem: Problem) -> None:
    click.echo(os.fsencode(f"{_PROGRAM}: {problem}"), err=True)
