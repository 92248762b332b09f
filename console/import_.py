"""`autosync import`: take over what dvcs-autosync was told."""

from __future__ import annotations

import os
from pathlib import Path

import click

from autosync.common import atomic, config
from autosync.common.cli import AnyPath
from autosync.common.errors import EXIT_OK, Problem
from autosync.common.git import Git
from autosync.common.instance import Instance
from autosync.common.shell import typed

from . import dvcs_autosync, entry, wording
from .dvcs_autosync import Found
from .edge import subcommand
from .entry import Value
from .terminal import say

_PASSWORD_FILE = "xmpp-password"  # noqa: S105 - the name of a file


@click.command("import")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=AnyPath())
@click.option("--dry-run", is_flag=True, help="Only show what would be added to the configuration.")
@subcommand
def command(instance: Instance, files: tuple[Path, ...], dry_run: bool) -> int:
    """Convert configuration files of dvcs-autosync; without a name, ~/.autosync. They stay as they are.

    Each adds its repository, with what it excludes, to the configuration, and its account, where the configuration has
    none yet. The password goes into a file of its own.
    """
    found = [dvcs_autosync.read(file.expanduser()) for file in files or (Path("~/.autosync"),)]
    accounts = {one.jid for one in found if one.jid}
    if len(accounts) > 1:
        raise Problem(f"these files name several accounts ({', '.join(sorted(accounts))})", "import them one by one")
    repositories = [(one, *_repository(one)) for one in found]
    for one, path, settings in repositories:
        if dry_run:
            say(entry.entry(path, Path.home(), settings).strip() + "\n")
        elif entry.add(instance, path, settings):
            say(f"{wording.path(path, Path.home())}: added to {wording.path(instance.config, Path.home())}")
        else:
            say(f"{wording.path(path, Path.home())}: was already in {wording.path(instance.config, Path.home())}")
        for sentence in one.left_out:
            say(f"  ! not carried over: {sentence}")
    for one in found:
        _announcements(instance, one, dry_run)
    if not dry_run:
        _next_steps(repositories)
    return EXIT_OK


def _repository(found: Found) -> tuple[Path, dict[str, Value]]:
    """The root of the repository that ``found`` is about, and its settings. Raises Problem."""
    watched = Path(os.path.abspath(Path(found.path).expanduser()))  # noqa: PTH100 - links stay as they are
    if not watched.is_dir():
        raise Problem(f"{watched} is not there", "make or mount it, and import again")
    inside = Git(watched).run("rev-parse", "--show-prefix", check=False)
    if inside.code:
        raise Problem(f"{watched} is in no git repository", f"git -C {typed(watched)} init")
    prefix = inside.text.rstrip("\n")
    root = Path(os.path.normpath(watched / ("../" * prefix.count("/"))))
    settings: dict[str, Value] = {}
    exclude = [f"/{prefix}{name.strip('/')}/" for name in found.exclude]
    if exclude:
        settings["exclude"] = exclude
    if found.push_delay is not None and found.push_delay != config.Settings().push_delay:
        settings["push-delay"] = found.push_delay
    return root, settings


def _announcements(instance: Instance, found: Found, dry_run: bool) -> None:
    tables: list[tuple[str, dict[str, Value]]] = []
    if found.jid and found.password:
        # the machines that still run dvcs-autosync go on hearing this one, and are heard
        account: dict[str, Value] = {"jid": found.jid, "password-file": _PASSWORD_FILE, "dvcs-autosync": True}
        tables.append(("xmpp", account))
    notify: dict[str, Value] = {} if found.desktop else {"desktop": False}
    if found.tell:
        notify["xmpp"] = [found.tell]
    if notify:
        tables.append(("notify", notify))
    for name, values in tables:
        if dry_run:
            say(entry.table(name, values).strip() + "\n")
            continue
        if name == "xmpp" and found.password:
            _keep_password(instance.config.parent / _PASSWORD_FILE, found.password)
        added = entry.add_table(instance, name, values)
        say(f"[{name}]: {'added' if added else 'the configuration has one; it stays as it is'}")


def _keep_password(file: Path, password: str) -> None:
    if file.exists():
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write(file, f"{password}\n".encode(), 0o600)
    except OSError as error:
        raise Problem(f"cannot write {file} ({error.strerror})", "let this user write there") from error


def _next_steps(repositories: list[tuple[Found, Path, dict[str, Value]]]) -> None:
    say("What is left to do:")
    for one, _, _ in repositories:
        running = _running(one)
        if running is not None:
            say(f"  kill {running}   (dvcs-autosync, which must not run beside the watcher)")
    for _, path, _ in repositories:
        say(f"  autosync init {typed(path)}   (its hooks)")
    say("  autosync enable   (the services)")
    say("Once no machine runs dvcs-autosync any more, take dvcs-autosync = true out of [xmpp].")


def _running(found: Found) -> int | None:
    """The process of dvcs-autosync that its file names, if it is one."""
    if found.pidfile is None:
        return None
    try:
        number = int(Path(found.pidfile).expanduser().read_text().strip())
        return number if b"autosync" in Path(f"/proc/{number}/cmdline").read_bytes() else None
    except (OSError, ValueError, RuntimeError):
        return None
