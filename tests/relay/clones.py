"""Clones of a repository, each with a worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from autosync.common.config import Repo, Settings
from autosync.common.instance import Instance
from autosync.relay.state import Move
from autosync.relay.worker import Worker
from tests.support.git import git

BRANCH = "refs/heads/main"


class Listener:
    """Stands where the hub is."""

    def __init__(self) -> None:
        self.moves: list[Move] = []
        self.conflicts: list = []
        self.offers: list[Move] = []
        self.arrivals: list[tuple[str, str]] = []

    def announce(self, worker, move, kind="pushed"):
        (self.moves if kind == "pushed" else self.offers).append(move)

    def changed(self, worker):
        pass

    def arrived(self, worker, before, after):
        self.arrivals.append((before, after))

    def resolved(self, worker, conflicts):
        self.conflicts += conflicts


class Clone:
    """A clone with a worker; `turn` lets the worker look, plan and act until it rests."""

    def __init__(self, folder: Path, name: str, central: Path, **settings) -> None:
        self.path = folder / name
        git(folder, "clone", "-q", str(central), str(self.path))
        self.settings = Settings.model_construct(**(dict(Settings()) | {"push_delay": 0.0} | settings))
        self.instance = Instance.of(folder / f"{name}.toml")
        self.heard = Listener()
        self.worker: Worker | None = None

    def turn(self, *, fetch: bool = True) -> str:
        """One turn; returns the state's name."""

        async def run() -> None:
            if self.worker is None:
                given = frozenset(Settings.model_fields)
                self.worker = Worker(Repo(self.path, self.settings, given), self.instance, self.heard)
            if fetch:
                self.worker.fetch_hint()
            self.worker._schedule.forget_pauses()
            await self.worker._turn()

        asyncio.run(run())
        assert self.worker is not None
        return self.worker.status.name

    @property
    def reason(self) -> str:
        assert self.worker is not None
        return self.worker.status.reason or ""

    def commit(self, path: str, content: str | None) -> str:
        file = self.path / path
        if content is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        git(self.path, "add", "-A", "--", path)
        git(self.path, "commit", "-qm", path)
        return self.head

    @property
    def head(self) -> str:
        return git(self.path, "rev-parse", "HEAD")

    def read(self, path: str) -> str:
        return (self.path / path).read_text()
