"""Both readers answer every question alike."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosync.common.errors import Problem
from autosync.common.git import Git
from autosync.common.libgit import LibgitReader
from autosync.common.reader import GitReader, Head, Reader, Unreadable, Upstream, open_reader, tracking_ref
from autosync.common.repository import Repository
from tests.support.git import git


@pytest.fixture
def lab(tmp_path) -> Path:
    """A clone with two commits more than its remote, one remote branch more, and ignore rules."""
    git(tmp_path, "init", "-q", "--bare", "central.git")
    git(tmp_path, "clone", "-q", "central.git", "clone")
    path = tmp_path / "clone"
    (path / ".gitignore").write_text("*.o\nbuild/\n")
    (path / "kept.o").write_text("")
    git(path, "add", "-f", "kept.o", ".gitignore")
    git(path, "commit", "-qm", "one")
    git(path, "push", "-q", "origin", "main", "main:side/branch")
    git(path, "commit", "-q", "--allow-empty", "-m", "two")
    git(path, "commit", "-q", "--allow-empty", "-m", "three")
    return path


@pytest.fixture(params=[LibgitReader, GitReader])
def reader(request, lab) -> Reader:
    repository = Repository.open(lab)
    if request.param is GitReader:
        return GitReader(repository.git)
    return LibgitReader(repository.git_dir, repository.git)


def test_refs_and_graph(reader, lab):
    one, two, three = git(lab, "rev-list", "--reverse", "main").split()
    assert reader.head() == Head("refs/heads/main", three)
    assert reader.resolve("refs/remotes/origin/main") == one
    assert reader.resolve("refs/heads/absent") is None
    assert reader.refs("refs/remotes/origin/") == {
        "refs/remotes/origin/main": one,
        "refs/remotes/origin/side/branch": one,
    }
    assert reader.ahead_behind(three, one) == (2, 0)
    assert reader.ahead_behind(one, two) == (0, 1)
    assert reader.is_ancestor(one, three)
    assert reader.is_ancestor(one, one)
    assert not reader.is_ancestor(three, one)
    assert reader.related(one, three)
    assert reader.has_commit(two)
    assert not reader.has_commit("1" * 40)


def test_unrelated_histories(reader, lab):
    git(lab, "checkout", "-q", "--orphan", "fresh")
    git(lab, "commit", "-q", "--allow-empty", "-m", "root")
    assert not reader.related(git(lab, "rev-parse", "fresh"), git(lab, "rev-parse", "main"))


def test_detached_and_unborn(reader, lab):
    git(lab, "checkout", "-q", "--detach", "main~1")
    assert reader.head() == Head(None, git(lab, "rev-parse", "main~1"))
    git(lab, "checkout", "-q", "--orphan", "fresh")
    assert reader.head() == Head("refs/heads/fresh", None)


def test_upstream_and_configuration(reader, lab):
    assert reader.upstream("refs/heads/main") == Upstream("origin", "refs/heads/main", "refs/remotes/origin/main")
    git(lab, "branch", "-q", "alone")
    assert reader.upstream("refs/heads/alone") is None
    git(lab, "config", "branch.unborn.remote", "origin")
    git(lab, "config", "branch.unborn.merge", "refs/heads/x")
    assert reader.upstream("refs/heads/unborn") == Upstream("origin", "refs/heads/x", "refs/remotes/origin/x")
    assert reader.config("user.name") == "Test Person"
    assert reader.config("no.such") is None
    assert reader.fetch_refspecs("origin") == ["+refs/heads/*:refs/remotes/origin/*"]
    assert reader.fetch_refspecs("/a/path") == []


def test_ignore_rules_match_whether_tracked_or_not(reader):
    names = ["a.o", "kept.o", "build/", "build/x", "source", os.fsdecode(b"\xff.o"), "new\nline.o"]
    assert reader.ignored(names) == set(names) - {"source"}
    assert reader.ignored([]) == set()


@pytest.mark.parametrize("there", [False, True])
def test_nothing_takes_back_what_is_in_an_ignored_folder(reader, lab, there):
    (lab / ".gitignore").write_text("build/\n!*.keep\n/logs/*\n!/logs/kept/\n")
    names = ["build/", "build/x.keep", "build/deep/x.keep", "logs/", "logs/kept/", "logs/kept/f", "logs/f", "x.keep"]
    if there:
        for name in names:
            path = lab / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=True) if name.endswith("/") else path.touch()
        assert reader.ignored(names) == {"build/", "build/x.keep", "build/deep/x.keep", "logs/f"}
    else:
        assert {"build/", "build/x.keep", "build/deep/x.keep", "logs/f"} <= reader.ignored(names)


@pytest.mark.parametrize("where", ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "hasconfig"])
def test_rules_that_libgit2_would_not_find_count(reader, home, tmp_path, monkeypatch, where):
    (tmp_path / "rules").write_text("*.mine\n")
    settings = tmp_path / "settings"
    settings.write_text(f"[core]\n\texcludesFile = {tmp_path}/rules\n")
    if where == "hasconfig":
        with (home / ".gitconfig").open("a") as file:
            file.write(f'[includeIf "hasconfig:remote.*.url:**"]\n\tpath = {settings}\n')
    else:
        monkeypatch.setenv(where, str(settings))
    assert reader.ignored(["a.mine", "a.o", "source"]) == {"a.mine", "a.o"}


def test_the_log_of_a_tracking_ref(reader, lab):
    git(lab, "push", "-q")
    (first, *_) = reader.last_reflog("refs/remotes/origin/main", 1)
    assert first == (git(lab, "rev-parse", "main~2"), git(lab, "rev-parse", "main"), "update by push")
    assert reader.last_reflog("refs/remotes/origin/absent", 3) == []
    oldest = reader.last_reflog("refs/remotes/origin/main", 9)[-1]
    assert oldest[0] == "0" * 40


def test_a_corrupt_ref_is_unreadable_or_absent_but_no_crash(reader, lab):
    (lab / ".git/refs/heads/main").write_text("rubbish\n")
    try:
        assert reader.head().commit is None
    except Unreadable:
        pass


def test_questions_leave_no_memory_behind(lab):
    """A service asks them for months."""
    found = open_reader(lab / ".git", Git(lab))

    def ask(times: int) -> None:
        for _ in range(times):
            head = found.head()
            found.resolve("".join(["refs/heads/", "absent"]))
            found.last_reflog("".join(["refs/heads/", "main"]), 3)
            assert found.upstream(head.branch)

    ask(10)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        ask(500)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


def test_sha256_is_answered_by_git(tmp_path):
    git(tmp_path, "init", "-q", "--object-format=sha256")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "x")
    repository = Repository.open(tmp_path)
    found = open_reader(repository.git_dir, repository.git)
    assert isinstance(found, GitReader)
    assert len(found.head().commit) == 64


@given(st.sampled_from(["main", "a/b", "x"]), st.sampled_from(["origin", "up"]))
def test_tracking_refs(branch, remote):
    specs = [f"+refs/heads/*:refs/remotes/{remote}/*"]
    assert tracking_ref(specs, f"refs/heads/{branch}") == f"refs/remotes/{remote}/{branch}"
    assert tracking_ref(["+refs/heads/other:refs/x"], f"refs/heads/{branch}") is None
    assert tracking_ref([f"refs/heads/{branch}:refs/x"], f"refs/heads/{branch}") == "refs/x"
    assert tracking_ref(["^refs/heads/*", "refs/heads/*"], f"refs/heads/{branch}") is None


def test_what_is_no_repository_says_so(tmp_path, lab):
    for path, words in (
        (tmp_path / "absent", "is not there"),
        (tmp_path, "is not a git repository"),
        (lab / "sub", "is a folder inside the repository"),
    ):
        if path.name == "sub":
            path.mkdir()
        with pytest.raises(Problem, match=words) as caught:
            Repository.open(path)
        assert str(path) in caught.value.what
        assert caught.value.remedy


def test_a_linked_work_tree_has_places_of_its_own(lab):
    git(lab, "worktree", "add", "-q", "../linked", "-b", "linked")
    repository = Repository.open(lab.parent / "linked")
    assert repository.common_dir == lab / ".git"
    assert repository.git_dir == lab / ".git/worktrees/linked"
    assert repository.notes_dir == lab / ".git/autosync/notes"
    assert repository.lock.parent == lab / ".git/worktrees/linked/autosync"


@pytest.mark.parametrize(
    ("start", "operation"),
    [
        ("git merge side", "merge"),
        ("git cherry-pick side", "cherry-pick"),
        ("git rebase side", "rebase"),
        ("git revert --no-edit HEAD~1", "revert"),
        ("git bisect start", "bisect"),
    ],
)
def test_operations_under_way(tmp_path, start, operation):
    git(tmp_path, "init", "-q")
    for name in ("main", "side"):
        git(tmp_path, "checkout", "-q", "-B", name)
        if name == "side":
            git(tmp_path, "reset", "-q", "--hard", "main~1")
        for number in range(2):
            (tmp_path / "f").write_text(f"{name} {number}\n")
            git(tmp_path, "add", "f")
            git(tmp_path, "commit", "-qm", f"{name} {number}")
    git(tmp_path, "checkout", "-q", "main")
    repository = Repository.open(tmp_path)
    assert repository.operation() is None
    git(tmp_path, *start.split()[1:], check=False)
    assert repository.operation() == operation
