"""What a power cut leaves of files that were written a moment before: their names, without what was in them."""

from __future__ import annotations

import json
import os
import time

import pytest

from autosync.common import checkout, reflocks
from autosync.common.git import GitError
from autosync.common.repository import Repository
from autosync.watcher import journal
from tests.proof.ledger import Ledger, stuck
from tests.proof.peer import Network, Peer
from tests.support.git import git


@pytest.fixture
def peer(tmp_path) -> Peer:
    central = tmp_path / "central.git"
    git(tmp_path, "init", "-q", "--bare", str(central))
    peer = Peer(tmp_path, "a", central, Ledger(), Network(), 0)
    (peer.path / "f").write_text("1\n")
    peer.commit_by_hand()
    return peer


def on_its_way(peer: Peer, moved: bool) -> Repository:
    """As the watcher is at the end of a commit, with git's lock taken; the branch has ``moved`` or not yet."""
    repository = peer.repository
    (peer.path / "f").write_text("2\n")
    private = {"GIT_INDEX_FILE": os.fspath(journal.private_index(repository))}
    repository.git.run("read-tree", "HEAD", env=private)
    repository.git.run("update-index", "f", env=private)
    tree = repository.git.run("write-tree", env=private).text
    commit = repository.git.run("commit-tree", tree, "-p", "HEAD", "-m", "2").text
    journal.take_lock(repository, journal.private_index(repository), commit)
    if moved:
        repository.git.run("update-ref", "HEAD", commit)
    return repository


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("left", [0, 20])
def test_a_commit_whose_journal_lost_its_content_is_finished_or_made_again(peer, moved, left):
    repository = on_its_way(peer, moved)
    os.truncate(journal.journal_path(repository), left)
    peer.restart()
    peer.watch()
    assert stuck(peer.path) == []
    assert git(peer.path, "show", "HEAD:f") == "2"
    assert git(peer.path, "rev-list", "--count", "HEAD") == "2"


@pytest.mark.parametrize("cut_short", [False, True])
def test_a_move_leaves_the_lock_of_a_commit_alone_that_is_to_be_finished(peer, cut_short):
    """The watcher is killed between branch and index, and the relay is the first to look."""
    peer.relay()
    other = peer.central.parent / "other"
    git(peer.central.parent, "clone", "-q", str(peer.central), str(other))
    git(other, "commit", "-q", "--allow-empty", "-m", "theirs")
    git(other, "push", "-q")
    repository = on_its_way(peer, True)
    if cut_short:
        # a move begins, and its git is killed before it can say that the lock is taken
        git(peer.path, "fetch", "-q")
        checkout.begin(repository, git(peer.path, "rev-parse", "HEAD"), git(other, "rev-parse", "HEAD"))
    peer.restart()
    for _ in range(3):
        peer.relay()
    assert (peer.path / ".git/index.lock").exists()
    peer.watch()
    assert peer.relay() == "in sync"
    assert stuck(peer.path) == []
    assert git(peer.path, "log", "--format=%s", "--diff-filter=D") == ""


def test_a_move_to_a_commit_that_was_pruned_meanwhile_is_over(peer):
    """No ref names a merge before the work tree has been moved."""
    peer.relay()
    checkout.begin(peer.repository, git(peer.path, "rev-parse", "HEAD"), "1" * 40)
    peer.restart()
    (peer.path / "f").write_text("2\n")
    peer.watch()
    assert peer.relay() == "in sync"
    assert stuck(peer.path) == []
    assert git(peer.central, "show", "main:f") == "2"


def test_a_lock_of_somebody_else_stays_though_the_journal_lost_its_content(peer):
    repository = on_its_way(peer, False)
    os.truncate(journal.journal_path(repository), 0)
    lock = repository.git_dir / "index.lock"
    lock.unlink()
    lock.write_text("")
    peer.restart()
    outcome = peer.watch()
    assert outcome is not None and outcome.hold is not None and outcome.hold.kind == "index.lock"
    assert lock.exists()


def test_another_device_number_after_the_restart_does_not_matter(peer):
    repository = on_its_way(peer, True)
    said = json.loads(journal.journal_path(repository).read_text())
    journal.journal_path(repository).write_text(json.dumps(said | {"device": said["device"] + 1}))
    peer.restart()
    peer.watch()
    assert stuck(peer.path) == []


@pytest.mark.parametrize("name", ["HEAD.lock", "refs/heads/main.lock"])
@pytest.mark.parametrize("when", ["at start", "after a move"])
def test_a_ref_lock_goes_though_nothing_else_is_to_be_done(peer, name, when):
    """git was killed when the move was complete, and before it took its locks away: a person's commit would fail."""
    peer.relay()
    if when == "after a move":
        head = git(peer.path, "rev-parse", "HEAD")
        checkout.begin(peer.repository, git(peer.path, "rev-parse", "HEAD^{tree}"), head)
    else:
        peer.restart()
    lock = peer.path / ".git" / name
    lock.touch()
    assert peer.relay("look") == "in sync"
    assert lock.exists()
    os.utime(lock, (1, 1))
    peer.relay("look", later=reflocks.OLD)
    assert stuck(peer.path) == [] and not lock.exists()


@pytest.mark.parametrize("name", ["HEAD.lock", "refs/heads/main.lock"])
@pytest.mark.parametrize("ages", [-1, 1])
def test_a_move_that_cannot_move_the_branch_is_finished_later(peer, name, ages):
    """git has replaced files and index by then: that must not look like something that a person has staged."""
    assert peer.relay() == "in sync"
    other = peer.central.parent / "other"
    git(peer.central.parent, "clone", "-q", str(peer.central), str(other))
    (other / "new").write_text("theirs\n")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "theirs")
    git(other, "push", "-q")
    lock = peer.path / ".git" / name
    lock.touch()
    assert peer.relay() != "in sync"
    with pytest.raises(GitError):
        peer.watch()
    # as old as that of a killed git is in the end, or made when the clock was wrong
    when = time.time() - ages * 2 * reflocks.OLD
    os.utime(lock, (when, when))
    for _ in range(3):
        peer.relay(later=reflocks.OLD)
    assert peer.worker.status.name == "in sync"
    assert stuck(peer.path) == []
    assert git(peer.path, "rev-parse", "HEAD") == git(other, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["HEAD.lock", "refs/heads/main.lock", "refs/remotes/origin/main.lock"])
def test_a_ref_lock_of_a_killed_git_keeps_nobody_for_ever(peer, name):
    assert peer.relay() == "in sync"
    lock = peer.path / ".git" / name
    lock.touch()
    os.utime(lock, (1, 1))
    (peer.path / "f").write_text("3\n")
    if "remotes" in name:
        other = peer.central.parent / "other"
        git(peer.central.parent, "clone", "-q", str(peer.central), str(other))
        git(other, "commit", "-q", "--allow-empty", "-m", "theirs")
        git(other, "push", "-q")
    for _ in range(3):
        peer.watch()
        peer.relay()
    assert peer.worker.status.name == "in sync"
    assert git(peer.central, "show", "main:f") == "3"
    assert stuck(peer.path) == []
