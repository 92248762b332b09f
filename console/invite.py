"""`autosync invite`: one line for the next machine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from autosync.common import config
from autosync.common.cli import AnyPath
from autosync.common.config import Reflector, Xmpp
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.masking import masked
from autosync.common.repository import Repository
from autosync.common.shell import typed

from . import wording
from .choose import choose, several
from .edge import subcommand
from .terminal import complain

# what leads to this machine only from itself
_LOCAL_HOST = re.compile(r"://(?:[^/@]*@)?(?:localhost|127\.[0-9.]+|\[::1\])(?=[:/]|$)")


@click.command("invite")
@click.argument("path", required=False, type=AnyPath())
@click.option(
    "--with-secret", is_flag=True, help="With the reflector's secret, or the XMPP password: the line is then a secret."
)
@subcommand
def command(instance: Instance, path: Path | None, with_secret: bool) -> None:
    """Print one line that sets the repository up on another machine, with the same announcements.

    There is no secret in it, unless asked for. PATH is a repository, or lies in one; without it there must be only
    one. On the other machine autosync has to be installed already.
    """
    settings, repos = config.load(instance.config)
    chosen = choose(instance, repos, [path] if path else ())
    if len(chosen) > 1:
        raise several(chosen, "invite")
    folder = chosen[0].path
    repository = Repository.open(folder)
    remote = _remote(repository)
    # of a central repository, what the others have is a clone
    there = f"~/{folder.name.removesuffix('.git')}" if repository.bare else wording.path(folder, Path.home())
    words = ["autosync", "init", there, "--remote", masked(remote)]
    secret = None
    # the first of several: the other machine has words with all that have it, too
    carrier = next(iter(settings.transports.values()), None)
    if isinstance(carrier, Xmpp):
        words += ["--xmpp", carrier.jid]
        secret = carrier.password_file
    elif carrier is not None:
        words += ["--reflector", carrier.url]
        secret = carrier.secret_file
    line = " ".join(_quoted(word) for word in words)
    if with_secret and secret is not None:
        # by standard input: others on that machine can see a command line
        line += f" --secret - <<<{shlex.quote(config.read_secret(secret))}"
    click.echo(line)
    for remark in _remarks(remote, carrier, secret, with_secret):
        complain(remark)


def _remote(repository: Repository) -> str:
    """The address that the other machine clones from. Raises Problem."""
    if repository.bare:
        return str(repository.path)
    reader = repository.reader()
    head = reader.head()
    upstream = reader.upstream(head.branch) if head.branch else None
    if upstream is None:
        raise Problem(
            f"{repository.path} has no upstream, so there is nothing yet that another machine could follow",
            f"autosync init {typed(repository.path)} --remote URL",
        )
    url = reader.remote_url(upstream.remote)
    if "://" in url or ":" in url.split("/")[0]:
        return url
    return str((repository.path / url).resolve())


def _quoted(word: str) -> str:
    if word.startswith("~/"):
        return "~/" + shlex.quote(word[2:])
    return shlex.quote(word)


def _remarks(remote: str, carrier: Xmpp | Reflector | None, secret: Path | None, with_secret: bool) -> list[str]:
    """What to know before using the line; for standard error."""
    found = []
    if remote.startswith("/"):
        found.append(
            "The remote is a path on this machine. Where the other one does not have that path, put "
            f"ssh://USER@HOST{remote} in its place."
        )
    elif masked(remote) != remote:
        found.append("The password in the remote's URL is left out: the other machine needs its own.")
    if isinstance(carrier, Reflector) and _LOCAL_HOST.search(carrier.url):
        found.append(f"{carrier.url} leads to this machine only from itself: put its name in the network there.")
    if carrier is None:
        found.append(
            "No announcements are configured here: each machine asks the remote now and then. "
            "To hear at once: [reflector] or [xmpp], see the README."
        )
    if with_secret:
        found.append(
            "The line holds a secret: paste it there, and keep it out of mails and chats."
            if secret is not None
            else "There is no secret file here to put into the line."
        )
    elif secret is not None:
        found.append(
            f"The secret is not in the line: copy {wording.path(secret, Path.home())} to the same place there, "
            "or use --with-secret."
        )
    return found
