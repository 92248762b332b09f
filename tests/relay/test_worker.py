"""A worker with real repositories: what it fetches, merges and pushes."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from autosync.common.operations import OperationLog
from autosync.relay.state import Move
from tests.relay.clones import BRANCH, Clone
from tests.support.git import git


def test_the_first_push_makes_the_branch_and_is_announced(tmp_path, central):
    a = Clone(tmp_path, "a", central)
    assert a.turn() == "unborn"
    head = a.commit("f", "1\n")
    assert a.turn() == "in sync"
    assert git(central, "rev-parse", BRANCH) == head
    assert a.heard.moves == [Move(BRANCH, head)]


def test_every_action_is_logged_with_where_it_led_from_and_to(two):
    a, b = two
    old = a.head
    one = a.commit("first", "a\n")
    a.turn()
    other = b.commit("first", "b\n")
    assert b.turn() == "in sync"
    found = {
        (operation.action, operation.before, operation.after)
        for operation in OperationLog(b.instance.operations).read()
        if operation.repository == str(b.path)
    }
    expected = {("fetch", old, one), ("merge", other, b.head), ("resolve", other, b.head), ("push", one, b.head)}
    assert found >= expected | {("announce", one, b.head)}
    git(b.path, "checkout", "-q", "--detach")
    b.turn()
    last = [*OperationLog(b.instance.operations).read()][-1]
    assert (last.action, last.before, last.detail) == ("hold", b.head, "HEAD is detached")


def test_git_packs_what_has_piled_up_when_all_is_done(tmp_path, central):
    a = Clone(tmp_path, "a", central)
    git(a.path, "config", "gc.auto", "1")
    git(a.path, "config", "gc.autoDetach", "false")
    # git guesses the number of all objects from this folder
    piled = (f"{n}\n" for n in itertools.count())
    for text in itertools.islice((t for t in piled if blob_name(t).startswith("17")), 4):
        a.commit("f", text)
    assert a.turn() == "in sync"
    assert [*(a.path / ".git/objects/pack").glob("*.pack")]
    assert not (a.path / ".git/objects/17").exists()


def blob_name(text: str) -> str:
    return hashlib.sha1(f"blob {len(text)}\0{text}".encode()).hexdigest()


def test_two_that_merge_the_same_make_the_same_commit(two, tmp_path, central):
    a, b = two
    c = Clone(tmp_path, "c", central)
    c.turn()
    a.commit("first", "a\n")
    a.turn()
    b.commit("first", "b\n")
    c.worker.repo = c.worker.repo
    git(c.path, "fetch", "-q", str(b.path), "main")
    git(c.path, "reset", "-q", "--keep", "FETCH_HEAD")
    # b and c have the same commit and both merge what a pushed; neither knows of the other's merge
    for clone in (b, c):
        git(clone.path, "config", "remote.origin.pushurl", str(tmp_path / "nowhere"))
        clone.turn()
    assert b.head == c.head
    assert len(git(b.path, "show", "-s", "--format=%P", "HEAD").split()) == 2


def test_a_repository_that_is_not_there_says_so(tmp_path, central):
    a = Clone(tmp_path, "a", central)
    a.path.rename(tmp_path / "elsewhere")
    assert a.turn() == "error"
    assert str(a.path) in a.reason
    (tmp_path / "elsewhere").rename(a.path)
    assert a.turn() == "unborn"


@pytest.mark.parametrize("kind", ["sha256", "split index", "sparse index"])
def test_repositories_that_libgit2_cannot_open(tmp_path, kind):
    arguments = ["--object-format=sha256"] if kind == "sha256" else []
    git(tmp_path, "init", "-q", *arguments, "seed")
    git(tmp_path / "seed", "commit", "-q", "--allow-empty", "-m", "seed")
    git(tmp_path, "clone", "-q", "--bare", "seed", "central.git")
    a = Clone(tmp_path, "a", tmp_path / "central.git")
    b = Clone(tmp_path, "b", tmp_path / "central.git")
    a.commit("d/f", "1\n")
    assert a.turn() == "in sync"
    assert b.turn() == "in sync"
    if kind == "split index":
        git(b.path, "update-index", "--split-index")
    if kind == "sparse index":
        git(b.path, "sparse-checkout", "init", "--cone", "--sparse-index")
        git(b.path, "sparse-checkout", "set", "other")
    a.commit("d/f", "2\n")
    a.commit("top", "a\n")
    a.turn()
    b.commit("mine", "b\n")
    assert b.turn() == "in sync"
    assert b.read("top") == "a\n"
    assert a.turn() == "in sync"
    assert a.read("mine") == "b\n"
    assert git(b.path, "show", "HEAD:d/f") == "2"
