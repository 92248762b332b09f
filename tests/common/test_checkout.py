"""A move of the work tree that was killed leaves nothing half-done after `recover`."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from autosync.common import checkout, locks
from autosync.common.repository import Repository
from tests.support.git import git
from tests.support.wait import until

FILES = 400


@pytest.fixture
def moved(tmp_path) -> tuple[Repository, str, str]:
    """A repository at its first commit, with a second one that edits, deletes, adds and turns files into folders."""
    git(tmp_path, "init", "-q")
    for number in range(FILES):
        path = tmp_path / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"old {number}\n" * 50)
    (tmp_path / "turns").write_text("file\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "old")
    before = git(tmp_path, "rev-parse", "HEAD")
    for number in range(FILES):
        path = tmp_path / f"d{number % 7}" / f"f{number}"
        if number % 5 == 0:
            path.unlink()
        else:
            path.write_text(f"new {number}\n" * 50)
        (tmp_path / f"d{number % 7}" / f"added{number}").write_text("added\n")
    (tmp_path / "turns").unlink()
    (tmp_path / "turns").mkdir()
    (tmp_path / "turns" / "inside").write_text("now a folder\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "new")
    after = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "reset", "-q", "--hard", before)
    repository = Repository.open(tmp_path)
    repository.make_own_folders()
    return repository, before, after


def recover(repository: Repository) -> None:
    lock = locks.acquire(repository.lock)
    try:
        checkout.recover(repository, lock)
    finally:
        locks.release(lock)


def status(repository: Repository) -> str:
    return git(repository.path, "status", "--porcelain", "-uall")


def fast_forward(repository: Repository, after: str) -> None:
    git(repository.path, "merge", "-q", "--ff-only", "--no-overwrite-ignore", after)


@pytest.mark.parametrize("made", ["turns", "turns/in/it"])
def test_git_killed_between_a_folder_and_what_goes_into_it(moved, made):
    repository, before, after = moved
    checkout.begin(repository, before, after)
    (repository.path / "turns").unlink()
    (repository.path / made).mkdir(parents=True)
    recover(repository)
    assert status(repository) == ""


def test_what_a_person_has_put_where_a_file_was_stays(moved):
    repository, before, after = moved
    checkout.begin(repository, before, after)
    (repository.path / "turns").unlink()
    (repository.path / "turns/of").mkdir(parents=True)
    (repository.path / "turns/mine").write_text("mine\n")
    recover(repository)
    assert status(repository) == " D turns\n?? turns/mine"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.7, 0.95])
def test_git_killed_in_the_middle(moved, share):
    repository, before, after = moved
    checkout.begin(repository, before, after)
    child = subprocess.Popen(["git", "merge", "-q", "--ff-only", after], cwd=repository.path)
    wanted = int(share * FILES)

    def added() -> int:
        return sum(1 for _ in repository.path.glob("d*/added*"))

    until(lambda: (repository.git_dir / "index.lock").exists() or child.poll() is not None, "git to begin")
    until(lambda: added() >= wanted or child.poll() is not None, "git to get so far")
    child.send_signal(signal.SIGKILL)
    child.wait()
    recover(repository)
    assert checkout.journal(repository) is None
    assert not (repository.git_dir / "index.lock").exists()
    assert status(repository) == ""
    assert git(repository.path, "rev-parse", "HEAD") in (before, after)
    fast_forward(repository, after)
    assert status(repository) == ""


def half_move(repository: Repository, after: str) -> None:
    """What a killed git leaves: some files replaced, one missing, one half-written, and index.lock."""
    folder = repository.path
    (repository.git_dir / "index.lock").touch()
    for number in (1, 2):
        path = f"d{number}/f{number}"
        (folder / path).write_text(git(folder, "show", f"{after}:{path}") + "\n")
    (folder / "d3/f3").unlink()
    (folder / "d4/f4").write_text(git(folder, "show", f"{after}:d4/f4")[:37])
    (folder / "d0/f0").unlink()
    (folder / "d1/added1").write_text("added\n")
    (folder / "d2/added2").write_text("add")
    (folder / "turns").unlink()
    (folder / "turns").mkdir()
    (folder / "turns/inside").write_text("now a folder\n")


def test_everything_git_left_is_put_back(moved):
    repository, before, after = moved
    checkout.begin(repository, before, after)
    half_move(repository, after)
    recover(repository)
    assert status(repository) == ""
    assert git(repository.path, "rev-parse", "HEAD") == before
    fast_forward(repository, after)


def test_the_persons_own_work_stays(moved):
    repository, before, after = moved
    checkout.begin(repository, before, after)
    half_move(repository, after)
    (repository.path / "d5/f8").parent.mkdir(exist_ok=True)
    (repository.path / "d6/f6").write_text("my own edit\n")
    (repository.path / "d3/added3").write_text("my own new file\n")
    (repository.path / "elsewhere").write_text("new\n")
    recover(repository)
    assert (repository.path / "d6/f6").read_text() == "my own edit\n"
    assert (repository.path / "d3/added3").read_text() == "my own new file\n"
    assert (repository.path / "elsewhere").read_text() == "new\n"
    assert set(status(repository).split("\n")) == {" M d6/f6", "?? d3/added3", "?? elsewhere"}


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none, as on a stick"])
def test_what_is_saved_while_git_is_put_back_stays(moved, monkeypatch, links):
    """The save comes after the file was found to be git's own, and before it is taken away."""
    repository, before, after = moved
    file = repository.path / "d1/f1"
    file.write_bytes(git(repository.path, "cat-file", "blob", f"{after}:d1/f1").encode() + b"\n")
    checkout.begin(repository, before, after)
    rename = Path.rename

    def saved_first(path: Path, target: Path) -> Path:
        if path == file:
            file.write_text("saved meanwhile\n")
        return rename(path, target)

    def no_links(*_args, **_keys):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "rename", saved_first)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    recover(repository)
    assert file.read_text() == "saved meanwhile\n"
    assert not [*repository.tree_dir.glob("recovery-*")]


