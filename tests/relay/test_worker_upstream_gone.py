"""An upstream that was there and is gone: said, and left to the person."""

from __future__ import annotations

import pytest

from tests.proof.ledger import Ledger
from tests.proof.peer import BRANCH, Network, Peer
from tests.support.git import git


@pytest.fixture
def peer(tmp_path) -> Peer:
    central = tmp_path / "central.git"
    git(tmp_path, "init", "-q", "--bare", str(central))
    peer = Peer(tmp_path, "a", central, Ledger(), Network(), 0)
    (peer.path / "f").write_text("1\n")
    peer.commit_by_hand()
    assert peer.relay() == "in sync"
    return peer


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_a_branch_that_is_gone_is_held_until_the_person_puts_it_back(peer, tmp_path, how):
    if how == "deleted":
        git(peer.central, "update-ref", "-d", BRANCH)
    else:
        peer.central.rename(tmp_path / "old")
        git(tmp_path, "init", "-q", "--bare", str(peer.central))
    (peer.path / "f").write_text("2\n")
    peer.watch()
    assert peer.relay() == "held"
    assert "origin/main was there and is gone" in peer.worker.status.reason
    assert git(peer.central, "for-each-ref") == ""
    git(tmp_path, *peer.worker.status.remedy.removeprefix("to put it back: git ").split())
    # the note of that push is a hint
    assert peer.relay("look") == "in sync"
    assert git(peer.central, "rev-parse", BRANCH) == git(peer.path, "rev-parse", "HEAD")


def test_another_branch_is_not_held(peer):
    git(peer.central, "update-ref", "-d", BRANCH)
    assert peer.relay() == "held"
    git(peer.path, "switch", "-q", "-c", "other")
    git(peer.path, "push", "-q", "-u", "origin", "other")
    assert peer.relay("look") == "in sync"
