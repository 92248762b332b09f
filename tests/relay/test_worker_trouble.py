"""Trouble with the remote: what is said of it, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Callable

from autosync.common.config import Repo
from autosync.relay.worker import Worker
from tests.relay.clones import BRANCH
from tests.support.git import git


def test_a_hook_that_rejects_is_shown_with_its_words(two, central):
    a, _ = two
    hook = central / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'no secrets here, please' >&2\nexit 1\n")
    hook.chmod(0o755)
    a.commit("f", "1\n")
    assert a.turn() == "error"
    assert "no secrets here, please" in a.reason
    hook.unlink()
    assert a.turn() == "in sync"


def test_the_persons_own_hook_before_a_push_runs_and_may_say_no(two, central):
    a, _ = two
    hook = a.path / ".git/hooks/pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ncat >pushed-refs\n[ ! -e no ] || { echo 'the tests fail'; exit 1; }\n")
    hook.chmod(0o755)
    (a.path / ".git/info").mkdir(exist_ok=True)
    (a.path / ".git/info/exclude").write_text("no\npushed-refs\n")
    (a.path / "no").touch()
    before = git(central, "rev-parse", BRANCH)
    head = a.commit("f", "1\n")
    assert a.turn() == "error"
    assert "pre-push" in a.reason
    assert git(central, "rev-parse", BRANCH) == before
    (a.path / "no").unlink()
    assert a.turn() == "in sync"
    assert git(central, "rev-parse", BRANCH) == head
    assert f"{BRANCH} {head} {BRANCH} {before}" in (a.path / "pushed-refs").read_text()


def test_a_push_that_was_too_large_goes_on_when_the_file_is_taken_out(two, central):
    a, _ = two
    git(central, "config", "receive.maxInputSize", "20000")
    before = a.head
    git(a.path, "config", "core.compression", "0")
    a.commit("large", "x" * 100000)
    assert a.turn() == "error"
    assert "exceeds" in a.reason
    assert "large file" in a.worker.status.remedy
    pushed_from = a.worker._schedule.push_from
    assert pushed_from > a.worker._clock() + 100

    def by_itself() -> str:
        async def run() -> None:
            a.worker.hint()
            await a.worker._turn()

        asyncio.run(run())
        return a.worker.status.name

    # a further commit changes nothing, another history does
    a.commit("small", "1\n")
    assert by_itself() == "error"
    git(a.path, "reset", "-q", "--soft", before)
    git(a.path, "reset", "-q", "large")
    (a.path / "large").rename(a.path.parent / "large")
    git(a.path, "commit", "-qm", "without")
    assert by_itself() == "in sync"
    assert git(central, "rev-parse", BRANCH) == a.head


def test_an_unreachable_remote_is_offline_and_comes_back(two, central):
    a, _ = two
    head = a.commit("f", "1\n")
    central.rename(central.with_suffix(".away"))
    assert a.turn() == "error"
    assert "central.git" in a.reason
    central.with_suffix(".away").rename(central)
    assert a.turn() == "in sync"
    assert git(central, "rev-parse", BRANCH) == head


def test_a_fetch_that_this_machine_has_no_means_for_is_still_due(two, monkeypatch):
    a, b = two
    head = a.commit("f", "1\n")
    a.turn()
    start = subprocess.Popen

    def none(argv, **keys):
        if "fetch" in argv:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return start(argv, **keys)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", none)
        assert b.turn() == "error"
    assert b.turn(fetch=False) == "in sync"
    assert b.head == head


def test_a_race_is_fetched_merged_and_pushed_again(two):
    a, b = two
    a.turn(fetch=False)
    b.commit("from-b", "1\n")
    b.turn()
    a.commit("from-a", "1\n")
    # without a fetch: the push is rejected, and the turn goes on from there by itself
    ours, theirs = a.head, b.head
    assert a.turn(fetch=False) in ("in sync", "syncing", "ahead")
    assert a.turn() == "in sync"
    assert a.read("from-b") == "1\n"
    assert a.heard.arrivals == [(ours, theirs)]


def test_a_lock_that_a_killed_git_has_left_at_the_remote_is_shown(two, central):
    a, _ = two
    head = a.commit("f", "1\n")
    lock = central / f"{BRANCH}.lock"
    lock.touch()
    now = [1000.0]
    worker = Worker(Repo(a.path, a.settings, frozenset()), a.instance, a.heard, clock=lambda: now[0])

    async def turns(ended: Callable[[], bool]) -> None:
        while not ended() and now[0] < 1300.0:
            now[0] = await worker._turn() + 0.001

    asyncio.run(turns(lambda: worker.failure is not None or now[0] > 1002.0))
    assert worker.failure is None  # as a rule it is somebody else's push, and over in a moment
    asyncio.run(turns(lambda: worker.failure is not None))
    assert "main.lock" in worker.status.reason
    assert f"remove {central}" in worker.status.remedy
    lock.unlink()
    asyncio.run(turns(lambda: worker.status.name == "in sync"))
    assert git(central, "rev-parse", BRANCH) == head
    assert worker.failure is None
