"""A killed move is put back; what a person had there before it began stays, whatever it looks like."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from autosync.common import checkout, locks
from autosync.common.git import Git
from autosync.common.repository import Repository
from tests.support.git import git


@pytest.fixture
def moved(tmp_path) -> tuple[Repository, str, str]:
    """A repository at `before`, with `after` ready, where `incoming` comes and `old` grows."""
    git(tmp_path, "init", "-q", "r")
    path = tmp_path / "r"
    (path / "old").write_text("one\n")
    git(path, "add", "old")
    git(path, "commit", "-qm", "before")
    before = git(path, "rev-parse", "HEAD")
    (path / "old").write_text("one\ntwo\nthree\n")
    (path / "incoming").write_text("all of it\n")
    git(path, "add", ".")
    git(path, "commit", "-qm", "after")
    after = git(path, "rev-parse", "HEAD")
    git(path, "reset", "-q", "--hard", before)
    repository = Repository.open(path)
    repository.make_own_folders()
    return repository, before, after


def recover(repository: Repository) -> None:
    with locks.locked(repository.lock) as lock:
        checkout.recover(repository, lock)


@pytest.mark.parametrize("content", ["all", ""])
def test_an_untracked_file_that_is_a_beginning_of_what_comes_in_stays(moved, content):
    """git refused the move because of it, and the relay was killed before it could say so."""
    repository, before, after = moved
    mine = Path(repository.path) / "incoming"
    mine.write_text(content)
    checkout.begin(repository, before, after)
    recover(repository)
    assert mine.read_text() == content


@pytest.mark.parametrize("content", ["one\ntwo\n", ""])
def test_an_edit_that_is_a_beginning_of_what_comes_in_stays(moved, content):
    repository, before, after = moved
    mine = Path(repository.path) / "old"
    mine.write_text(content)
    checkout.begin(repository, before, after)
    recover(repository)
    assert mine.read_text() == content


def test_what_git_had_begun_to_write_goes(moved):
    repository, before, after = moved
    checkout.begin(repository, before, after)
    for name, content in (("old", "one\ntwo\n"), ("incoming", "")):
        (repository.path / name).unlink(missing_ok=True)
        (repository.path / name).write_text(content)
    recover(repository)
    assert git(repository.path, "status", "--porcelain") == ""
    assert (repository.path / "old").read_text() == "one\n"


def test_a_cancelled_recovery_keeps_the_lock_until_its_end(moved, monkeypatch):
    repository, before, after = moved
    checkout.begin(repository, before, after)
    begun, free = threading.Event(), threading.Event()
    found = []

    def slow(git: Git, *args: str, **options: Any) -> Any:
        begun.set()
        assert free.wait(30)
        found.append(os.fstat(options["pass_fds"][0]).st_ino)
        return run(git, *args, **options)

    run = Git.run
    monkeypatch.setattr(Git, "run", slow)

    async def cancelled() -> None:
        lock = locks.acquire(repository.lock)
        try:
            await checkout.recovered(repository, lock)
        finally:
            locks.release(lock)

    async def body() -> None:
        task = asyncio.create_task(cancelled())
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        with pytest.raises(locks.Held):
            locks.acquire(repository.lock)
        free.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
    assert set(found) == {repository.lock.stat().st_ino}
    assert checkout.journal(repository) is None
