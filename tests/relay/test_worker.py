"""A worker with real repositories: what it fetches, merges, pushes and announces, and what it leaves alone."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autosync.common import checkout
from autosync.common.config import Repo, Settings
from autosync.common.instance import Instance
from autosync.common.operations import OperationLog
from autosync.common.repository import Repository
from autosync.relay.announcement import Announcement
from autosync.relay.state import Move
from autosync.relay.worker import Worker
from tests.support.git import git

BRANCH = "refs/heads/main"


class Listener:
    """Stands where the hub is."""

    def __init__(self) -> None:
        self.moves: list[Move] = []
        self.conflicts: list = []
        self.offers: list[Move] = []
        self.arrivals: list[tuple[str, str]] = []

    def announce(self, worker, move, kind="pushed"):
        (self.moves if kind == "pushed" else self.offers).append(move)

    def changed(self, worker):
        pass

    def arrived(self, worker, before, after):
        self.arrivals.append((before, after))

    def resolved(self, worker, conflicts):
        self.conflicts += conflicts


class Clone:
    """A clone with a worker; `turn` lets the worker look, plan and act until it rests."""

    def __init__(self, folder: Path, name: str, central: Path, **settings) -> None:
        self.path = folder / name
        git(folder, "clone", "-q", str(central), str(self.path))
        self.settings = Settings.model_construct(**(dict(Settings()) | {"push_delay": 0.0} | settings))
        self.instance = Instance.of(folder / f"{name}.toml")
        self.heard = Listener()
        self.worker: Worker | None = None

    def turn(self, *, fetch: bool = True) -> str:
        """One turn; returns the state's name."""

        async def run() -> None:
            if self.worker is None:
                given = frozenset(Settings.model_fields)
                self.worker = Worker(Repo(self.path, self.settings, given), self.instance, self.heard)
            if fetch:
                self.worker.fetch_hint()
            self.worker._schedule.forget_pauses()
            await self.worker._turn()

        asyncio.run(run())
        assert self.worker is not None
        return self.worker.status.name

    @property
    def reason(self) -> str:
        assert self.worker is not None
        return self.worker.status.reason or ""

    def commit(self, path: str, content: str | None) -> str:
        file = self.path / path
        if content is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        git(self.path, "add", "-A", "--", path)
        git(self.path, "commit", "-qm", path)
        return self.head

    @property
    def head(self) -> str:
        return git(self.path, "rev-parse", "HEAD")

    def read(self, path: str) -> str:
        return (self.path / path).read_text()


@pytest.fixture
def central(tmp_path) -> Path:
    git(tmp_path, "init", "-q", "--bare", "central.git")
    return tmp_path / "central.git"


@pytest.fixture
def two(tmp_path, central) -> tuple[Clone, Clone]:
    """Two clones at the same first commit, with workers that have rested."""
    a, b = Clone(tmp_path, "a", central), Clone(tmp_path, "b", central)
    a.commit("first", "1\n")
    assert a.turn() == "in sync"
    assert b.turn() == "in sync"
    assert b.head == a.head
    a.heard.moves.clear()
    return a, b


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


def test_a_push_is_announced_once_and_a_fetch_never(two):
    a, b = two
    head = a.commit("f", "2\n")
    assert a.turn() == "in sync"
    assert b.turn() == "in sync"
    assert a.turn() == "in sync"
    assert a.heard.moves == [Move(BRANCH, head)]
    assert b.heard.moves == []
    assert b.heard.arrivals == [(git(a.path, "rev-parse", "HEAD~"), head)]
    assert a.heard.arrivals == []
    assert b.read("f") == "2\n"


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


@pytest.mark.parametrize("how", [(), ("--no-verify",)])
def test_a_push_by_hand_is_announced(two, how):
    a, _ = two
    a.turn(fetch=False)
    head = a.commit("f", "2\n")
    git(a.path, "push", "-q", *how)
    a.turn(fetch=False)
    assert a.heard.moves == [Move(BRANCH, head)]


