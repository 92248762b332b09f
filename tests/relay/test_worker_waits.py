"""When a worker leaves a repository to the person."""

from __future__ import annotations

import pytest

from autosync.relay.state import Move
from tests.relay.clones import BRANCH
from tests.support.git import git


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
