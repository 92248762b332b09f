"""Repositories and remotes that are set up in other ways than `git clone` does it: changes travel all the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.relay.clones import Clone
from tests.support.git import git


def reclone(b: Clone, *args: str) -> None:
    shutil.rmtree(b.path)
    url = (b.path.parent / "central.git").as_uri()
    git(b.path.parent, "clone", "-q", *args, url, str(b.path))


def shallow(b: Clone) -> None:
    reclone(b, "--depth=1")


def without_blobs(b: Clone) -> None:
    git(b.path.parent / "central.git", "config", "uploadpack.allowFilter", "true")
    reclone(b, "--filter=blob:none")


def without_trees(b: Clone) -> None:
    git(b.path.parent / "central.git", "config", "uploadpack.allowFilter", "true")
    reclone(b, "--filter=tree:0")


def with_alternates(b: Clone) -> None:
    reclone(b, "--reference", str(b.path.parent / "a"))


def one_branch_only(b: Clone) -> None:
    reclone(b, "--single-branch")


def mirrored_refs(b: Clone) -> None:
    git(b.path, "config", "--replace-all", "remote.origin.fetch", "+refs/*:refs/mirror/*")


def without_force(b: Clone) -> None:
    git(b.path, "config", "--replace-all", "remote.origin.fetch", "refs/heads/*:refs/remotes/origin/*")
    git(b.path, "push", "-q", "origin", "main:other")
    git(b.path.parent / "central.git", "update-ref", "refs/heads/other", "main~1")


def onto_itself(b: Clone) -> None:
    git(b.path, "config", "--replace-all", "remote.origin.fetch", "+refs/heads/*:refs/heads/*")


def another_name(b: Clone) -> None:
    git(b.path, "remote", "rename", "origin", "my-own.server")


def several_remotes(b: Clone) -> None:
    other = b.path.parent / "other.git"
    git(b.path.parent, "init", "-q", "--bare", str(other))
    git(b.path, "remote", "add", "another", str(other))
    git(b.path, "config", "remote.pushDefault", "another")


def push_elsewhere(b: Clone) -> None:
    """The same place under another address."""
    git(b.path, "remote", "set-url", "--push", "origin", (b.path.parent / "central.git").as_uri())


def push_instead_of(b: Clone) -> None:
    git(b.path, "config", f"url.{b.path.parent}/.pushInsteadOf", "central:")
    git(b.path, "config", f"url.file://{b.path.parent}/.insteadOf", "central:")
    git(b.path, "remote", "set-url", "origin", "central:central.git")


def by_url(b: Clone) -> None:
    git(b.path, "config", "branch.main.remote", str(b.path.parent / "central.git"))


def odd_branch(b: Clone) -> None:
    git(b.path, "branch", "-m", "main", "-".join(["fé", "a@b", "%41", "{x"]) + "/" + "HEAD")


def signed_tags_and_notes(b: Clone) -> None:
    git(b.path, "config", "--add", "remote.origin.fetch", "+refs/notes/*:refs/notes/*")
    git(b.path, "config", "--add", "remote.origin.fetch", "+refs/pull/*/head:refs/remotes/origin/pull/*")
    git(b.path, "notes", "add", "-m", "a note")
    git(b.path, "push", "-q", "origin", "refs/notes/*", "HEAD:refs/pull/1/head")


def moved_tag(b: Clone) -> None:
    git(b.path, "tag", "v1")
    git(b.path, "push", "-q", "origin", "v1")
    git(b.path, "config", "remote.origin.tagOpt", "--tags")
    git(b.path.parent / "central.git", "tag", "-f", "-m", "another", "v1", "main")


def folder_for_branch(b: Clone) -> None:
    """A branch there has become the folder of another: git fetches that one only once the old one is pruned."""
    git(b.path, "push", "-q", "origin", "main:other")
    central = b.path.parent / "central.git"
    git(central, "update-ref", "-d", "refs/heads/other")
    git(central, "update-ref", "refs/heads/other/new", "main")


def prunes(b: Clone) -> None:
    git(b.path, "config", "fetch.prune", "true")
    git(b.path, "config", "fetch.pruneTags", "true")


def packed_and_graphed(b: Clone) -> None:
    git(b.path, "config", "fetch.writeCommitGraph", "true")
    git(b.path, "gc", "-q", "--prune=now")
    git(b.path, "commit-graph", "write", "--reachable")
    git(b.path, "multi-pack-index", "write")


def other_settings(b: Clone) -> None:
    for name, value in {
        "pull.rebase": "true",
        "merge.ff": "false",
        "branch.main.mergeOptions": "--no-ff --no-commit",
        "merge.autoStash": "true",
        "push.default": "nothing",
        "push.followTags": "true",
        "push.recurseSubmodules": "on-demand",
        "fetch.recurseSubmodules": "true",
        "commit.template": "/nowhere",
        "core.editor": "false",
        "status.showUntrackedFiles": "no",
        "status.branch": "true",
        "log.date": "relative",
        "log.showSignature": "true",
        "color.ui": "always",
        "core.quotePath": "false",
        "diff.noprefix": "true",
        "diff.external": "false",
        "core.abbrev": "4",
        "advice.diverging": "false",
        "rebase.autoStash": "true",
        "clean.requireForce": "false",
        "transfer.fsckObjects": "true",
        "core.logAllRefUpdates": "false",
        "core.splitIndex": "true",
        "core.untrackedCache": "true",
        "index.threads": "1",
        "column.ui": "always",
        "merge.verifySignatures": "false",
        "merge.log": "true",
        "merge.stat": "true",
        "gc.auto": "1",
    }.items():
        git(b.path, "config", name, value)


def replaced_commit(b: Clone) -> None:
    tree = git(b.path, "rev-parse", "HEAD^{tree}")
    git(b.path, "replace", "HEAD", git(b.path, "commit-tree", "-m", "instead", tree))


WAYS: list[Callable[[Clone], None]] = [
    shallow,
    without_blobs,
    without_trees,
    with_alternates,
    one_branch_only,
    mirrored_refs,
    without_force,
    onto_itself,
    another_name,
    several_remotes,
    push_elsewhere,
    push_instead_of,
    by_url,
    odd_branch,
    signed_tags_and_notes,
    moved_tag,
    folder_for_branch,
    prunes,
    packed_and_graphed,
    other_settings,
    replaced_commit,
]


@pytest.mark.parametrize("way", WAYS)
def test_changes_travel_both_ways_and_conflicts_keep_both(two, way):
    a, b = two
    for n in range(3):
        a.commit("first", f"{n} by a\n")
    a.turn()
    b.turn()
    way(b)
    b.worker = None
    a.commit("from-a", "1\n")
    assert a.turn() == "in sync"
    assert b.turn() == "in sync", b.worker.status
    assert b.read("from-a") == "1\n"
    b.commit("from-b", "2\n")
    b.commit("first", "by b\n")
    a.commit("first", "by a\n")
    assert a.turn() == "in sync"
    assert b.turn() == "in sync", b.worker.status
    assert a.turn() == "in sync", a.worker.status
    assert a.head == b.head == git(Path(a.path.parent / "central.git"), "rev-parse", "main")
    texts = sorted(path.read_text() for path in a.path.glob("first*"))
    assert texts == ["by a\n", "by b\n"]
    assert git(b.path, "status", "--porcelain", "-unormal", "--no-branch") == ""


def test_an_upstream_in_the_same_repository_is_none(two):
    """`git switch -c topic --track main` makes one: nobody means that what is saved goes to main at once."""
    a, _ = two
    main = a.head
    git(a.path, "config", "push.autoSetupRemote", "true")
    git(a.path, "switch", "-q", "-c", "topic", "--track", "main")
    a.commit("first", "on topic\n")
    assert a.turn() == "no upstream"
    assert "topic" in a.reason
    assert git(a.path, "rev-parse", "main") == main
    assert git(a.path, "for-each-ref", "refs/remotes/origin/topic") == ""
    assert git(a.path, "config", "branch.topic.remote") == "."
