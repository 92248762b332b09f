"""All repositories in one process: workers come and go with the configuration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from autosync.common import inotify, logs
from autosync.common.config import Repo, load, places
from autosync.common.control import ControlServer
from autosync.common.desktop import Desktop
from autosync.common.errors import Problem
from autosync.common.inotify import Inotify
from autosync.common.instance import Instance
from autosync.common.operations import OperationLog
from autosync.common.progress import accompanied
from autosync.common.systemd import ServiceManager, repositories
from autosync.common.version import version

from . import mounts
from .identity import Identity
from .notices import Notices
from .serving import Service
from .worker import Worker

_log = logging.getLogger(__name__)


class Watcher:
    """The watcher of one instance."""

    def __init__(self, instance: Instance, manager: ServiceManager) -> None:
        """Reads the configuration. Raises Problem."""
        self._instance = instance
        self._manager = manager
        self._started = time.time()
        config, self._repos = load(instance.config)
        self._desktop = Desktop()
        self._desktop.wanted = config.notify.desktop
        self._service = Service(
            Identity.here(config.name),
            OperationLog(instance.operations),
            Notices(self._desktop, instance.config),
            instance.state,
            changed=self._tell_manager,
        )
        self._workers: dict[Path, tuple[Worker, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        handlers = {
            "status": self._status,
            "look": self._look,
            "reload": self._reload_command,
            "commit": self._commit,
            "confirm-deletions": self._confirm_deletions,
            "describe": self._describe,
        }
        async with ControlServer(self._instance.socket("watcher"), handlers, self._instance.state):
            with self._noticing_configuration(), mounts.noticing(self._look_at_all):
                try:
                    self._apply(self._repos)
                    await asyncio.get_running_loop().create_future()
                finally:
                    await self._stop([task for _, task in self._workers.values()])
                    await self._desktop.close()

    def reload(self) -> None:
        """Read the configuration again; a mistake in it leaves everything as it was."""
        try:
            self._read_again()
        except Problem as problem:
            _log.error("%s", problem)

    def _read_again(self) -> None:
        config, repos = load(self._instance.config)
        identity = Identity.here(config.name)
        renamed = identity != self._service.identity
        self._service = replace(self._service, identity=identity)
        self._desktop.wanted = config.notify.desktop
        self._apply(repos, all_anew=renamed)

    def _apply(self, repos: list[Repo], all_anew: bool = False) -> None:
        """Start and end workers so that each of ``repos`` has one with its settings."""
        wanted = {repo.path: repo for repo in repos}
        self._service.claims.configured = wanted.keys()
        for path, (worker, task) in list(self._workers.items()):
            if all_anew or wanted.get(path) != worker.repo:
                del self._workers[path]
                task.cancel()
                self._service.claims.release(path)
                self._service.notices.gone(path)
        for path, repo in wanted.items():
            if path not in self._workers:
                worker = Worker(repo, self._service)
                task = asyncio.create_task(worker.run(), name=f"watch {path}", context=logs.about(path))
                self._workers[path] = worker, task
        self._tell_manager()

    def _tell_manager(self) -> None:
        """Ready is when each repository is watched, or has a reason why not."""
        conditions = [worker.condition for worker, _ in self._workers.values()]
        if any(condition.starting for condition in conditions):
            return
        trouble = sum(condition.state in ("error", "polling") for condition in conditions)
        self._manager.ready(repositories("watching", len(conditions), trouble))

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.contextmanager
    def _noticing_configuration(self) -> Iterator[None]:
        """Reload by itself when the configuration file is replaced or written."""
        loop = asyncio.get_running_loop()
        try:
            watches = Inotify()
        except OSError as error:
            _log.warning("changes of the configuration are not noticed (%s): send SIGHUP", error.strerror)
            yield
            return
        with contextlib.closing(watches):
            names: dict[int, set[bytes]] = {}

            def look() -> None:
                for place in places(self._instance.config):
                    with contextlib.suppress(OSError):  # what the link leads to is not there
                        watch = watches.watch(os.fsencode(place.parent), inotify.CLOSE_WRITE | inotify.MOVED_TO)
                        names.setdefault(watch, set()).add(os.fsencode(place.name))

            def readable() -> None:
                if any(event.name in names.get(event.watch, ()) for event in list(watches.read())):
                    look()  # the link may be another
                    self.reload()

            look()
            loop.add_reader(watches.fileno(), readable)
            try:
                yield
            finally:
                loop.remove_reader(watches.fileno())

    def _look_at_all(self) -> None:
        for worker, _ in self._workers.values():
            worker.look()

    # -- control commands --------------------------------------------------------------------

    async def _status(self, _request: dict[str, Any], _progress: Callable[[str], None]) -> Any:
        return {
            "pid": os.getpid(),
            "version": version(),
            "started": self._started,
            "repositories": [worker.status() for worker, _ in self._workers.values()],
        }

    async def _look(self, _request: dict[str, Any], _progress: Callable[[str], None]) -> Any:
        self._look_at_all()
        return {}

    async def _reload_command(self, _request: dict[str, Any], _progress: Callable[[str], None]) -> Any:
        self._read_again()
        return {}

    async def _commit(self, request: dict[str, Any], progress: Callable[[str], None]) -> Any:
        workers = self._chosen(request)

        def tell() -> None:
            for worker in workers:
                if worker.progress is not None:
                    progress(f"{worker.repo.path}: {worker.progress}")

        outcomes = await accompanied(asyncio.gather(*(worker.commit_now() for worker in workers)), tell)
        answers = []
        for worker, outcome in zip(workers, outcomes, strict=True):
            status = worker.status()
            made = outcome.operation if outcome is not None else None
            answers.append(
                {"commit": made.after if made is not None else None}
                | {key: status[key] for key in ("path", "state", "reason", "remedy")}
            )
        return {"repositories": answers}

    async def _confirm_deletions(self, request: dict[str, Any], _progress: Callable[[str], None]) -> Any:
        for worker in self._chosen(request):
            worker.confirm_deletions()
        return {}

    async def _describe(self, request: dict[str, Any], _progress: Callable[[str], None]) -> Any:
        (worker,) = self._chosen(request)
        return {"taken": worker.describe(str(request.get("message", "")))}

    def _chosen(self, request: dict[str, Any]) -> list[Worker]:
        """The workers that a request is about. Raises Problem for a path that is not configured."""
        paths = request.get("paths")
        if paths is None:
            return [worker for worker, _ in self._workers.values()]
        if not isinstance(paths, list):
            raise Problem("the request is not understood", "is a newer autosync installed? restart the service")
        chosen = []
        for path in paths:
            found = self._workers.get(Path(os.path.normpath(str(path))))
            if found is None:
                raise Problem(f"{path} is not in {self._instance.config}", "name a configured repository")
            chosen.append(found[0])
        return chosen
