"""What a person may ask of the relay from afar."""

from __future__ import annotations

import asyncio

import pytest

from autosync.common.config import Repo, Settings
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.repository import Repository
from autosync.relay.commands import commands
from autosync.relay.worker import Worker
from tests.support.git import git
from tests.support.wait import eventually


class Herald:
    def announce(self, *_): ...

    def changed(self, *_): ...

    def arrived(self, *_): ...

    def resolved(self, *_): ...


@pytest.fixture
def clone(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "central.git")
    git(tmp_path, "clone", "-q", "central.git", "notes")
    folder = tmp_path / "notes"
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    git(folder, "push", "-q", "-u", "origin", "main")
    return folder


def ask(clone, tmp_path, *names):
    """What each command says, in turn, and the worker."""

    async def scenario():
        instance = Instance(tmp_path / "config.toml")
        worker = Worker(Repo(clone, Settings(), frozenset()), instance, Herald())
        task = asyncio.create_task(worker.run())
        try:
            await eventually(lambda: worker.status.name != "waiting", "a first look")
            offered = {c.name: c for c in commands(instance, "laptop", lambda: [worker])}
            answers = [await offered[name].run() for name in names]
            if names[-1] in ("pause", "resume"):
                paused = names[-1] == "pause"
                await eventually(lambda: (worker.status.name == "paused") == paused, "the worker to follow")
            return answers
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(scenario())


def test_status_says_how_each_repository_is(clone, tmp_path):
    (said,) = ask(clone, tmp_path, "status")
    assert said.startswith("laptop: 1 repository\n")
    assert str(clone) in said


def test_sync_pushes_and_says_how_it_went(clone, tmp_path):
    git(clone, "commit", "-q", "--allow-empty", "-m", "second")
    (said,) = ask(clone, tmp_path, "sync")
    assert "in sync" in said
    assert git(tmp_path / "central.git", "rev-parse", "main") == git(clone, "rev-parse", "main")


def test_pause_and_resume(clone, tmp_path):
    assert ask(clone, tmp_path, "pause") == ["laptop: 1 repository paused"]
    assert Repository.open(clone).paused
    assert ask(clone, tmp_path, "resume", "resume") == ["laptop: 1 repository goes on"] * 2
    assert not Repository.open(clone).paused


def test_a_repository_that_is_gone_is_told_of(clone, tmp_path):
    async def scenario():
        instance = Instance(tmp_path / "config.toml")
        worker = Worker(Repo(tmp_path / "elsewhere", Settings(), frozenset()), instance, Herald())
        offered = {c.name: c for c in commands(instance, "laptop", lambda: [worker])}
        with pytest.raises(Problem, match="elsewhere"):
            await offered["pause"].run()
        assert "elsewhere" in await offered["status"].run()

    asyncio.run(scenario())
