"""What came, read from real git."""

from __future__ import annotations

import asyncio

import pytest

from autosync.common.git import Git
from autosync.relay.arrivals import Arrival, arrival, named, text, title
from tests.support.git import git


@pytest.fixture
def repo(tmp_path):
    git(tmp_path, "init", "-q", "repo")
    git(tmp_path / "repo", "commit", "-q", "--allow-empty", "-m", "first")
    return tmp_path / "repo"


def commit(repo, message, **files) -> str:
    for name, content in files.items():
        if content is None:
            git(repo, "rm", "-q", "--", name)
        else:
            (repo / name).write_text(content)
            git(repo, "add", "--", name)
    git(repo, "commit", "-q", "-m", message)
    return git(repo, "rev-parse", "HEAD")


def found(repo, before, after="HEAD", here="here"):
    return asyncio.run(arrival(Git(repo), before, after, here))


def test_files_and_machines_are_those_of_the_others_commits(repo):
    before = git(repo, "rev-parse", "HEAD")
    commit(repo, "by hand", **{"b\ny": "1", "old": "1"})
    commit(repo, "auto\n\nAutosync-Machine: laptop", a="1", old=None)
    commit(repo, "ours\n\nAutosync-Machine: here", mine="1")
    assert found(repo, before) == Arrival({"a": True, "old": False, "b\ny": True}, ("laptop", "Test Person"))


def test_a_merge_brings_what_the_other_side_did(repo):
    base = commit(repo, "base", x="1")
    ours = commit(repo, "ours\n\nAutosync-Machine: here", x="2")
    git(repo, "switch", "-q", "-c", "other", base)
    theirs = commit(repo, "theirs\n\nAutosync-Machine: laptop", y="1")
    git(repo, "merge", "-q", "-m", "merged", ours)
    assert found(repo, ours, theirs) == Arrival({"y": True}, ("laptop",))
    assert found(repo, ours) == Arrival({"y": True}, ("laptop",))
    assert found(repo, "HEAD") == Arrival({}, ())


def test_the_words():
    one = Arrival({"a": True}, ("laptop",))
    assert (title(one), text(one)) == ("1 file from laptop", "a")
    many = Arrival({f"f{n}": n != 1 for n in range(1234)}, ("a", "b", "c", "d"))
    assert title(many) == "1,234 files from 4 machines"
    assert text(many) == "f0, f1 (deleted), f2, f3 and 1,230 more"
    assert named(["a", "b", "c"], 3) == "a, b and c"
