"""What lies in the way of a move of the work tree is kept, and the move waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from autosync.common import checkout
from autosync.common.config import Repo, Settings
from autosync.common.repository import Repository
from autosync.relay.worker import Worker
from tests.relay.clones import Clone
from tests.support.git import git


def test_an_uncommitted_edit_in_the_way_waits_for_its_commit(two):
    a, b = two
    a.commit("first", "from a\n")
    a.turn()
    (b.path / "first").write_text("not yet committed\n")
    assert b.turn() == "waiting"
    assert "first" in b.reason
    assert b.read("first") == "not yet committed\n"
    git(b.path, "commit", "-qam", "now it is")
    assert b.turn() == "in sync"
    contents = {p.read_text() for p in b.path.glob("first*")}
    assert contents == {"from a\n", "not yet committed\n"}


@pytest.mark.parametrize("ignored", [False, True])
def test_an_untracked_or_ignored_file_in_the_way_is_kept(two, ignored):
    a, b = two
    if ignored:
        (b.path / ".git/info/exclude").write_text("precious\n")
    (b.path / "precious").write_text("mine\n")
    a.commit("precious", "theirs\n")
    a.turn()
    assert b.turn() == "waiting"
    assert "precious" in b.reason
    assert b.read("precious") == "mine\n"
    (b.path / "precious").unlink()
    assert b.turn() == "in sync"
    assert b.read("precious") == "theirs\n"


def test_files_in_the_way_of_the_first_checkout_are_kept(tmp_path, central):
    a = Clone(tmp_path, "a", central)
    b = Clone(tmp_path, "b", central)
    (b.path / ".git/info/exclude").write_text("f\n")
    (b.path / "f").write_text("mine\n")
    a.commit("f", "theirs\n")
    a.turn()
    assert b.turn() == "waiting"
    assert b.read("f") == "mine\n"
    (b.path / "f").unlink()
    assert b.turn() == "in sync"
    assert b.read("f") == "theirs\n"


def test_names_that_differ_by_case_alone_wait_where_the_file_system_has_room_for_one(two):
    """Both arrive wherever the file system tells them apart."""
    a, b = two
    b.commit("Readme", "mine\n")
    b.turn()
    git(b.path, "config", "core.ignoreCase", "true")
    b.worker = None
    a.commit("README", "theirs\n")
    assert a.turn() == "in sync"
    assert (a.read("Readme"), a.read("README")) == ("mine\n", "theirs\n")
    assert b.turn() == "waiting"
    assert "README and Readme" in b.reason
    assert b.read("Readme") == "mine\n"
    assert not (b.path / "README").exists()
    git(a.path, "mv", "README", "other")
    git(a.path, "commit", "-qm", "told apart")
    assert a.turn() == "in sync"
    assert b.turn() == "in sync"
    assert b.read("other") == "theirs\n"


def test_other_uncommitted_work_is_no_hindrance(two):
    a, b = two
    b.commit("own", "1\n")
    b.turn()
    a.turn()
    a.commit("first", "2\n")
    a.turn()
    (b.path / "own").write_text("edited\n")
    (b.path / "new").write_text("new\n")
    git(b.path, "add", "new")
    assert b.turn() == "in sync"
    assert (b.read("first"), b.read("own"), b.read("new")) == ("2\n", "edited\n", "new\n")
    assert git(b.path, "diff", "--cached", "--name-only") == "new"


def test_a_move_that_was_kept_away_for_long_is_forgotten_when_it_is_done(two, central):
    """Also where nothing is ever in sync, as pushes are by hand."""
    a, b = two
    b.commit("from-b", "1\n")
    b.turn()
    a.commit("from-a", "1\n")
    lock = a.path / ".git/index.lock"
    lock.touch()
    now = [1000.0]
    settings = a.settings.model_copy(update={"push": "manual"})
    worker = Worker(Repo(a.path, settings, frozenset(Settings.model_fields)), a.instance, a.heard, lambda: now[0])

    async def turns(ended: Callable[[], bool]) -> None:
        while not ended() and now[0] < 1300.0:
            now[0] = await worker._turn() + 0.001

    asyncio.run(turns(lambda: worker.failure is not None))
    assert "another git" in worker.status.reason
    lock.unlink()
    asyncio.run(turns(lambda: worker.status.name == "ahead"))
    assert a.read("from-b") == "1\n"
    assert worker.failure is None


def test_a_move_that_was_killed_is_finished_first(two):
    a, b = two
    b.turn()
    head = a.commit("first", "2\n")
    a.turn()
    git(b.path, "fetch", "-q")
    repository = Repository.open(b.path)
    checkout.begin(repository, b.head, head)
    (b.path / "first").unlink()
    (repository.git_dir / "index.lock").touch()
    assert b.turn() == "in sync"
    assert b.read("first") == "2\n"
    assert not (repository.git_dir / "index.lock").exists()
    assert git(b.path, "status", "--porcelain") == ""
