"""The state machine: two to five machines, people, a network that loses and forges, and in the end everything equal."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from autosync.relay.announcement import Announcement
from tests.proof.ledger import Ledger, verify
from tests.proof.peer import BRANCH, Meddling, Network, Peer
from tests.support.git import git

_WHO = st.integers(0, 4)
_CHANCE = st.randoms(use_true_random=True)
_YEAR = 365 * 86400


class Machines(RuleBasedStateMachine):
    """Rules are what may happen; `teardown` heals everything and checks."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.ledger = Ledger()
        self.network = Network()
        self.peers: list[Peer] = []

    @initialize(
        count=st.integers(2, 5),
        skews=st.lists(st.sampled_from((0, 0, 3600, -86400, 5 * _YEAR, -3 * _YEAR)), min_size=5, max_size=5),
        direct=st.booleans(),
        stops=st.lists(st.sampled_from((False, False, True)), min_size=5, max_size=5),
        signs=st.lists(st.sampled_from((False, False, True)), min_size=5, max_size=5),
    )
    def machines(self, count: int, skews: list[int], direct: bool, stops: list[bool], signs: list[bool]) -> None:
        central = self.folder / "central.git"
        git(self.folder, "init", "-q", "--bare", str(central))
        empty = git(central, "mktree", input=b"")
        git(central, "update-ref", BRANCH, git(central, "commit-tree", "-m", "root", empty))
        key = self.folder / "key"
        if any(signs[:count]):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        for name, skew, stop, signing in zip("abcde"[:count], skews, stops, signs, strict=False):
            conflict = "stop" if stop else "keep-both"
            peer = Peer(self.folder, name, central, self.ledger, self.network, skew, direct=direct, conflict=conflict)
            if signing:
                peer.sign(key)
            self.peers.append(peer)
        for peer in self.peers:
            peer.others = [other.name for other in self.peers if other is not peer]
            if direct:
                for other in peer.others:
                    git(peer.path, "remote", "add", other, str(self.folder / other))
            peer.relay()

    def _peer(self, who: int) -> Peer:
        return self.peers[who % len(self.peers)]

    # people ------------------------------------------------------------------------------------------

    @rule(who=_WHO, chance=_CHANCE, edits=st.integers(1, 6))
    def edit(self, who: int, chance: random.Random, edits: int) -> None:
        peer = self._peer(who)
        for _ in range(edits if peer.repository.operation() is None else 0):
            peer.person.edit(chance)

    @rule(chance=_CHANCE)
    def edit_everywhere(self, chance: random.Random) -> None:
        for peer in self.peers:
            for _ in range(2 if peer.repository.operation() is None else 0):
                peer.person.edit(chance)
            peer.watch()

    @rule(who=_WHO, chance=_CHANCE)
    def meddle(self, who: int, chance: random.Random) -> None:
        self._peer(who).meddle(chance)

    @rule(who=_WHO, chance=_CHANCE)
    def merge_by_hand(self, who: int, chance: random.Random) -> None:
        self._peer(who).merge_by_hand(chance)

    @rule(who=_WHO, other=_WHO, chance=_CHANCE)
    def submodules(self, who: int, other: int, chance: random.Random) -> None:
        for peer in (self._peer(who), self._peer(other)):
            peer.point(chance)

    # services ----------------------------------------------------------------------------------------

    @rule(who=_WHO)
    def watch(self, who: int) -> None:
        self._peer(who).watch()

    @rule(
        who=_WHO, hint=st.sampled_from(("look", "fetch", "retry", "retry")), later=st.sampled_from((0.0, 1.0, 1000.0))
    )
    def relay(self, who: int, hint: str, later: float) -> None:
        self._peer(who).relay(hint, later)

    @rule(who=_WHO, chance=_CHANCE, at=st.integers(0, 12), after=st.booleans())
    def meddle_with_the_relay(self, who: int, chance: random.Random, at: int, after: bool) -> None:
        peer = self._peer(who)
        with Meddling(at, after, lambda: peer.meddle(chance)).at_work():
            peer.relay()

    @rule(who=_WHO, chance=_CHANCE, at=st.integers(0, 12), after=st.booleans())
    def meddle_with_the_watcher(self, who: int, chance: random.Random, at: int, after: bool) -> None:
        peer = self._peer(who)
        with Meddling(at, after, lambda: peer.meddle(chance)).at_work():
            peer.watch()

    @rule(who=_WHO, other=_WHO, at=st.integers(0, 12), after=st.booleans())
    def two_relays_at_once(self, who: int, other: int, at: int, after: bool) -> None:
        first, second = self._peer(who), self._peer(other)
        if first is not second:
            with Meddling(at, after, lambda: _in_thread(second)).at_work():
                first.relay()

    @rule(who=_WHO)
    def restart(self, who: int) -> None:
        self._peer(who).restart()

    @rule(who=_WHO, on=st.booleans())
    def pause(self, who: int, on: bool) -> None:
        self._peer(who).pause(on)

    # network -----------------------------------------------------------------------------------------

    @rule(who=_WHO, off=st.booleans())
    def partition(self, who: int, off: bool) -> None:
        self._peer(who).cut(off)

    @precondition(lambda self: self.network.bag)
    @rule(chance=_CHANCE, fate=st.sampled_from(("arrives", "arrives", "arrives twice", "is lost")))
    def announcement(self, chance: random.Random, fate: str) -> None:
        name, announcement = self.network.bag.pop(chance.randrange(len(self.network.bag)))
        (peer,) = [p for p in self.peers if p.name == name]
        for _ in range({"arrives": 1, "arrives twice": 2, "is lost": 0}[fate]):
            peer.hear(announcement)
            peer.relay("look")

    @rule(
        who=_WHO,
        kind=st.sampled_from(("pushed", "committed")),
        ref=st.sampled_from((BRANCH, "refs/heads/side", "refs/heads/nowhere")),
        sender=st.sampled_from(("a", "b", "mallory", "origin")),
        chance=_CHANCE,
    )
    def forgery(self, who: int, kind: str, ref: str, sender: str, chance: random.Random) -> None:
        commits = [*git(self._peer(who + 1).path, "rev-list", "--all").split(), "0" * 40, "f" * 40]
        self._peer(who).hear(Announcement(kind, "1" * 40, ref, chance.choice(commits), sender))
        self._peer(who).relay("look")

    # the end -----------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if self.peers:
                self.heal()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def heal(self) -> None:
        """The network is back, people finish what they were at; then all has to come together by itself."""
        chance = random.Random(0)
        for peer in self.peers:
            peer.cut(False)
            peer.pause(False)
            if peer.repository.operation() is not None:
                peer.merge_by_hand(chance)
            peer.commit_by_hand()
            peer.watch()
            if peer.branch == "side":
                peer.switch()
                assert peer.branch == "main", git(peer.path, "status")
        for _ in range(4 * len(self.peers) + 4):
            for peer in self.peers:
                peer.commit_by_hand()
                peer.watch()
                peer.relay(later=100.0)
                peer.clear_the_way()
                peer.settle_by_hand(chance)
            if self.equal():
                break
        else:
            raise AssertionError([(p.name, p.worker.status, git(p.path, "status", "--short")) for p in self.peers])
        verify(self.ledger, self.folder / "central.git", [p.path for p in self.peers])
        for peer in self.peers:
            assert peer.left_over() == {}, peer.name

    def equal(self) -> bool:
        heads = {git(p.path, "rev-parse", "HEAD") for p in self.peers}
        heads.add(git(self.folder / "central.git", "rev-parse", BRANCH))
        return len(heads) == 1 and all(not git(p.path, "status", "--porcelain") for p in self.peers)


def _in_thread(peer: Peer) -> None:
    """A turn inside somebody else's event loop."""
    thread = threading.Thread(target=peer.relay)
    thread.start()
    thread.join()
