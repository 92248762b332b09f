"""`autosync enable` and `autosync disable`: switch the services on and off, each by itself."""

from __future__ import annotations

import asyncio
import getpass
import shutil
import subprocess
from pathlib import Path

import click

from autosync.common.errors import EXIT_OK, Problem
from autosync.common.instance import Instance

from . import units
from .edge import subcommand
from .services import SERVICES, statuses
from .terminal import say

_service = click.argument("services", metavar="[SERVICE]...", nargs=-1, type=click.Choice(list(units.UNITS)))
# systemd-logind.service(8) keeps there whose services outlive their sessions
_LINGERING = Path("/var/lib/systemd/linger")


@click.command("enable")
@_service
@subcommand
def command(instance: Instance, services: tuple[str, ...]) -> int:
    """Start services now and at each login, by systemd: watcher, relay or reflector; without a name, watcher and relay.

    Where no systemd of the user's runs, says how to start them.
    """
    chosen = services or SERVICES
    _need_systemd(instance, chosen)
    for service in chosen:
        if not units.installed(service):
            _write(service)
    _systemctl("daemon-reload")
    for service in chosen:
        _systemctl("enable", "--now", "--quiet", units.UNITS[service][0])
        say(f"{service}: on, and started")
    if not (_LINGERING / getpass.getuser()).exists():
        say("They run while you are logged in. To let them run always: loginctl enable-linger")
    return EXIT_OK


@click.command("disable")
@_service
@subcommand
def disable(instance: Instance, services: tuple[str, ...]) -> int:
    """Stop services, and start them no more: watcher, relay or reflector; without a name, watcher and relay.

    With the watcher off, nothing is committed of itself, and what you commit still travels. With the relay off, commits
    stay here.
    """
    chosen = services or SERVICES
    _need_systemd(instance, chosen, ending=True)
    for service in chosen:
        if units.installed(service):
            _systemctl("disable", "--now", "--quiet", *units.UNITS[service])
        say(f"{service}: off")
    return EXIT_OK


def _need_systemd(instance: Instance, services: tuple[str, ...], ending: bool = False) -> None:
    """Raises Problem that says what to do without systemd, or for an instance that it does not know."""
    if instance.name == "default" and units.running() and shutil.which("systemctl"):
        return
    option = "" if instance.name == "default" else f" --config {instance.config}"
    if instance.name == "default":
        what = "no systemd of this user's runs here"
    else:
        what = f"systemd runs the services of the usual configuration file only, not of {instance.config}"
    if ending:
        found = asyncio.run(statuses(instance))
        pids = [str(answer.status["pid"]) for name in services if (answer := found.get(name)) and answer.status]
        raise Problem(what, f"end what runs: kill {' '.join(pids)}" if pids else "nothing of it runs")
    lines = [
        f"  setsid --fork autosync-{service}"
        + (option if service in SERVICES else " --listen 0.0.0.0:1986")
        + f" --log-file ~/.local/state/autosync/{service}.log"
        for service in services
    ]
    raise Problem(what, "start them in the background (and at each login, or by cron's @reboot):\n" + "\n".join(lines))


def _write(service: str) -> None:
    try:
        units.write(units.commands_folder(), service)
    except OSError as error:
        raise Problem(
            f"cannot write systemd's units into {units.own_folder()} ({error.strerror})", "make it writable"
        ) from error


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(
        ["systemctl", "--user", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Problem(
            f"systemctl --user {' '.join(arguments)}: {said[0]}",
            f"see: journalctl --user -e -u {arguments[-1]}" if len(arguments) > 1 else None,
        )
