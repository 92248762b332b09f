"""What the relay is asked over its control socket, and what it answers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autosync.common.control import Handler
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.shell import typed
from autosync.common.version import version

from .fleet import Fleet
from .hub import Hub
from .report import report
from .vigil import Vigil
from .worker import Worker


class Requests:
    """Answers for one service. ``reload`` reads the configuration again; ``problem`` is what was wrong with it then."""

    def __init__(
        self,
        instance: Instance,
        workers: Mapping[Path, Worker],
        hub: Hub,
        fleet: Fleet,
        vigil: Vigil,
        reload: Callable[[], None],
        problem: Callable[[], Problem | None],
    ) -> None:
        self._instance = instance
        self._workers = workers
        self._hub = hub
        self._fleet = fleet
        self._vigil = vigil
        self._read_again = reload
        self._problem = problem
        self._started = time.time()

    def handlers(self) -> Mapping[str, Handler]:
        """By the command's name."""
        return {
            "status": self._status,
            "look": self._look,
            "sync": self._sync,
            "forget": self._forget,
            "reload": self._reload,
        }

    async def _status(self, request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
        transports = [t for t in self._hub.transports if t.health.state == "online" or not t.health.quiet]
        problem = self._problem()
        return {
            "pid": os.getpid(),
            "version": version(),
            "started": self._started,
            "name": self._hub.machine,
            "config_error": problem and str(problem),
            "repositories": [report(worker) for worker in self._workers.values()],
            "transports": [
                {
                    "name": t.name,
                    "state": t.health.state,
                    "since": t.health.since,
                    "error": t.health.error,
                    "remedy": t.health.remedy,
                    "dropped": t.dropped,
                }
                for t in transports
            ],
            "peers": [
                {
                    "name": p.name,
                    "address": p.address,
                    "transport": t.name,
                    "last_heard": p.last_heard,
                    "version": p.version,
                    "repositories": self._paths(p.repositories),
                }
                for t in transports
                for p in t.peers()
            ],
            "fleet": self._vigil.report(self._workers),
        }

    async def _forget(self, request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
        machine = str(request.get("machine"))
        if not self._fleet.forget(machine):
            raise Problem(f"no machine {machine} has been heard of", "autosync status --peers names those that were")
        self._vigil.silent.pop(machine, None)
        return {}

    def _paths(self, ids: Sequence[str]) -> list[str]:
        wanted = set(ids)
        return [str(path) for path, worker in self._workers.items() if wanted & worker.identity.names]

    async def _look(self, request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
        for worker in self._chosen(request):
            worker.fetch_hint()
        return {}

    async def _sync(self, request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
        chosen = self._chosen(request)
        async with asyncio.TaskGroup() as group:
            for worker in chosen:
                group.create_task(worker.sync(progress))
        return {"repositories": [report(worker) for worker in chosen]}

    async def _reload(self, request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
        self._read_again()
        if (problem := self._problem()) is not None:
            raise problem
        return {}

    def _chosen(self, request: dict[str, Any]) -> list[Worker]:
        paths = request.get("paths")
        if paths is None:
            return list(self._workers.values())
        chosen = []
        for text in paths:
            worker = self._workers.get(Path(text))
            if worker is None:
                raise Problem(f"{text} is not in {self._instance.config}", f"add it with: autosync init {typed(text)}")
            chosen.append(worker)
        return chosen
