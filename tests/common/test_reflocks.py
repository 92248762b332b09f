"""Locks of refs: one that a killed git left goes, one that is in use or new stays."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from autosync.common import reflocks
from autosync.common.repository import Repository
from tests.support.git import git
from tests.support.wait import until

NAMES = ("HEAD.lock", "packed-refs.lock", "refs/heads/main.lock", "refs/remotes/origin/deep/er.lock")


@pytest.fixture
def repository(tmp_path) -> Repository:
    git(tmp_path, "init", "-q", "r")
    git(tmp_path / "r", "commit", "-q", "--allow-empty", "-m", "1")
    return Repository.open(tmp_path / "r")


def lock(repository: Repository, name: str, age: float) -> Path:
    path = repository.git_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    when = time.time() - age
    os.utime(path, (when, when))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_an_old_lock_of_nobody_goes(repository, name):
    path = lock(repository, name, 60)
    assert reflocks.drop_dead(repository) == [path]
    assert not path.exists()


def test_a_new_lock_stays(repository):
    path = lock(repository, "HEAD.lock", 1)
    assert reflocks.drop_dead(repository) == []
    assert path.exists()


def test_a_lock_that_somebody_has_open_stays(repository):
    path = lock(repository, "HEAD.lock", 60)
    with path.open():
        assert reflocks.drop_dead(repository) == []


def test_no_lock_goes_while_git_is_at_work_here(repository):
    lock(repository, "HEAD.lock", 60)
    with subprocess.Popen(
        ["git", "cat-file", "--batch"], cwd=repository.path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as at_work:
        until(lambda: Path(f"/proc/{at_work.pid}/comm").read_text().startswith("git"), "git to run")
        assert reflocks.drop_dead(repository) == []
        at_work.stdin.close()
    assert reflocks.drop_dead(repository) != []


def test_the_index_lock_is_not_touched(repository):
    path = lock(repository, "index.lock", 6000)
    assert reflocks.drop_dead(repository) == []
    assert path.exists()
