"""One look, plan and act for one repository, without a service: for `--once` and for hooks that have no relay."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autosync.common import config, locks
from autosync.common.config import Repo, Settings
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.progress import accompanied
from autosync.common.repository import Repository

from .announcement import Kind
from .conflict import Conflict
from .hub import Hub
from .memory import Memory
from .report import report
from .state import Move
from .transports.base import Transport
from .transports.build import build
from .worker import Worker

_log = logging.getLogger(__name__)
#: Seconds for a transport to come online, and to hand over what was announced.
_ONLINE_LIMIT = 20.0


async def run(instance: Instance, path: Path, show: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Bring the repository at ``path`` in sync as far as possible and announce what moved; returns its report.
    ``show`` gets words on how far it is, where that takes long.

    A repository that the configuration does not name gets the defaults. Two runs for one repository do not
    overlap: the second leaves a mark by which the first goes round once more. Raises Problem.
    """
    repository = Repository.open(path)
    repository.make_own_folders()
    _find_state(instance, repository)
    again = repository.tree_dir / "once-again"
    _leave(again)
    found: dict[str, Any] = {}
    # asked once more after the lock is given up: the mark may have come in between
    while again.exists():
        with _alone(repository) as alone:
            if not alone:
                break
            again.unlink(missing_ok=True)
            found = await _run(instance, repository, show)
    return found


def _find_state(instance: Instance, repository: Repository) -> None:
    """An account that a web server lets push has no home to write into, as a rule: what would be there is kept in the
    repository then."""
    try:
        instance.operations  # noqa: B018 - makes the folder
    except Problem:
        os.environ["XDG_STATE_HOME"] = os.fspath(repository.own_dir / f"state-{os.geteuid()}")


def _leave(mark: Path) -> None:
    """Make a file that all who share the repository can make as well."""
    descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        locks.share(descriptor, mark.parent)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _alone(repository: Repository) -> Iterator[bool]:
    """Whether this is the only one-shot run for the repository; a running one sees the mark and goes round again."""
    try:
        descriptor = locks.acquire(repository.tree_dir / "once.lock")
    except locks.Held:
        yield False
        return
    try:
        yield True
    finally:
        # hooks start no other run while the lock names one that will look again: this one will not
        os.ftruncate(descriptor, 0)
        locks.release(descriptor)


async def _run(instance: Instance, repository: Repository, show: Callable[[str], None]) -> dict[str, Any]:
    path = repository.path
    settings, repos = config.load(instance.config) if instance.config.exists() else (config.Config(), [])
    repo = next((r for r in repos if r.path == path), None) or Repo(path, Settings(), frozenset())
    hub = Hub(settings.name)
    # who pushes next may be another account, and has to know what was announced
    memory = Memory(repository.announced, _mode_of(repository)) if repository.bare else None
    worker = Worker(repo, instance, _Herald(hub), memory=memory)
    transports = build(settings, instance)
    hub.set_transports(transports)
    hub.set_workers([worker])
    tasks = [asyncio.create_task(transport.run(hub)) for transport in transports]

    def tell() -> None:
        if worker.progress is not None:
            show(f"{path}: {worker.progress}")

    try:
        await accompanied(worker.once(), tell)
        await _told(hub, transports)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return report(worker)


def _mode_of(repository: Repository) -> int:
    """The permissions of a file that the repository is shared by."""
    return 0o600 | (stat.S_IMODE(repository.own_dir.stat().st_mode) & 0o060)


async def _told(hub: Hub, transports: list[Transport]) -> None:
    """Wait until what the worker announced has gone out, as far as a transport can be reached in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _ONLINE_LIMIT
    for transport in transports:
        # a transport's health has no event to wait for
        while hub.has_untold(transport.name) and transport.health.state != "failed" and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.1, end - loop.time())):
                await transport.flush()


class _Herald:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def announce(self, worker: Worker, move: Move, kind: Kind = "pushed") -> None:
        self._hub.announce(worker, move, kind)

    def changed(self, worker: Worker) -> None:
        self._hub.changed(worker)

    def arrived(self, worker: Worker, before: str, after: str) -> None:
        """Nobody is shown anything: a one-shot run ends before anybody could press a button."""

    def resolved(self, worker: Worker, conflicts: tuple[Conflict, ...]) -> None:
        for conflict in conflicts:
            _log.warning("%s: %s: %s", worker.repo.path, conflict.path, conflict.what)


def checked(found: dict[str, Any]) -> None:
    """Raises Problem when a report tells of something that the person has to mend."""
    if found and found["state"] in ("error", "offline", "held", "diverged", "no upstream"):
        raise Problem(f"{found['path']}: {found['reason']}", found["remedy"])
