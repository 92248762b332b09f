"""What a worker says of work that takes long: real git that is made to wait."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from autosync.common.config import Repo, Settings
from autosync.relay.worker import Worker
from tests.relay.clones import Clone, Listener
from tests.support.git import git
from tests.support.wait import eventually


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("autosync.common.child.PROGRESS_AFTER", 0.0)
    monkeypatch.setattr("autosync.common.child.PROGRESS_EVERY", 0.01)
    monkeypatch.setattr("autosync.common.progress.QUIET", 0.0)


@pytest.fixture
def clones(tmp_path) -> tuple[Path, Clone, Clone]:
    git(tmp_path, "init", "-q", "--bare", "central.git")
    central = tmp_path / "central.git"
    a, b = Clone(tmp_path, "a", central), Clone(tmp_path, "b", central)
    a.commit("first", "1\n")
    a.turn()
    b.turn()
    os.mkfifo(tmp_path / "gate")
    return central, a, b


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def said(clone: Clone, gate: Path, wanted: str) -> None:
    """Let the clone's worker do its turn; it must say what is wanted while it waits at the gate."""

    async def run() -> None:
        settings = clone.settings
        worker = Worker(Repo(clone.path, settings, frozenset(Settings.model_fields)), clone.instance, Listener())
        turn = asyncio.create_task(worker._turn())
        await eventually(lambda: worker.progress and worker.progress.startswith(wanted), wanted)
        await asyncio.to_thread(gate.write_text, "go on\n")
        await turn
        assert worker.progress is None
        assert worker.status.name == "in sync"

    asyncio.run(run())


def test_a_push_tells_that_it_waits(clones, tmp_path):
    central, a, _ = clones
    script(central / "hooks" / "pre-receive", f"read x <'{tmp_path}/gate'")
    a.commit("more", "1\n")
    said(a, tmp_path / "gate", "pushing to origin, 0 s")


def test_a_fetch_tells_that_it_waits(clones, tmp_path):
    _, a, b = clones
    a.commit("more", "1\n")
    a.turn()
    slow = script(tmp_path / "slow", f"read x <'{tmp_path}/gate'\nexec git-upload-pack \"$@\"")
    git(b.path, "config", "remote.origin.uploadpack", str(slow))
    said(b, tmp_path / "gate", "fetching from origin, 0 s")


def test_a_move_of_the_work_tree_tells_how_far_git_is(clones, tmp_path):
    _, a, b = clones
    for number in range(4):
        (a.path / f"f{number}.slow").write_text(f"{number}\n")
    a.commit(".gitattributes", "*.slow filter=slow\n")
    git(a.path, "add", "-A")
    git(a.path, "commit", "-qm", "more")
    a.turn()
    # the first file passes, the second waits for longer than git waits with its progress, the third at the gate
    count = tmp_path / "count"
    smudge = f"echo x >>'{count}'; case $(wc -l <'{count}') in 2) sleep 1.2;; 4) read x <'{tmp_path}/gate';; esac; cat"
    git(b.path, "config", "filter.slow.smudge", script(tmp_path / "smudge", smudge).as_posix())
    said(b, tmp_path / "gate", "taking in what came: updating files ")