def test_a_link_out_of_the_tree_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "inside").write_text("")
    folder = tmp_path / "r"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "link").symlink_to(outside)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "link")
    before = git(folder, "rev-parse", "HEAD")
    (folder / "link").unlink()
    (folder / "link").mkdir()
    (folder / "link/inside").write_text("content\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "folder")
    after = git(folder, "rev-parse", "HEAD")
    git(folder, "reset", "-q", "--hard", before)
    repository = Repository.open(folder)
    repository.make_own_folders()
    checkout.begin(repository, before, after)
    recover(repository)
    assert (outside / "inside").exists()
    assert status(repository) == ""


def test_killed_before_the_ref_was_written(moved):
    repository, before, after = moved
    fast_forward(repository, after)
    git(repository.path, "update-ref", "HEAD", before)
    checkout.begin(repository, before, after)
    recover(repository)
    assert git(repository.path, "rev-parse", "HEAD") == after
    assert status(repository) == ""


def test_killed_after_everything_was_written(moved):
    repository, before, after = moved
    fast_forward(repository, after)
    checkout.begin(repository, before, after)
    recover(repository)
    assert checkout.journal(repository) is None
    assert status(repository) == ""


def test_a_first_checkout_that_was_killed(tmp_path):
    git(tmp_path, "init", "-q", "-b", "other")
    (tmp_path / "a").write_text("a\n")
    (tmp_path / "b").write_text("b\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "x")
    after = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "checkout", "-q", "--orphan", "main")
    git(tmp_path, "rm", "-q", "--cached", "-r", ".")
    (tmp_path / "b").unlink()
    repository = Repository.open(tmp_path)
    repository.make_own_folders()
    (repository.git_dir / "index.lock").touch()
    checkout.begin(repository, None, after)
    recover(repository)
    assert status(repository) == ""
    assert not (tmp_path / "a").exists()
    fast_forward(repository, after)
    assert (tmp_path / "b").read_text() == "b\n"


def test_a_lock_that_somebody_holds_is_left_alone(moved):
    repository, before, after = moved
    checkout.begin(repository, before, after)
    with (repository.git_dir / "index.lock").open("w"), pytest.raises(checkout.Busy):
        recover(repository)
    assert (repository.git_dir / "index.lock").exists()
    assert checkout.journal(repository) is not None


def test_filters_are_counted(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "filter.upper.clean", "tr a-z A-Z")
    git(tmp_path, "config", "filter.upper.smudge", "tr A-Z a-z")
    (tmp_path / ".gitattributes").write_text("* filter=upper\n.gitattributes -filter\n")
    for text in ("old text\n", "new text\n"):
        (tmp_path / "f").write_text(text)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", text)
    after, before = git(tmp_path, "rev-parse", "HEAD", "HEAD~1").split()
    git(tmp_path, "reset", "-q", "--hard", before)
    repository = Repository.open(tmp_path)
    repository.make_own_folders()
    checkout.begin(repository, before, after)
    (tmp_path / "f").write_text("new te")
    recover(repository)
    assert (tmp_path / "f").read_text() == "old text\n"
    assert status(repository) == ""


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"before": 3, "after": 4}', b"\xff", bytes(range(64, 128))])
def test_a_damaged_journal_counts_as_none(moved, damage):
    repository, _, _ = moved
    (repository.tree_dir / "checkout").write_bytes(damage)
    recover(repository)
    assert not (repository.tree_dir / "checkout").exists()