def test_a_rejected_push_by_hand_and_a_dry_run_are_not_announced(two):
    a, b = two
    b.commit("f", "b\n")
    b.turn()
    a.commit("f", "a\n")
    git(a.path, "push", "-q", check=False)
    git(a.path, "push", "-q", "--dry-run", "--force")
    a.settings = a.settings.model_copy(update={"push": "manual", "pull": "never"})
    a.worker = None
    a.turn(fetch=False)
    assert a.heard.moves == []


def test_pushed_and_deleted_branches_are_announced(two):
    a, _ = two
    git(a.path, "branch", "side")
    git(a.path, "push", "-q", "origin", "side")
    a.turn(fetch=False)
    git(a.path, "push", "-q", "origin", ":side")
    a.turn(fetch=False)
    assert a.heard.moves == [Move("refs/heads/side", a.head), Move("refs/heads/side", "0" * 40)]


def test_a_push_by_url_is_announced_after_asking_the_remote(two, central):
    a, _ = two
    head = a.commit("f", "2\n")
    git(a.path, "push", "-q", str(central), "main")
    a.settings = a.settings.model_copy(update={"push": "manual"})
    a.worker = None

    async def note() -> None:
        a.worker = Worker(Repo(a.path, a.settings, frozenset({"push"})), a.instance, a.heard)
        a.worker.expect(BRANCH, head)
        await a.worker._turn()

    asyncio.run(note())
    assert a.heard.moves == [Move(BRANCH, head)]


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


def test_conflict_stop_leaves_both_branches_and_goes_on_after_the_merge_by_hand(two):
    a, b = two
    a.commit("first", "a\n")
    a.turn()
    b.settings = b.settings.model_copy(update={"conflict": "stop"})
    b.worker = None
    head = b.commit("first", "b\n")
    assert b.turn() == "diverged"
    assert b.head == head
    assert "merge" in b.worker.status.remedy
    git(b.path, "merge", "-q", "origin/main", check=False)
    assert b.turn() == "held"
    (b.path / "first").write_text("by hand\n")
    git(b.path, "commit", "-qam", "merged by hand")
    assert b.turn() == "in sync"
    assert a.turn() == "in sync"
    assert a.read("first") == "by hand\n"


def test_a_rewritten_upstream_is_held_until_the_person_decides(two, central):
    a, b = two
    old = a.commit("f", "old\n")
    a.turn()
    b.turn()
    git(a.path, "commit", "-q", "--amend", "-m", "rewritten")
    git(a.path, "push", "-q", "--force")
    assert b.turn() == "held"
    assert "rewritten" in b.reason
    assert b.head == old
    git(b.path, "reset", "-q", "--keep", "origin/main")
    assert b.turn() == "in sync"


def test_an_unrelated_history_is_never_merged(two, tmp_path, central):
    a, b = two
    head = b.commit("mine", "1\n")
    git(a.path, "checkout", "-q", "--orphan", "fresh")
    git(a.path, "commit", "-q", "-m", "another root")
    git(a.path, "push", "-q", "--force", "origin", "fresh:main")
    assert b.turn() == "held"
    assert "nothing in common" in b.reason
    assert b.head == head
    # what is announced of the other history is for this repository, before and after the person joins the two
    other = git(central, "rev-list", "--max-parents=0", "main")
    assert b.worker.identity.matches(other)
    git(b.path, "merge", "-q", "--allow-unrelated-histories", "-m", "joined", "origin/main")
    assert b.turn() == "in sync"
    assert b.worker.identity.matches(other)


