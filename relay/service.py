"""The relay's service: workers, notes and transports of one configuration, and the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from autosync.common import config, logs
from autosync.common.claims import Claims
from autosync.common.config import Config, Repo
from autosync.common.control import ControlServer
from autosync.common.desktop import Desktop
from autosync.common.errors import Problem
from autosync.common.frugal import give_back
from autosync.common.git import GitError
from autosync.common.instance import Instance
from autosync.common.systemd import ServiceManager, repositories

from . import arrivals, notes
from .announcement import Announcement, Kind
from .carriers import Carriers
from .commands import commands
from .conflict import Conflict
from .fleet import Fleet
from .hub import Hub, soon
from .notes import NoteWatch
from .notices import Notices, Ways
from .requests import Requests
from .state import Move
from .transports.base import Attendant, Subscription, Transport
from .transports.build import build
from .vigil import Vigil
from .wakeups import wakeups
from .worker import Worker

_log = logging.getLogger(__name__)
#: Seconds a push by hand is followed.
_FOLLOW_LIMIT = 6 * 3600.0
#: Seconds from a start, or a new configuration, until memory is given back.
_TIDY = 30.0
#: Seconds between the appearance of a folder that matches a pattern and the look for a repository in it.
_NEW_REPOSITORY = 1.0


class Service:
    """Runs until cancelled. Each repository and each transport is a task of its own."""

    def __init__(self, instance: Instance, manager: ServiceManager) -> None:
        self._instance = instance
        self._manager = manager
        self._config, self._repos = config.load(instance.config)
        self._hub = Hub(self._config.name, self._subscribed, self._spoken)
        self._carriers: Carriers | None = None
        self._desktop = Desktop()
        self._notices = Notices(self._ways())
        self._workers: dict[Path, Worker] = {}
        self._fleet = Fleet(instance.state / "fleet.json")
        self._vigil = Vigil(self._fleet, lambda: self._hub, self._workers.values, self._notices.silent)
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._claims = Claims()
        self._beside: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._watch: NoteWatch | None = None
        self._watched: set[Path] = set()
        self._config_problem: Problem | None = None
        self._reload_timer: asyncio.TimerHandle | None = None
        self._reload_due: float | None = None

    async def run(self) -> None:
        """Serve. Raises Problem for what the person has to mend first."""
        transports = build(self._config, self._instance)
        try:
            self._watch = NoteWatch()
        except OSError as error:
            raise Problem(
                f"no inotify instance is left ({error.strerror})",
                "sudo sysctl fs.inotify.max_user_instances=512",
            ) from error
        requests = Requests(
            self._instance,
            self._workers,
            self._hub,
            self._fleet,
            self._vigil,
            self.reload,
            lambda: self._config_problem,
        )
        try:
            control = ControlServer(self._instance.socket("relay"), requests.handlers(), self._instance.state)
            async with asyncio.TaskGroup() as group, control:
                self._group = group
                self._carriers = Carriers(group, self._hub, self._instance.state)
                self._watch_configuration()
                self._watch_patterns()
                self._apply(self._config, self._repos)
                self._start_transports(transports)
                group.create_task(self._vigil.run(), name="vigil")
                _log.info("relay of %s, %s", self._config.name, repositories("keeping", len(self._repos), 0))
                with wakeups(self._woken):
                    await asyncio.Event().wait()
        finally:
            self._watch.close()
            self._fleet.save()
            await self._desktop.close()

    def _woken(self) -> None:
        for worker in self._workers.values():
            soon(worker.retry)
        if self._carriers is not None:
            self._carriers.retry()

    def _subscribed(self, subscriptions: Sequence[Subscription]) -> None:
        if self._carriers is not None:
            self._carriers.follow(subscriptions)

    # configuration -----------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read the configuration again; a wrong one leaves everything as it is."""
        try:
            read, repos = config.load(self._instance.config)
            sections = ("name", "transports")
            others = any(getattr(self._config, s) != getattr(read, s) for s in sections)
            transports = build(read, self._instance) if others else None
        except Problem as problem:
            self._config_problem = problem
            _log.error("the configuration is left as it was: %s", problem)
            return
        self._config_problem = None
        if (read, repos) == (self._config, self._repos):
            return
        self._apply(read, repos)
        self._watch_patterns()
        if transports is not None:
            self._start_transports(transports)
        self._notices.reached_by(self._ways())
        for transport in self._hub.transports:
            self._offer_commands(transport)
        _log.info("configuration read again, %s", repositories("keeping", len(repos), 0))

    def _watch_configuration(self) -> None:
        assert self._watch is not None
        for place in config.places(self._instance.config):
            with contextlib.suppress(OSError):  # what a link leads to is not there
                self._watch.add(place.parent, place, partial(self._config_written, place.name))

    def _watch_patterns(self) -> None:
        """Repositories that come to match a pattern in the configuration, and those that go, are noticed."""
        assert self._watch is not None
        for folder in config.pattern_folders(self._config, self._instance.config):
            try:
                self._watch.add(folder, folder, self._repositories_changed, entries=True)
            except OSError as error:
                _log.warning("new repositories in %s are not noticed (%s)", folder, error.strerror)

    def _repositories_changed(self, name: str) -> None:
        # git is still at work in it, and many may come at once: one look for all that come meanwhile
        due = asyncio.get_running_loop().time() + _NEW_REPOSITORY
        if self._reload_timer is None:
            self._reload_timer = asyncio.get_running_loop().call_at(due, self._reload_for_repositories)
        else:
            self._reload_due = due

    def _reload_for_repositories(self) -> None:
        due, self._reload_due, self._reload_timer = self._reload_due, None, None
        if due is not None:
            self._reload_timer = asyncio.get_running_loop().call_at(due, self._reload_for_repositories)
        self.reload()

    def _config_written(self, file: str, name: str) -> None:
        if name in (file, ""):
            self._watch_configuration()  # a link may be another
            self.reload()

    def _ways(self) -> Ways:
        self._desktop.wanted = self._config.notify.desktop
        return Ways(self._config.notify, self._config.name, self._desktop, self._hub.tell, self._instance.config)

    def _apply(self, read: Config, repos: list[Repo]) -> None:
        self._config, self._repos = read, repos
        self._claims.configured = {repo.path for repo in repos}
        wanted = {repo.path: repo for repo in repos}
        for path, worker in list(self._workers.items()):
            if wanted.get(path) != worker.repo:
                self._stop(path)
        for path, repo in wanted.items():
            if path not in self._workers:
                self._start(repo)
        self._hub.set_workers(self._workers.values())
        # many first looks at once leave much behind
        asyncio.get_running_loop().call_later(_TIDY, give_back)
        self._tell_manager()

    def _tell_manager(self) -> None:
        """Ready is when each repository has been looked at, which needs no network."""
        workers = self._workers.values()
        if any(worker.seen is None and worker.failure is None for worker in workers):
            return
        trouble = sum(worker.status.name in ("held", "error") for worker in workers)
        self._manager.ready(repositories("keeping", len(workers), trouble))

    def _start(self, repo: Repo) -> None:
        assert self._group is not None
        worker = Worker(repo, self._instance, self, claims=self._claims)
        self._workers[repo.path] = worker
        self._tasks[repo.path] = self._group.create_task(
            worker.run(), name=f"worker {repo.path}", context=logs.about(repo.path)
        )

    def _stop(self, path: Path) -> None:
        assert self._watch is not None
        self._tasks.pop(path).cancel()
        del self._workers[path]
        self._claims.release(path)
        self._watch.remove(path)
        self._watched.discard(path)
        self._notices.gone(path)

    def _start_transports(self, transports: list[Transport]) -> None:
        assert self._carriers is not None
        self._hub.machine = self._config.name
        for transport in transports:
            self._offer_commands(transport)
        self._carriers.replace(transports)

    def _offer_commands(self, transport: Transport) -> None:
        """Let persons ask for what the control socket offers, over a transport that carries such questions."""
        if isinstance(transport, Attendant):
            offered = commands(self._instance, self._config.name, lambda: list(self._workers.values()))
            transport.offer(offered, self._config.notify.xmpp)

    # a worker's herald --------------------------------------------------------------------------------

    def announce(self, worker: Worker, move: Move, kind: Kind = "pushed") -> None:
        if kind == "pushed":
            self._fleet.pushed(worker.repo.path, move.ref, move.commit)
        self._hub.announce(worker, move, kind)

    def _spoken(self, announcement: Announcement, worker: Worker) -> None:
        self._vigil.heard(announcement, worker, self._aside)

    def changed(self, worker: Worker) -> None:
        path = worker.repo.path
        if worker.repository is not None and path not in self._watched:
            self._watch_notes(worker)
        self._hub.changed(worker)
        by_hand = worker.seen is not None and worker.seen.operation is not None
        self._notices.status(path, worker.status, by_hand=by_hand, told=worker.repo.settings.pull == "notify")
        self._vigil.rested(worker)
        self._tell_manager()

    def arrived(self, worker: Worker, before: str, after: str) -> None:
        if self._notices.tells_of_files and self._group is not None:
            self._aside(self._tell_of_files(worker, before, after))

    async def _tell_of_files(self, worker: Worker, before: str, after: str) -> None:
        assert worker.repository is not None
        try:
            found = await arrivals.arrival(worker.repository.git, before, after, self._config.name)
        except (GitError, OSError) as error:
            _log.info("%s: what came cannot be told (%s)", worker.repo.path, error)
            return
        self._notices.arrived(worker.repo.path, found)

    def resolved(self, worker: Worker, conflicts: tuple[Conflict, ...]) -> None:
        self._notices.conflicts(worker.repo.path, conflicts)
        for conflict in conflicts:
            other = f"; the other version is {conflict.copy}" if conflict.copy else ""
            _log.warning("%s: %s: %s%s", worker.repo.path, conflict.path, conflict.what, other)

    # notes ------------------------------------------------------------------------------------------

    def _watch_notes(self, worker: Worker) -> None:
        assert worker.repository is not None
        assert self._watch is not None
        folder, path = worker.repository.notes_dir, worker.repo.path
        try:
            self._watch.add(folder, path, partial(self._noted, worker, folder))
        except OSError as error:
            _log.warning("%s: hooks' notes are not noticed at once (%s)", path, error.strerror)
            return
        self._watched.add(path)
        if not worker.repository.bare:
            # a branch moves a moment before the hook has run, and where none runs at all; branches in folders of
            # their own, and other kinds of ref storage, are left to the hooks
            with contextlib.suppress(OSError):
                self._watch.add(worker.repository.common_dir / "refs" / "heads", path, partial(self._moved, worker))
        # what was noted before the watch gave no event
        worker.hint()

    def _moved(self, worker: Worker, name: str) -> None:
        if not name.endswith(".lock"):
            worker.hint()

    def _noted(self, worker: Worker, folder: Path, name: str) -> None:
        if not name:
            # taken away with the hooks, or with the repository: what is there at the next look is watched
            self._watched.discard(worker.repo.path)
            worker.reopen()
        worker.hint()
        if name.startswith("pre-push."):
            found = notes.parse_push(notes.read_note(folder / name))
            if found is not None and self._group is not None:
                self._aside(self._follow(worker, found))

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None
        task = self._group.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _follow(self, worker: Worker, found: notes.PushNote) -> None:
        await notes.ended(found.pid, _FOLLOW_LIMIT)
        upstream = worker.seen.upstream if worker.seen else None
        if upstream is not None and found.remote != upstream.remote:
            # by URL, or to another remote: git may have recorded nothing that we look at
            for commit, ref in found.updates:
                worker.expect(ref, commit)
        worker.hint()
