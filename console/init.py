"""`autosync init`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from autosync.common import config
from autosync.common.cli import AnyPath
from autosync.common.config import Repo
from autosync.common.errors import Problem
from autosync.common.instance import Instance, default_config
from autosync.common.repository import Repository
from autosync.common.shell import command_line, typed

from . import announcements, entry, questions, services, wording
from .adopt import Adopted, Intent, Load, carry_out, examine, first_load
from .choose import absolute
from .edge import subcommand
from .look import look
from .terminal import complain, progress, say

#: So many files, or bytes, are committed without asking.
_FEW_FILES = 50
_FEW_BYTES = 20_000_000


@click.command("init")
@click.argument("path", required=False, type=AnyPath())
@click.option("--remote", metavar="URL", help="The central repository; a bare repository's path will do.")
@click.option("--reflector", metavar="URL", help="Announcements over this reflector, if none are configured yet.")
@click.option("--xmpp", metavar="ACCOUNT", help="Announcements over this XMPP account, if none are configured yet.")
@click.option("--secret", metavar="FILE", help="The first line of FILE (-: standard input) is the secret for it.")
@click.option("--yes", is_flag=True, help="Do not ask before a large first commit.")
@subcommand
def command(
    instance: Instance,
    path: Path | None,
    remote: str | None,
    reflector: str | None,
    xmpp: str | None,
    secret: str | None,
    yes: bool,
) -> None:
    """Keep the folder PATH in sync from now on.

    What is there is adopted: a repository as it is, a folder by making it one. Where there is nothing, the remote is
    cloned, or a new repository made. Then it gets its entry in the configuration, and its hooks. On a terminal, what
    is missing is asked for.
    """
    if instance.config.exists():
        config.load(instance.config)  # a mistake in it is told before anything is done
    where = absolute(path if path is not None else questions.folder())
    if remote is None:
        remote = questions.remote(where)
    wanted = announcements.wanted(reflector, xmpp, secret)
    intent = examine(where, remote)
    options = {"--remote": remote, "--reflector": reflector, "--xmpp": xmpp, "--secret": secret}
    given = [word for option, value in options.items() if value for word in (option, value)]
    again = command_line("autosync", "init", where, *given, "--yes")
    _ask_before(instance, intent, again, yes)
    with progress() as show:
        adopted = carry_out(intent, show)
    told = [announcements.configure(instance, one) for one in wanted]
    added = entry.add(instance, where)
    problems = _install_hooks(instance, adopted.repository)
    objections = asyncio.run(services.tell(instance, "reload"))
    _explain(instance, adopted, added, told, problems)
    for service, objection in objections.items():
        if objection is not None:
            complain(f"the {service} did not take it: {objection}")


def _ask_before(instance: Instance, intent: Intent, again: str, yes: bool) -> None:
    """Show a large first commit and let the person decide, before anything is done."""
    settings = _settings(instance, intent.path)
    if yes or not settings.watch:
        return
    load = first_load(intent, settings)
    if load.files <= _FEW_FILES and load.size <= _FEW_BYTES:
        return
    shown = wording.path(intent.path, Path.home() if sys.stderr.isatty() else None)
    lines = [f"{shown}: {_amount(load)} would be committed, and so go to all machines:"]
    width = max(len(wording.plain(name)) for name, _ in load.folders)
    lines += [f"   {wording.plain(name).ljust(width)}  {wording.count(n, 'file')}" for name, n in load.folders]
    if more := load.files - sum(n for _, n in load.folders):
        lines.append(f"   and {wording.count(more, 'file')} in other folders")
    if load.held:
        held = wording.listed([wording.plain(name) for name in load.held])
        lines.append(f"Held back until you let it pass, as it is large or looks like a secret: {held}")
    lines.append("What is not meant to go there belongs into .gitignore first.")
    if not sys.stdin.isatty():
        raise Problem("\n".join(lines) + "\nnothing was done yet", again)
    for line in lines:
        complain(line)
    if not click.confirm("Go on?", err=True):
        raise Problem("nothing was done", f"write {shown}/.gitignore, then: {again}")


def _amount(load: Load) -> str:
    return f"{wording.count(load.files, 'file')} with {wording.size(load.size)}"


def _settings(instance: Instance, path: Path) -> config.Settings:
    """What the watcher will go by there: as its entry says, or will say by the defaults."""
    if not instance.config.exists():
        return config.Settings()
    settings, repos = config.load(instance.config)
    known = entry.find(repos, path)
    return known.settings if known is not None else settings.defaults


def _install_hooks(instance: Instance, repository: Repository) -> list[Problem]:
    """Install them; returns what could not be done. Raises Problem when nothing could."""
    from autosync.hooks.install import install

    other = instance.config if instance.config != default_config() else None
    return list(install(repository, standalone=False, config=other).problems)


def _explain(instance: Instance, adopted: Adopted, added: bool, told: list[str], problems: list[Problem]) -> None:
    home = Path.home()
    repository = adopted.repository
    say(f"{wording.path(repository.path, home)}:")
    for sentence in adopted.done:
        say(f"  {wording.homely(wording.plain(sentence), home)}")
    say(f"  {'added to' if added else 'was already in'} {wording.path(instance.config, home)}")
    for sentence in told:
        say(f"  {wording.homely(sentence, home)}")
    if repository.bare:
        say("  installed its hook: each push to it is announced to the other machines")
    else:
        say("  installed its hooks: commits and pushes by hand are noticed at once")
    for problem in problems + _open_ends(instance, repository):
        say(f"  ! {wording.homely(problem.what, home)}")
        if problem.remedy:
            say(f"    {wording.homely(problem.remedy, home)}")
    say("See how it is with: autosync status")
    if not repository.bare:
        say("For the next machine: autosync invite")


def _open_ends(instance: Instance, repository: Repository) -> list[Problem]:
    """What is still missing before it is kept in sync."""
    found = []
    sight = look(Repo(repository.path, config.Settings(), frozenset()))
    if not repository.bare:
        if sight.detached:
            found.append(Problem("HEAD is detached", f"git -C {typed(repository.path)} switch BRANCH"))
        elif sight.upstream is None:
            found.append(
                Problem(
                    "it has no upstream, so its commits stay here",
                    f"autosync init {typed(repository.path)} --remote URL",
                )
            )
        if repository.git.run("var", "GIT_AUTHOR_IDENT", check=False).code:
            found.append(
                Problem(
                    "git does not know your name: automatic commits carry the names of user and machine",
                    'to have yours there: git config --global user.name "YOUR NAME"; '
                    "git config --global user.email YOU@EXAMPLE.ORG",
                )
            )
    answers = asyncio.run(services.statuses(instance))
    needed = ("relay",) if repository.bare else services.SERVICES
    found += [problem for name in needed if (problem := answers[name].problem) is not None]
    return found
