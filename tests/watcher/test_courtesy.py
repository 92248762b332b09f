"""Holding back while a person is in the middle of something."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from tests.support.git import git
from tests.support.wait import until


def conflict(w):
    """Two branches that change the same line."""
    w.write("f", "1\n")
    w.git("add", "-A")
    w.git("commit", "-qm", "base")
    w.git("switch", "-qc", "side")
    w.write("f", "side\n")
    w.git("commit", "-qam", "side")
    w.git("switch", "-q", "main")
    w.write("f", "main\n")
    w.git("commit", "-qam", "main")


def merge(w):
    w.git("merge", "side", check=False)
    return "merge", lambda: w.git("merge", "--abort")


def rebase(w):
    w.git("rebase", "side", check=False)
    return "rebase", lambda: w.git("rebase", "--abort")


def cherry_pick(w):
    w.git("cherry-pick", "side", check=False)
    return "cherry-pick", lambda: w.git("cherry-pick", "--abort")


def revert(w):
    w.git("revert", "--no-edit", "HEAD~1", check=False)
    return "revert", lambda: w.git("revert", "--abort")


def bisect(w):
    w.git("bisect", "start")
    return "bisect", lambda: w.git("bisect", "reset")


def am(w):
    w.git("am", input=w.git("format-patch", "--stdout", "-1", "side").encode(), check=False)
    return "am", lambda: w.git("am", "--abort")


@pytest.mark.parametrize("begin", [merge, rebase, cherry_pick, revert, bisect, am], ids=lambda f: f.__name__)
def test_an_operation_of_the_persons_holds_commits_back_until_it_ends(watched, begin):
    w = watched(start=False)
    conflict(w)
    name, end = begin(w)
    w.start()
    w.write("other", "1")
    found = w.until_state("held")
    assert name in found["reason"]
    assert "git" in found["remedy"]
    until(lambda: w.status()["dirty"], "the change to be seen")
    assert w.committed("other") is None
    end()
    w.until_committed("other", b"1")
    assert b"<<<<" not in (w.committed("f") or b"")
    assert w.status()["state"] == "watching"


def test_nothing_is_committed_on_a_detached_head(watched):
    w = watched()
    w.write("f", "1")
    w.until_clean()
    w.git("switch", "-q", "--detach")
    head = w.git("rev-parse", "HEAD")
    w.write("f", "2")
    assert "detached" in w.until_state("held")["reason"]
    until(lambda: w.status()["dirty"], "the change to be seen")
    assert w.git("rev-parse", "HEAD") == head
    w.git("switch", "-q", "main")
    w.until_committed("f", b"2")


def test_an_unborn_branch_waits_for_what_the_remote_has(watched, tmp_path):
    git(tmp_path, "init", "-q", "other")
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "theirs")
    w = watched(start=False)
    w.git("remote", "add", "origin", str(tmp_path / "other"))
    w.git("fetch", "-q", "origin")
    w.start()
    w.write("f", "1")
    assert "has no commit yet" in w.until_state("held")["reason"]
    w.git("merge", "-q", "--ff-only", "origin/main")
    w.until_committed("f", b"1")
    assert w.commits() == ["theirs", '"f" added']


def test_a_held_index_lock_is_waited_for_and_never_deleted(watched):
    w = watched()
    w.write("f", "1")
    w.until_clean()
    lock = w.root / ".git" / "index.lock"
    with lock.open("x"):
        w.write("f", "2")
        assert "index.lock" in w.until_state("held")["reason"]
        long_ago = time.time() - 3 * 3600
        os.utime(lock, (long_ago, long_ago))
        found = w.status()
        assert "held index.lock for 3 hours" in found["reason"]
        assert str(os.getpid()) in found["reason"]
    found = w.status()
    assert "3 hours old and nobody has it open" in found["reason"]
    assert f"rm '{lock}'" in found["remedy"]
    assert w.committed("f") == b"1"
    lock.unlink()
    w.until_committed("f", b"2")


def test_hand_staged_changes_are_left_to_the_person(watched):
    w = watched()
    w.write("f", "1\n")
    w.write("g", "1\n")
    w.until_clean()
    w.stop()
    w.write("f", "2\n")
    w.git("add", "f")
    w.write("f", "3\n")
    w.write("g", "2\n")
    w.start()
    assert w.until_state("held")["reason"] == "1 change is staged by hand"
    assert w.committed("g") == b"1\n"
    w.git("commit", "-qm", "by hand")
    w.until_committed("f", b"3\n")
    w.until_committed("g", b"2\n")
    assert w.git("show", "HEAD~1:f") == "2"
    assert w.commits()[-2] == "by hand"


def test_staging_survives_an_automatic_commit_of_other_paths(watched):
    w = watched("settle = 0\nstaged-hold = 3")
    for name in ("partly", "removed", "other"):
        w.write(name, "1\n")
    w.until_clean()
    w.stop()
    w.write("partly", "2\n")
    w.git("add", "partly")
    w.write("partly", "3\n")
    w.git("rm", "-q", "--cached", "removed")
    w.write("added", "staged\n")
    w.git("add", "added")
    w.write("other", "2\n")
    w.start()
    w.until_committed("other", b"2\n")
    assert w.git("diff", "--cached", "--name-status").splitlines() == ["A\tadded", "M\tpartly", "D\tremoved"]
    assert w.git("show", ":partly") == "2"
    assert w.committed("partly") == b"1\n"
    assert w.committed("removed") == b"1\n"
    held = {one["path"]: one["reason"] for one in w.status()["quarantined"]}
    assert held["partly"] == "it has changes staged by hand"
    w.git("commit", "-qm", "by hand")
    w.until_committed("partly", b"3\n")
    assert w.commits()[-2] == "by hand"


def test_an_unresolved_conflict_without_a_merge_is_never_committed(watched):
    w = watched("settle = 0\nstaged-hold = 0", start=False)
    w.write("f", "1\n")
    w.git("add", "-A")
    w.git("commit", "-qm", "base")
    w.write("f", "stashed\n")
    w.git("stash")
    w.write("f", "2\n")
    w.git("commit", "-qam", "other")
    w.git("stash", "pop", check=False)
    w.start()
    w.write("g", "1")
    assert "unresolved conflict" in w.until_state("held")["reason"]
    assert b"<<<<" in (w.root / "f").read_bytes()
    assert w.committed("g") is None
    w.write("f", "3\n")
    w.git("add", "f")
    w.until_committed("g", b"1")
    w.git("commit", "-qm", "resolved")
    w.write("f", "4\n")
    w.until_committed("f", b"4\n")


def test_a_paused_repository_is_left_alone(watched):
    w = watched()
    w.write("f", "1")
    w.until_clean()
    mark = w.root / ".git" / "autosync" / "paused"
    mark.touch()
    w.ask("look")
    w.write("f", "2")
    assert w.until_state("paused")["reason"] == "paused by hand"
    until(lambda: w.status()["dirty"], "the change to be seen")
    assert w.committed("f") == b"1"
    mark.unlink()
    w.ask("look")
    w.until_committed("f", b"2")


def test_a_commit_by_hand_always_wins(watched):
    w = watched("settle = 0")
    w.write("f", "0")
    w.until_clean()
    add = ["git", "add", "-A"]
    for number in range(1, 40):
        w.write("f", str(number))
        # our moment at index.lock may be met; trying again is all that it takes
        until(lambda: subprocess.run(add, cwd=w.root, capture_output=True).returncode == 0, "git add")
        w.git("commit", "-qm", "by hand", check=False)
    w.until_committed("f", b"39")
    w.until_clean()
    assert w.git("fsck", "--strict", "--no-dangling") == ""
    versions = [int(w.git("show", f"{commit}:f")) for commit in w.git("log", "--reverse", "--format=%H").split()]
    assert versions == sorted(versions)
    assert len(versions) == len(set(versions))
