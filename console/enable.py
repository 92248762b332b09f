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
from .services import SERVICES, background_command, statuses
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
    for service, pid in _running(instance, chosen).items():
        if pid != _main_process(service):
            raise Problem(
                f"the {service} runs already, as process {pid}, but systemd did not start it",
                f"end it, and try again: kill {pid}",
            )
    for service in chosen:
        if not units.installed(service) or units.written(service):
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
        if pid := _running(instance, (service,)).get(service):
            raise Problem(
                f"the {service} still runs, as process {pid}: systemd did not start it",
                f"end it, and take it out of what starts it: kill {pid}",
            )
        say(f"{service}: off")
    return EXIT_OK


def _need_systemd(instance: Instance, services: tuple[str, ...], ending: bool = False) -> None:
    """Raises Problem that says what to do without systemd, or for an instance that it does not know."""
    if instance.name == "default" and units.running() and shutil.which("systemctl"):
        return
    if instance.name == "default":
        what = "no systemd of this user's runs here"
    else:
        what = f"systemd runs the services of the usual configuration file only, not of {instance.config}"
    if ending:
        pids = " ".join(map(str, _running(instance, services).values()))
        raise Problem(what, f"end what runs: kill {pids}" if pids else "nothing of it runs")
    lines = [f"  {background_command(instance, service)}" for service in services]
    raise Problem(what, "start them in the background (and at each login, or by cron's @reboot):\n" + "\n".join(lines))


def _running(instance: Instance, services: tuple[str, ...]) -> dict[str, int]:
    """Those of ``services`` that answer, with their process ids."""
    found = asyncio.run(statuses(instance))
    return {name: answer.status["pid"] for name, answer in found.items() if name in services and answer.status}


def _main_process(service: str) -> int:
    """The process that systemd runs a service as, 0 when none."""
    argv = ["systemctl", "--user", "show", "--property=MainPID", "--value", units.UNITS[service][0]]
    shown = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout.strip()
    return int(shown) if shown.isdigit() else 0


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
