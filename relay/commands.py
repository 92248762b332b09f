"""What a person may ask of the relay from afar, over a transport that takes commands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence

from autosync.common import control
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.repository import Repository

from .transports.base import Command
from .worker import Worker

#: Seconds that `sync` is waited for before the person is told how far it has come.
_PATIENCE = 60.0


def commands(instance: Instance, machine: str, workers: Callable[[], Iterable[Worker]]) -> list[Command]:
    """`status`, `sync`, `pause` and `resume`, for all repositories. None of them takes anything from the person but its
    name; ``workers`` gives those of the moment."""

    async def status() -> str:
        return _shown(machine, list(workers()))

    async def sync() -> str:
        chosen = list(workers())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:
                for worker in chosen:
                    group.create_task(worker.sync(lambda _: None))
        return _shown(machine, chosen)

    async def pause() -> str:
        return await _mark(instance, machine, list(workers()), paused=True)

    async def resume() -> str:
        return await _mark(instance, machine, list(workers()), paused=False)

    return [
        Command("status", f"How {machine} is", status),
        Command("sync", f"Sync {machine} now", sync),
        Command("pause", f"Pause {machine}", pause),
        Command("resume", f"Go on on {machine}", resume),
    ]


async def _mark(instance: Instance, machine: str, workers: Sequence[Worker], paused: bool) -> str:
    for worker in workers:
        repository = Repository.open(worker.repo.path)
        try:
            if paused:
                repository.make_own_folders()
                repository.pause_mark.touch()
            else:
                repository.pause_mark.unlink(missing_ok=True)
        except OSError as error:
            raise Problem(
                f"cannot write in {worker.repo.path} ({error.strerror})", "let this user write there"
            ) from error
        worker.fetch_hint()
    with contextlib.suppress(control.NotRunning):
        await control.ask(instance.socket("watcher"), "look")
    count = f"{len(workers)} repositories" if len(workers) != 1 else "1 repository"
    return f"{machine}: {count} {'paused' if paused else 'go on' if len(workers) != 1 else 'goes on'}"


def _shown(machine: str, workers: Sequence[Worker]) -> str:
    lines = [f"{machine}: {len(workers)} repositories" if len(workers) != 1 else f"{machine}: 1 repository"]
    for worker in workers:
        words = [worker.status.name, worker.status.reason, worker.status.remedy]
        lines.append(f"{worker.repo.path}: " + "; ".join(word for word in words if word))
    return "\n".join(lines)
