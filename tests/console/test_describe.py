"""`autosync describe`: which commits get other words, and that nothing else changes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from autosync.common import locks
from autosync.common.config import Repo, Settings
from autosync.common.repository import Repository
from autosync.relay.worker import Worker
from tests.console.fake import running
from tests.console.test_history import automatic
from tests.relay.clones import Listener
from tests.support.git import git
from tests.support.wait import eventually, until


def subjects(machine) -> list[str]:
    return git(machine.notes, "log", "--format=%s").split("\n")


def test_the_newest_automatic_commits_get_the_message_and_keep_the_rest(machine):
    git(machine.notes, "commit", "-q", "--allow-empty", "-m", "by hand")
    automatic(machine, "a", "1\n")
    git(machine.notes, "-c", "user.name=Ren\u00e9", "commit", "-q", "--allow-empty", "--date=@1700000000 +0300",
        "-m", '"b" edited\n\nedited b\n\nAutosync-Machine: laptop\nAutosync-User: rene')  # fmt: skip
    before = git(machine.notes, "log", "--format=%T %an %ae %ad")
    (machine.notes / "a").write_text("uncommitted\n")
    (machine.notes / "staged").write_text("staged\n")
    git(machine.notes, "add", "staged")
    status, index = git(machine.notes, "status", "--porcelain"), (machine.notes / ".git/index").stat()
    code, out, err = machine.run("describe", machine.notes, "Plan f\u00fcr den Sommer\n\nwith details")
    assert (code, err) == (0, ""), err
    assert (machine.notes / ".git/index").stat().st_ino == index.st_ino
    assert "2 commits reworded" in out
    assert subjects(machine) == ["Plan f\u00fcr den Sommer"] * 2 + ["by hand", "first"]
    assert git(machine.notes, "log", "-1", "--format=%B").rstrip() == (
        "Plan f\u00fcr den Sommer\n\nwith details\n\nedited b\n\nAutosync-Machine: laptop\nAutosync-User: rene"
    )
    assert git(machine.notes, "log", "--format=%T %an %ae %ad") == before
    assert git(machine.notes, "status", "--porcelain") == status
    assert (machine.notes / "a").read_text() == "uncommitted\n"
    assert git(machine.notes, "reflog", "-1", "--format=%gs") == "autosync describe: Plan f\u00fcr den Sommer"
    # once more: they are still automatic
    assert machine.run("describe", machine.notes / "a", "Plan")[0] == 0
    assert subjects(machine)[:2] == ["Plan", "Plan"]
    code, out, _ = machine.run("log")
    assert "describe" in out


def pushed(machine):
    git(machine.notes, "push", "-q")


def amended(machine):
    git(machine.notes, "commit", "-q", "--amend", "-m", "mine\n\nAutosync-Machine: laptop")


def own_on_top(machine):
    git(machine.notes, "commit", "-q", "--allow-empty", "-m", "by hand")


def tagged(machine):
    git(machine.notes, "tag", "v1")


def branched(machine):
    git(machine.notes, "branch", "other")


def detached(machine):
    git(machine.notes, "switch", "-q", "--detach")


def rebasing(machine):
    (machine.notes / ".git/rebase-merge").mkdir()


def direct(machine):
    machine.config.write_text(machine.config.read_text() + "direct = true\n")


@pytest.mark.parametrize("what", [pushed, amended, own_on_top, tagged, branched, detached, rebasing, direct])
def test_what_others_have_or_a_person_made_stays_as_it_is(machine, what):
    automatic(machine, "a", "1\n")
    what(machine)
    before = git(machine.notes, "for-each-ref")
    code, _, err = machine.run("describe", machine.notes, "other words")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert git(machine.notes, "for-each-ref") == before


def test_only_what_is_above_the_pushed_commit_is_reworded(machine):
    automatic(machine, "a", "1\n")
    pushed(machine)
    kept = git(machine.notes, "rev-parse", "HEAD")
    automatic(machine, "a", "2\n")
    assert machine.run("describe", machine.notes, "other words")[0] == 0
    assert git(machine.notes, "rev-parse", "HEAD~") == kept


def test_a_branch_of_a_similar_name_does_not_count(machine):
    git(machine.notes, "branch", "main2")
    automatic(machine, "a", "1\n")
    git(machine.notes, "switch", "-q", "-c", "topic/main")
    automatic(machine, "a", "2\n")
    assert machine.run("describe", machine.notes, "other words")[0] == 0
    assert subjects(machine)[:2] == ["other words", '"a" edited']


def test_the_first_commit_of_all_is_reworded_too(machine):
    git(machine.notes, "switch", "-q", "--orphan", "fresh")
    automatic(machine, "a", "1\n")
    assert machine.run("describe", machine.notes, "begin")[0] == 0
    assert subjects(machine) == ["begin"]


def test_an_empty_message_is_refused(machine):
    code, _, err = machine.run("describe", machine.notes, " \n")
    assert (code, "the message is empty" in err) == (1, True)


def test_it_waits_for_a_push_under_way_and_finds_the_commit_pushed(machine):
    repository = Repository.open(machine.notes)
    repository.make_own_folders()
    automatic(machine, "a", "1\n")
    lock = locks.acquire(repository.push_lock)
    outcome: list[int] = []
    describing = threading.Thread(target=lambda: outcome.append(machine.run("describe", machine.notes, "late")[0]))
    describing.start()
    until(lambda: _locked(repository), "the rewording to have the repository's lock")
    pushed(machine)
    locks.release(lock)
    describing.join()
    assert outcome == [1]
    assert subjects(machine)[0] == '"a" edited'


def _locked(repository) -> bool:
    try:
        locks.release(locks.acquire(repository.lock))
    except locks.Held:
        return True
    return False


def test_the_relay_pushes_after_a_rewording_under_way(machine):
    repository = Repository.open(machine.notes)
    repository.make_own_folders()
    automatic(machine, "a", "1\n")

    async def run() -> None:
        settings = Settings.model_validate({"push-delay": 0.0})
        worker = Worker(Repo(machine.notes, settings, frozenset(Settings.model_fields)), machine.instance, Listener())
        with locks.locked(repository.push_lock):
            turn = asyncio.create_task(worker.run())
            await eventually(lambda: worker._turns and worker.status.name == "ahead", "the first turn")
            assert git(machine.central, "log", "-1", "--format=%s", "main") == "first"
            assert worker.failure is None
        await eventually(lambda: worker.status.name == "in sync", "the push")
        turn.cancel()

    asyncio.run(run())
    assert git(machine.central, "log", "-1", "--format=%s", "main") == '"a" edited'


def test_a_message_for_a_commit_that_waits_goes_to_the_watcher(machine):
    automatic(machine, "a", "1\n")
    with running(machine.instance, "watcher", {"describe": {"taken": True}}) as watcher:
        code, out, _ = machine.run("describe", machine.notes, "what it is")
        assert (code, "the commit that waits" in out) == (0, True)
        assert watcher.asked == [{"command": "describe", "paths": [str(machine.notes)], "message": "what it is"}]
    assert subjects(machine)[0] == '"a" edited'