def test_another_repository_in_the_place_of_the_old_one_is_left_alone_until_it_is_meant(two, tmp_path, central):
    a, _ = two
    git(tmp_path, "init", "-q", "--bare", "others.git")
    git(tmp_path, "clone", "-q", "others.git", "others")
    git(tmp_path / "others", "commit", "-q", "--allow-empty", "-m", "another root")
    a.path.rename(tmp_path / "old")
    (tmp_path / "others").rename(a.path)
    a.worker = None
    for _ in range(2):
        assert a.turn() == "paused"
        assert "another repository" in a.reason
        assert a.worker.status.remedy.startswith("autosync resume")
    assert git(tmp_path / "others.git", "branch") == ""
    a.worker.repository.pause_mark.unlink()
    assert a.turn() == "in sync"
    assert git(tmp_path / "others.git", "rev-parse", BRANCH) == a.head
    a.worker = None
    assert a.turn() == "in sync"


def test_a_first_commit_that_is_rewritten_or_joined_is_no_other_repository(two, tmp_path):
    a, _ = two
    a.settings = a.settings.model_copy(update={"push": "manual", "pull": "never"})
    git(a.path, "commit", "-q", "--amend", "-m", "another root")
    a.worker = None
    assert a.turn() != "paused"
    git(tmp_path, "init", "-q", "other")
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "another root", "--date", "@1 +0000")
    git(a.path, "pull", "-q", "--no-rebase", "--no-edit", "--allow-unrelated-histories", str(tmp_path / "other"))
    a.worker = None
    assert a.turn() != "paused"


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


def test_an_announcement_makes_no_work_or_a_fetch_that_is_spread(two):
    a, b = two
    b.settings = b.settings.model_copy(update={"fetch_jitter": 1000.0})
    b.worker = None
    b.turn()
    waits = set()
    head = a.commit("f", "1\n")
    a.turn()

    def hear(commit: str) -> None:
        async def run() -> None:
            b.worker._wake.clear()
            b.worker.heard(Announcement("pushed", "1" * 40, BRANCH, commit, "a-machine"))

        asyncio.run(run())

    hear(b.head)
    assert not b.worker._wake.is_set()
    for _ in range(20):
        hear(head)
        assert b.worker._wake.is_set()
        waits.add(b.worker._schedule.fetch_from - b.worker._clock())
        asyncio.run(b.worker._turn())
        assert b.head != head
    assert all(0 < wait <= 1000 for wait in waits)
    assert len(waits) == 20
    assert b.turn() == "in sync"
    assert b.head == head


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


@pytest.mark.parametrize(
    ("setting", "state"), [({"push": "manual"}, "ahead"), ({"pull": "notify"}, "behind"), ({"pull": "never"}, None)]
)
def test_switches(two, setting, state):
    a, b = two
    a.commit("f", "a\n")
    a.turn()
    b.settings = b.settings.model_copy(update=setting)
    b.worker = None
    if "push" in setting:
        b.commit("own", "b\n")
    found = b.turn()
    if state:
        assert found == state
    assert (b.path / "f").exists() is ("push" in setting)
    # switching the part on again catches up without a new change
    b.settings = b.settings.model_copy(update={"push": "auto", "pull": "auto"})
    b.worker = None
    assert b.turn() == "in sync"
    assert b.read("f") == "a\n"


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


def test_a_person_in_a_rebase_is_left_alone(two):
    a, b = two
    a.commit("f", "1\n")
    a.turn()
    (b.path / ".git/rebase-merge").mkdir()
    assert b.turn() == "held"
    assert "rebase" in b.reason
    assert not (b.path / "f").exists()
    (b.path / ".git/rebase-merge").rmdir()
    assert b.turn() == "in sync"


