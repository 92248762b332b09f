"""A machine inside the test's own process: a real clone, the relay's real worker, the watcher's real commits.

Time, network and what people do meanwhile are the test's. `Meddling` lets something happen at the boundary of
any two git commands of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autosync.common import checkout, locks
from autosync.common.config import Repo, Settings
from autosync.common.desktop import Desktop
from autosync.common.git import Git
from autosync.common.instance import Instance
from autosync.common.repository import Repository
from autosync.relay.announcement import Announcement
from autosync.relay.state import Move
from autosync.relay.worker import Worker
from autosync.watcher import scan
from autosync.watcher.asking import Asking
from autosync.watcher.commit import Committer, Outcome
from autosync.watcher.identity import Identity
from tests.proof.edits import Person
from tests.proof.ledger import BY_HAND, Ledger, Pending, on_disk, reachable, tree
from tests.support.git import git

BRANCH = "refs/heads/main"


@dataclass
class Network:
    """Announcements on their way: (receiver's name, announcement). Nothing is delivered by itself."""

    bag: list[tuple[str, Announcement]] = field(default_factory=list)


class Herald:
    """Stands where the relay's hub is."""

    def __init__(self, peer: Peer, network: Network) -> None:
        self._peer = peer
        self._network = network

    def announce(self, worker: Worker, move: Move, kind: Any = "pushed") -> None:
        announcement = Announcement(kind, "1" * 40, move.ref, move.commit, self._peer.name)
        self._network.bag += [(name, announcement) for name in self._peer.others]

    def changed(self, worker: Worker) -> None:
        pass

    def arrived(self, worker: Worker, before: str, after: str) -> None:
        pass

    def resolved(self, worker: Worker, conflicts: tuple[Any, ...]) -> None:
        pass


class Meddling:
    """Counts our git commands (those named ``only``, or all); ``what`` happens once, before the ``at``-th begins or
    after it has ended."""

    def __init__(self, at: int, after: bool, what: Callable[[], None], only: str | None = None) -> None:
        self._left = at
        self._after = after
        self._what = what
        self._only = only

    def boundary(self, name: str, after: bool) -> None:
        if after != self._after or self._left < 0 or self._only not in (None, name):
            return
        self._left -= 1
        if self._left < 0:
            self._what()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Inside, git commands of ours are counted."""
        run, call = Git.run, Git.call

        def meddled_run(this: Git, *args: str, **options: Any) -> Any:
            self.boundary(args[0], False)
            try:
                return run(this, *args, **options)
            finally:
                self.boundary(args[0], True)

        async def meddled_call(this: Git, *args: str, **options: Any) -> Any:
            self.boundary(args[0], False)
            try:
                return await call(this, *args, **options)
            finally:
                self.boundary(args[0], True)

        Git.run, Git.call = meddled_run, meddled_call  # type: ignore[method-assign]
        try:
            yield
        finally:
            Git.run, Git.call = run, call  # type: ignore[method-assign]


class Peer:
    """One machine. ``now`` is its monotonic clock, ``skew`` what its wall clock is wrong by, in seconds."""

    def __init__(
        self, folder: Path, name: str, central: Path, ledger: Ledger, network: Network, skew: int, **settings: Any
    ) -> None:
        self.name = name
        self.path = folder / name
        self.central = central
        self.skew = skew
        self.now = 1000.0
        self.others: list[str] = []
        self.pending = Pending()
        self.side = Ledger()
        self.kept_aside = 0
        if not self.path.exists():
            git(folder, "clone", "-q", str(central), str(self.path))
        self.person = Person(self.path, self.pending, name)
        self._ledger = ledger
        self._network = network
        self._instance = Instance.of(folder / f"{name}.toml")
        defaults = {"push_delay": 0.0, "staged_hold": 0.0, "brake_count": 10**6, "fetch_jitter": 0.0}
        self._settings = Settings.model_construct(**(dict(Settings()) | defaults | settings))
        self.restart()

    @property
    def state(self) -> Path:
        """What the relay remembers over restarts."""
        return self._instance.state

    def restart(self) -> None:
        """Both services anew: whatever they remembered in memory is gone."""
        self._repo = Repo(self.path, self._settings, frozenset(Settings.model_fields))
        self.worker = Worker(self._repo, self._instance, Herald(self, self._network), clock=lambda: self.now)
        self.repository = Repository.open(self.path)
        self.repository.make_own_folders()
        self.committer = Committer(
            self.repository,
            self._settings,
            Identity(self.name, "person"),
            Asking(self.path, Desktop(), lambda: None),
        )

    # the services ------------------------------------------------------------------------------------

    def relay(self, hint: str = "retry", later: float = 0.0) -> str:
        """One turn of the relay after a hint, ``later`` seconds after the last; returns the state's name."""

        async def run() -> None:
            self.now += later
            {"look": self.worker.hint, "fetch": self.worker.fetch_hint, "retry": self.worker.retry}[hint]()
            await self.worker._turn()

        asyncio.run(run())
        assert self.worker.status.reason is None or "bug in autosync" not in self.worker.status.reason, (
            self.worker.status
        )
        return self.worker.status.name

    def hear(self, announcement: Announcement) -> None:
        async def run() -> None:
            self.worker.heard(announcement)

        asyncio.run(run())

    def watch(self) -> Outcome | None:
        """The watcher finds everything settled and commits; None when the relay has the lock."""

        async def run() -> Outcome | None:
            lock = locks.acquire(self.repository.lock)
            try:
                self.committer.recover()
                if checkout.journal(self.repository) is not None:
                    await asyncio.to_thread(checkout.recover, self.repository, lock)
                return await self.committer.commit(await scan.changed(self.repository.git), (), lock, ask=False)
            finally:
                locks.release(lock)

        outcome = asyncio.run(run())
        self.note()
        return outcome

    # the person --------------------------------------------------------------------------------------

    def hand(self, *args: str) -> str:
        """git, as the person types it, by this machine's clock; refusals are the person's business."""
        date = f"@{1700000000 + self.skew + int(self.now)} +0000"
        with _environment(GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date):
            said = git(self.path, *args, check=False)
        self.note()
        return said

    def commit_by_hand(self) -> None:
        if self.repository.operation() is None:
            self.hand("add", "-A")
            self.hand("commit", "-qm", f"by hand on {self.name}")

    def meddle(self, chance: random.Random) -> None:
        """Something a person may do at any moment."""
        doing = chance.random()
        if self.repository.operation() is not None:
            self.merge_by_hand(chance)
        elif doing < 0.55:
            for _ in range(chance.randrange(1, 4)):
                self.person.edit(chance)
        elif doing < 0.75:
            self.commit_by_hand()
        elif doing < 0.82:
            self.hand("push", "-q", "origin", "HEAD:main")
        elif doing < 0.88:
            self.merge_by_hand(chance)
        elif doing < 0.91:
            self.point(chance)
        elif doing < 0.95:
            self.switch()
        elif doing < 0.97:
            self.hand("add", "-A")
        elif doing < 0.985:
            # of what may have been pushed: the same files in another commit
            self.hand("commit", "-q", "--amend", "--only", "-m", f"in other words on {self.name}")
        else:
            self.hand("gc", "-q", "--prune=now")

    def merge_by_hand(self, chance: random.Random) -> None:
        """Begin a merge of what is known of the remote, or end one in which there were conflicts."""
        if self.repository.operation() is None:
            self.hand("merge", "-q", "--no-edit", "--no-overwrite-ignore", "-m", BY_HAND, "refs/remotes/origin/main")
            return
        for path, stages in self._unmerged().items():
            # one side's version, as a person may choose; an edit stays where the other side deleted
            mode, oid = stages.get(chance.choice("23")) or stages.get("2") or stages.get("3") or ("0", "0" * 40)
            self.pending.deleted(os.fsencode(path))
            row = b"%s %s\t%s\0" % (mode.encode(), oid.encode(), os.fsencode(path))
            git(self.path, "update-index", "-z", "--index-info", input=row)
            if mode not in ("0", "160000"):
                git(self.path, "checkout-index", "-f", "--", path, check=False)
        if git(self.path, "grep", "--cached", "-lE", "^(<<<<<<< |>>>>>>> )", check=False):
            # a version that git had made of renames
            self.hand("merge", "--abort")
        else:
            self.hand("commit", "-qm", BY_HAND)

    def _unmerged(self) -> dict[str, dict[str, tuple[str, str]]]:
        """By path and stage: (mode, object)."""
        found: dict[str, dict[str, tuple[str, str]]] = {}
        for row in git(self.path, "ls-files", "-u", "-z").split("\0")[:-1]:
            head, _, path = row.partition("\t")
            mode, oid, stage = head.split(" ")
            found.setdefault(path, {})[stage] = (mode, oid)
        return found

    def settle_by_hand(self, chance: random.Random) -> None:
        """What `status` tells a person to do when both sides changed the same and nothing is merged by itself."""
        if self.worker.status.name == "diverged":
            self.merge_by_hand(chance)
            if self.repository.operation() is not None:
                self.merge_by_hand(chance)
            if git(self.path, "rev-list", "HEAD..refs/remotes/origin/main"):
                self.hand("merge", "-q", "-s", "ours", "-m", BY_HAND, "refs/remotes/origin/main")

    def point(self, chance: random.Random) -> None:
        """Commit another commit of a submodule; nobody has it checked out."""
        folder = self.path / "sub"
        if self.repository.operation() is None and not folder.is_symlink():
            folder.mkdir(exist_ok=True)
            self.hand("update-index", "--add", "--cacheinfo", f"160000,{chance.choice('123') * 40},sub")
            self.hand("commit", "-qm", f"a submodule on {self.name}")

    def switch(self) -> None:
        """To the branch `side`, which has no upstream, or back."""
        if self.branch == "side":
            self.hand("switch", "-q", "--no-overwrite-ignore", "main")
        elif git(self.path, "rev-parse", "-q", "--verify", "refs/heads/side", check=False):
            self.hand("switch", "-q", "--no-overwrite-ignore", "side")
        else:
            self.hand("switch", "-q", "--no-overwrite-ignore", "-c", "side")

    @property
    def branch(self) -> str:
        return git(self.path, "symbolic-ref", "--short", "HEAD")

    def note(self) -> None:
        """Tell the ledger what is committed; what is on a branch of this machine's own stays on it."""
        ledger = self._ledger if self.branch == "main" else self.side
        ledger.settle(self.pending, tree(self.path), self.name)

    def cut(self, off: bool) -> None:
        """Take the network away, or bring it back."""
        git(self.path, "remote", "set-url", "origin", str(self.central) + (".away" if off else ""))

    def sign(self, key: Path) -> None:
        """Every commit from here is signed."""
        for name, value in (("gpg.format", "ssh"), ("user.signingKey", str(key)), ("commit.gpgSign", "true")):
            git(self.path, "config", name, value)

    def pause(self, on: bool) -> None:
        if on:
            self.repository.pause_mark.touch()
        else:
            self.repository.pause_mark.unlink(missing_ok=True)

    def clear_the_way(self) -> None:
        """What `status` tells a person to do when an ignored file is in the way: give it another name."""
        if self.worker.status.name != "waiting" or self.repository.operation() is not None:
            return
        ignored = git(self.path, "ls-files", "-z", "--others", "--ignored", "--exclude-standard")
        wanted = tree(self.path, "refs/remotes/origin/main")
        for name in ignored.split("\0")[:-1]:
            path = os.fsencode(name)
            below = any(w == path or w.startswith(path + b"/") or path.startswith(w + b"/") for w in wanted)
            if below:
                self.kept_aside += 1
                new = b"kept-%s-%d" % (self.name.encode(), self.kept_aside)
                os.rename(os.fsencode(self.path) + b"/" + path, os.fsencode(self.path) + b"/" + new)
                self.pending.renamed(path, new)
                self.hand("add", "-f", "--", os.fsdecode(new))
                self.hand("commit", "-qm", "kept aside", "--", os.fsdecode(new))

    def left_over(self) -> dict[bytes, str]:
        """What came to rest here and is in no history, other than ignored files that still lie where they were put."""
        self.note()
        tips = git(self.path, "for-each-ref", "--format=%(objectname)", "refs/heads/").split()
        known = reachable(self.path, *tips)
        ignored = git(self.path, "ls-files", "-z", "--others", "--ignored", "--exclude-standard").split("\0")
        kept = {os.fsencode(path) for path in ignored}
        lost = {
            path: blob
            for path, blob in self.pending.blobs.items()
            if blob not in known and not (path in kept and on_disk(self.path, path) == blob)
        }
        return lost | {os.fsencode(where): blob for blob, where in self.side.lost(known).items()}


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
