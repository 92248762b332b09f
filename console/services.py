"""Talking to the watcher and the relay of an instance, and saying how to start them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autosync.common import control
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.shell import typed

from . import units

#: Both services.
SERVICES = ("watcher", "relay")
#: Seconds that a service may take to say how it is.
_STATUS_LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service says of itself: ``status`` is None when it does not run or does not answer (``problem``)."""

    status: dict[str, Any] | None
    problem: Problem | None = None


async def statuses(instance: Instance) -> dict[str, Answer]:
    """Ask both services how they are, at the same time."""
    answers = await asyncio.gather(*(_status(instance, service) for service in SERVICES))
    return dict(zip(SERVICES, answers, strict=True))


async def _status(instance: Instance, service: str) -> Answer:
    try:
        return Answer(await control.ask(instance.socket(service), "status", limit=_STATUS_LIMIT))
    except control.NotRunning:
        return Answer(None, not_running(instance, service))
    except Problem as problem:
        return Answer(None, problem)


async def ask(
    instance: Instance,
    service: str,
    command: str,
    *,
    progress: Callable[[str], None] = lambda _: None,
    **arguments: Any,
) -> Any:
    """Send a command and wait for as long as it works. Raises control.NotRunning with the command that starts
    the service, or Problem with its words."""
    try:
        return await control.ask(instance.socket(service), command, progress=progress, limit=None, **arguments)
    except control.NotRunning:
        found = not_running(instance, service)
        raise control.NotRunning(found.what, found.remedy) from None


async def tell(instance: Instance, command: str) -> dict[str, Problem | None]:
    """Send a command to both services: for those that answered None or what they object. One that does not run
    is left out: it will see for itself when it starts."""
    outcome: dict[str, Problem | None] = {}
    for service in SERVICES:
        try:
            await control.ask(instance.socket(service), command)
            outcome[service] = None
        except control.NotRunning:
            continue
        except Problem as problem:
            outcome[service] = problem
    return outcome


def not_running(instance: Instance, service: str) -> Problem:
    """That a service does not run, and how to start it here."""
    return Problem(f"the {service} is not running", f"start it with: {start_command(instance, service)}")


def start_command(instance: Instance, service: str) -> str:
    """The command that starts a service of this instance on this machine."""
    if instance.name == "default" and units.running():
        return f"autosync enable {service}"
    if instance.config == units.SYSTEM_CONFIG and units.of_system(service):
        return f"sudo systemctl enable --now autosync-{service}"
    return background_command(instance, service)


def background_command(instance: Instance, service: str) -> str:
    """The command that starts a service without systemd: with a log of its own, and without the terminal, whose end
    would be its end."""
    option = "" if instance.name == "default" else f" --config {typed(instance.config)}"
    if service not in SERVICES:
        option = " --listen 0.0.0.0:1986"
    folder = instance.state.parent if instance.name == "default" else instance.state
    return f"setsid --fork autosync-{service}{option} --log-file {typed(folder / f'{service}.log')}"