def test_a_branch_without_upstream_says_what_to_type(two):
    a, _ = two
    git(a.path, "checkout", "-q", "-b", "side")
    assert a.turn() == "no upstream"
    assert a.worker.status.remedy.endswith("push -u REMOTE side")


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_a_new_branch_gets_an_upstream_where_git_is_configured_so(two, central, wanted):
    a, b = two
    git(a.path, "config", "push.autoSetupRemote", wanted)
    git(a.path, "checkout", "-q", "-b", "side")
    head = a.commit("f", "1\n")
    assert a.turn() == ("in sync" if wanted == "true" else "no upstream")
    assert git(a.path, "config", "branch.side.merge", check=False) == ("refs/heads/side" if wanted == "true" else "")
    if wanted == "false":
        assert git(central, "branch", "--list", "side") == ""
        return
    assert git(central, "rev-parse", "side") == head
    assert a.heard.moves == [Move("refs/heads/side", head)]
    # somebody else had the same thought: the two are one branch
    git(b.path, "config", "push.autoSetupRemote", "true")
    git(b.path, "checkout", "-q", "-b", "side")
    b.commit("g", "2\n")
    assert b.turn() == "in sync"
    assert (b.read("f"), b.read("g")) == ("1\n", "2\n")
    assert git(central, "rev-parse", "side") == b.head
    assert git(b.path, "config", "branch.side.merge") == "refs/heads/side"


def test_a_detached_head_is_left_alone(two):
    a, _ = two
    git(a.path, "checkout", "-q", "--detach")
    assert a.turn() == "held"


def test_a_commit_is_fetched_directly_before_it_is_pushed(two, tmp_path, central):
    a, b = two
    a.settings = a.settings.model_copy(update={"direct": True, "push_delay": 1000.0})
    a.worker = None
    a.turn()
    head = a.commit("f", "direct\n")

    async def without_push() -> None:
        a.worker.hint()
        await a.worker._turn()

    asyncio.run(without_push())
    assert a.heard.offers == [Move(BRANCH, head)]
    assert git(central, "rev-parse", "main") != head

    git(b.path, "remote", "add", "a-machine", str(a.path))
    offer = Announcement("committed", "1" * 40, BRANCH, head, "a-machine")

    def hear(announcement: Announcement) -> str:
        async def run() -> None:
            b.worker.heard(announcement)
            await b.worker._turn()

        asyncio.run(run())
        return b.worker.status.name

    assert hear(offer) == "in sync"
    assert b.head == head
    assert b.read("f") == "direct\n"
    # b leaves the push to a, and needs no network when it hears of it
    assert git(central, "rev-parse", "main") != head
    git(a.path, "push", "-q")
    central.rename(central.with_suffix(".away"))
    assert hear(replace(offer, kind="pushed")) == "in sync"
    central.with_suffix(".away").rename(central)
    assert b.turn() == "in sync"
    assert b.heard.moves == []


def test_a_machine_that_cannot_be_reached_is_passed_over(two, tmp_path):
    a, b = two
    head = a.commit("f", "1\n")
    a.turn()
    git(b.path, "remote", "add", "a-machine", str(tmp_path / "nowhere"))

    async def run() -> None:
        b.worker.heard(Announcement("pushed", "1" * 40, BRANCH, head, "a-machine"))
        await b.worker._turn()

    asyncio.run(run())
    assert b.head == head


def test_a_forged_offer_is_one_wasted_look(two):
    a, b = two
    git(b.path, "remote", "add", "a-machine", str(a.path))

    async def run() -> None:
        b.worker.heard(Announcement("committed", "1" * 40, BRANCH, "f" * 40, "a-machine"))
        await b.worker._turn()

    before = b.head
    asyncio.run(run())
    assert b.head == before
    assert b.worker.status.name == "in sync"


def test_a_bare_repository_announces_what_moves(tmp_path, central):
    bare = Clone.__new__(Clone)
    bare.path, bare.settings, bare.worker = central, Settings(), None
    bare.instance, bare.heard = Instance.of(tmp_path / "server.toml"), Listener()
    bare.turn()
    a = Clone(tmp_path, "a", central)
    head = a.commit("f", "1\n")
    git(a.path, "push", "-q")
    git(a.path, "push", "-q", "origin", "main:side")
    bare.turn()
    bare.turn()
    git(a.path, "push", "-q", "origin", ":side")
    bare.turn()
    assert bare.heard.moves == [Move(BRANCH, head), Move("refs/heads/side", head), Move("refs/heads/side", "0" * 40)]


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
