"""Under a watcher with `settle = 0`, git's own replacing of files is never taken for an edit or a deletion."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from autosync.common import checkout, locks
from autosync.common.repository import Repository
from autosync.watcher import journal
from tests.support.wait import until

FILES = 1500


def two_large_branches(w):
    """`one` and `two` differ in most of their files: changed, missing, in other folders, folders against files."""
    for number in range(FILES):
        w.write(f"d{number % 40}/f{number}", f"{number}\n" * 30)
    w.git("add", "-A")
    w.git("commit", "-qm", "base")
    w.git("switch", "-qc", "one")
    for number in range(0, FILES, 2):
        w.write(f"d{number % 40}/f{number}", f"one {number}\n" * 40)
    w.git("commit", "-qam", "one")
    w.git("switch", "-q", "main")
    w.git("switch", "-qc", "two")
    for number in range(1, FILES, 4):
        (w.root / f"d{number % 40}" / f"f{number}").unlink()
    for number in range(FILES // 3):
        w.write(f"new{number % 20}/f{number}", f"two {number}\n" * 20)
    w.git("mv", "d2", "renamed")
    w.git("add", "-A")
    w.git("commit", "-qm", "two")
    w.git("switch", "-q", "main")


def commits_of_the_watcher(w):
    return w.git("log", "--all", "--reflog", "--format=%H %s", "--grep=^Autosync-Machine: ")


def test_checkouts_and_merges_of_large_trees_make_no_commit(watched):
    w = watched("settle = 0\nstaged-hold = 0", start=False)
    two_large_branches(w)
    w.start()
    for _ in range(6):
        w.git("checkout", "-q", "one")
        w.git("checkout", "-q", "two")
        w.git("checkout", "-q", "main")
        w.git("merge", "-q", "--no-edit", "one")
        w.git("merge", "-q", "--no-edit", "two")
        w.git("reset", "-q", "--hard", "two")
        w.git("merge", "-q", "--ff-only", "two")
        w.git("rebase", "-q", "one")
        w.git("revert", "--no-edit", "HEAD")
        w.git("cherry-pick", "one~0", "--allow-empty", "--keep-redundant-commits", check=False)
        w.git("cherry-pick", "--abort", check=False)
        w.git("reset", "-q", "--hard", "one~1")
    w.until_clean()
    assert commits_of_the_watcher(w) == ""
    w.write("d0/f0", "a real edit\n")
    w.until_committed("d0/f0", b"a real edit\n")
    assert len(commits_of_the_watcher(w).splitlines()) == 1


def test_edits_between_checkouts_are_committed_and_nothing_else(watched):
    w = watched("settle = 0\nstaged-hold = 0", start=False)
    two_large_branches(w)
    w.start()
    for number in range(8):
        w.write("mine", f"{number}\n")
        w.until_clean()
        branch = ("one", "two")[number % 2]
        until(lambda branch=branch: switched(w, branch), "the checkout")
    w.until_clean()
    for line in commits_of_the_watcher(w).splitlines():
        commit = line.split()[0]
        assert w.git("show", "--format=", "--name-only", commit) == "mine"


def switched(w, branch):
    w.git("checkout", "-q", branch, check=False)
    return w.git("symbolic-ref", "--short", "HEAD") == branch


def test_while_the_relay_moves_the_work_tree_nothing_is_committed(watched):
    w = watched("settle = 0")
    w.write("f", "1")
    w.write("g", "1")
    w.until_clean()
    repository = Repository.open(w.root)
    head = w.git("rev-parse", "HEAD")
    lock = locks.acquire(repository.lock)
    checkout.begin(repository, head, head)
    (w.root / "f").unlink()
    w.write("g", "2")
    assert until(lambda: w.status()["state"] == "held" and w.status(), "a hold")["reason"].startswith("the relay")
    assert w.git("rev-parse", "HEAD") == head
    w.write("f", "1")
    checkout.end(repository)
    locks.release(lock)
    w.until_committed("g", b"2")
    assert w.git("show", "--format=", "--name-only", "HEAD") == "g"


def test_a_move_whose_relay_was_killed_is_recovered_from_first(watched):
    w = watched("settle = 0", start=False)
    w.write("f", "1")
    w.write("g", "1")
    w.git("add", "-A")
    w.git("commit", "-qm", "before")
    before = w.git("rev-parse", "HEAD")
    w.git("rm", "-q", "f")
    w.git("commit", "-qm", "after")
    after = w.git("rev-parse", "HEAD")
    w.git("reset", "-q", "--hard", before)
    repository = Repository.open(w.root)
    repository.make_own_folders()
    checkout.begin(repository, before, after)
    (w.root / "f").unlink()  # where the kill came
    w.write("mine", "1")
    w.start()
    w.until_committed("mine", b"1")
    assert w.files() == {"f", "g", "mine"}
    assert checkout.journal(repository) is None


def on_its_way(w, moment):
    """A second version of `f`, as a watcher leaves it that is killed where branch and index differ."""
    w.write("f", "1")
    w.git("add", "-A")
    w.git("commit", "-qm", "first")
    w.write("f", "2")
    repository = Repository.open(w.root)
    repository.make_own_folders()
    private = journal.private_index(repository)
    private.write_bytes((w.root / ".git" / "index").read_bytes())
    env = {"GIT_INDEX_FILE": str(private)}
    repository.git.run("update-index", "f", env=env)
    tree = repository.git.run("write-tree", env=env).text
    commit = repository.git.run("commit-tree", tree, "-p", "HEAD", "-m", "on its way").text
    journal.take_lock(repository, private, commit)
    if moment == "after HEAD":
        w.git("update-ref", "HEAD", commit)
    assert (w.root / ".git" / "index.lock").exists()


@pytest.mark.parametrize("moment", ["before HEAD", "after HEAD"])
def test_a_commit_that_was_killed_is_finished_or_dropped(watched, moment):
    w = watched("settle = 0", start=False)
    on_its_way(w, moment)
    w.start()
    until(lambda: not (w.root / ".git" / "index.lock").exists(), "git's lock to go, though nothing else changes")
    w.until_committed("f", b"2")
    w.until_clean()
    assert w.git("log", "--format=%s").splitlines().count("on its way") == (moment == "after HEAD")
    assert not (w.root / ".git" / "index.lock").exists()
    assert w.git("diff", "--cached", "--name-only") == ""


@pytest.mark.parametrize("moment", ["before HEAD", "after HEAD"])
@pytest.mark.parametrize("another", [False, True])
def test_what_was_put_back_after_a_commit_that_was_killed_is_committed(watched, moment, another):
    """It is what the old index has, and not what the new one has."""
    w = watched("settle = 0", start=False)
    on_its_way(w, moment)
    w.write("f", "1")
    if another:
        w.write("g", "1")
    w.start()
    until(lambda: not (w.root / ".git" / "index.lock").exists(), "git's lock to go")
    w.until_committed("f", b"1")
    w.until_clean()
    if another:
        assert w.committed("g") == b"1"


@pytest.fixture
def committing(watched):
    """A repository, and a function that makes a commit there and is killed at a step of it."""
    w = watched(start=False)
    argv = [sys.executable, "-m", "tests.watcher.killed", str(w.root)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def commit(step, *paths):
            process.stdin.write(" ".join([str(step), *paths]) + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield w, commit
        process.stdin.close()


def test_a_kill_at_any_step_of_a_commit_loses_nothing(committing):
    w, commit = committing
    w.write("f", "0\n")
    w.write("g", "untouched\n")
    w.git("add", "-A")
    w.git("commit", "-qm", "first")
    step, ended = 0, ""
    while ended != "whole":
        w.write("f", f"{step}\n")
        w.git("status")  # as editors do: the index is refreshed
        w.write("f", f"{step} edited\n")
        before = int(w.git("rev-list", "--count", "HEAD"))
        ended = commit(step, "f")
        assert ended in ("whole", "killed")
        w.write("h", f"{step}\n")
        assert commit(10_000, "f", "h") == "whole"  # what the next watcher finds changed
        assert w.committed("f") == f"{step} edited\n".encode()
        assert w.committed("h") == f"{step}\n".encode()
        assert w.committed("g") == b"untouched\n"
        assert int(w.git("rev-list", "--count", "HEAD")) - before <= 2
        assert w.git("status", "--porcelain") == ""
        assert set(os.listdir(w.root / ".git" / "autosync")) <= {"lock", "notes"}
        assert not (w.root / ".git" / "index.lock").exists()
        step += 1
    assert step > 20
    assert w.git("fsck", "--strict", "--no-dangling") == ""
