"""`autosync sync`, `pause`, `resume`, `log`: what they ask of the services and what they tell the person."""

from __future__ import annotations

import json

import pytest

from autosync.common.operations import Operation, OperationLog
from autosync.common.repository import Repository
from tests.console.fake import relay_entry, running
from tests.support.git import git


def committed(machine, **changes):
    entry = {"path": str(machine.notes), "commit": None, "state": "watching", "reason": None, "remedy": None}
    return {"repositories": [entry | changes]}


def exchanged(machine, **changes):
    return {"repositories": [relay_entry(machine.notes, **changes)]}


def sync(machine, committing, exchanging, *paths):
    with (
        running(machine.instance, "watcher", {"commit": committing}) as watcher,
        running(machine.instance, "relay", {"sync": exchanging}) as relay,
    ):
        outcome = machine.run("sync", *paths)
    asked = [{k: v for k, v in r.items() if k != "command"} for r in watcher.asked + relay.asked]
    return *outcome, asked


def test_sync_commits_then_exchanges_and_is_done_when_in_sync(machine):
    code, out, err, asked = sync(machine, committed(machine), exchanged(machine))
    assert (code, out, err) == (0, "~/notes: in sync\n", "")
    assert asked == [{"paths": [str(machine.notes)]}] * 2


def test_sync_fails_when_a_repository_is_stuck_and_says_what_to_do(machine):
    stuck = exchanged(machine, state="offline", reason="origin cannot be reached", remedy="tried again by itself")
    code, out, err, _ = sync(machine, committed(machine), stuck)
    assert code == 1
    assert out == ""
    assert "offline: origin cannot be reached" in err
    assert "tried again by itself" in err


def test_sync_fails_when_something_could_not_be_committed(machine):
    held = committed(machine, state="held", reason="a merge is under way", remedy="git merge --abort")
    code, _, err, _ = sync(machine, held, exchanged(machine))
    assert code == 1
    assert "a merge is under way" in err


def test_a_path_inside_a_repository_means_that_repository(machine, monkeypatch):
    (machine.notes / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(machine.notes / "deep")
    code, out, _, asked = sync(machine, committed(machine), exchanged(machine), "er", ".", machine.notes)
    assert (code, out) == (0, "~/notes: in sync\n")
    assert asked[0] == {"paths": [str(machine.notes)]}


def test_a_path_in_a_repository_inside_another_means_the_inner_one(machine):
    git(machine.notes, "init", "-q", "inner")
    for order in ("~/notes", "~/notes/inner"), ("~/notes/inner", "~/notes"):
        machine.config.write_text("".join(f'[[repository]]\npath = "{path}"\n' for path in order))
        assert machine.run("pause", machine.notes / "inner")[1].startswith("~/notes/inner is paused")


def test_the_watcher_is_not_asked_for_what_has_no_work_tree(machine):
    machine.config.write_text(machine.config.read_text() + '[[repository]]\npath = "~/central.git"\n')
    both = {"repositories": [relay_entry(machine.notes), relay_entry(machine.central)]}
    code, _, _, asked = sync(machine, committed(machine), both)
    assert code == 0
    assert asked == [{"paths": [str(machine.notes)]}, {"paths": [str(machine.notes), str(machine.central)]}]


def test_a_path_through_a_link_is_understood(machine, home):
    (home / "link").symlink_to(machine.notes)
    code, out, _, _ = sync(machine, committed(machine), exchanged(machine), home / "link")
    assert (code, out) == (0, "~/notes: in sync\n")


def test_a_path_that_is_not_configured_is_a_problem(machine, tmp_path):
    code, _, err = machine.run("sync", tmp_path)
    assert code == 1
    assert f"autosync init {tmp_path}" in err


def test_without_services_sync_does_the_relays_work_itself(machine):
    git(machine.notes, "commit", "-q", "--allow-empty", "-m", "second")
    code, out, _ = machine.run("sync")
    assert (code, out) == (0, "~/notes: in sync\n")
    assert git(machine.central, "rev-parse", "main") == git(machine.notes, "rev-parse", "main")


def test_without_a_watcher_uncommitted_files_are_not_in_sync(machine):
    (machine.notes / "file").write_text("x")
    code, _, err = machine.run("sync")
    assert code == 1
    assert "1 changed file is not committed, as the watcher is not running" in err
    assert "autosync-watcher" in err


def test_pause_leaves_a_mark_and_tells_the_services_and_resume_takes_it_away(machine):
    repository = Repository.open(machine.notes)
    with running(machine.instance, "watcher", {}) as watcher, running(machine.instance, "relay", {}) as relay:
        code, out, _ = machine.run("pause")
        assert code == 0
        assert "~/notes is paused; go on with: autosync resume ~/notes" in out
        assert repository.paused
        assert machine.run("pause", machine.notes)[1] == "~/notes is paused already\n"
        assert json.loads(machine.run("status", "--json")[1])["repositories"][0]["state"] == "paused"
        assert machine.run("resume")[1] == "~/notes goes on\n"
        assert not repository.paused
        assert machine.run("resume")[1] == "~/notes is not paused\n"
    assert [c for c in watcher.commands() if c == "look"] == ["look"] * 4
    assert [c for c in relay.commands() if c == "look"] == ["look"] * 4


def test_pause_works_without_services(machine):
    assert machine.run("pause")[0] == 0
    assert Repository.open(machine.notes).paused


def test_a_held_deletion_is_confirmed_through_the_watcher(machine):
    code, _, err = machine.run("resume", "--confirm-deletions")
    assert code == 1
    assert "the watcher is not running" in err
    with running(machine.instance, "watcher", {"confirm-deletions": {}}) as watcher:
        code, out, _ = machine.run("resume", "--confirm-deletions", machine.notes)
    assert (code, out) == (0, "the deletions are committed now\n")
    assert watcher.asked[-1] == {"command": "confirm-deletions", "paths": [str(machine.notes)]}


def test_the_log_shows_what_was_done_where(machine):
    log = OperationLog(machine.instance.operations)
    log.append(Operation("/elsewhere", "push", "refs/heads/main", "1" * 40, "2" * 40))
    log.append(
        Operation(
            str(machine.notes), "commit", "refs/heads/main", None, "3" * 40, paths=("a\nb", "c", "d", "e"), seconds=0.25
        )
    )
    code, out, _ = machine.run("log")
    assert code == 0
    first, second = out.splitlines()
    assert first.endswith("/elsewhere  push main 1111111..2222222")
    assert second.endswith("~/notes  commit main 3333333 (a\\nb, c, d and 1 more) in 0.25 s")
    assert machine.run("log", machine.notes)[1].splitlines() == [second]
    assert machine.run("log", machine.notes / "e")[1].splitlines() == [second]
    assert machine.run("log", machine.notes / "other")[1] == "nothing like that\n"
    assert machine.run("log", "-n", "1")[1].splitlines() == [second]
    log.append(Operation(str(machine.notes), "hold", detail="why"))
    assert machine.run("log", "-n", "1", machine.notes)[1].endswith("~/notes  hold why\n")
    log.append(Operation(str(machine.notes), "commit", detail='"c" added', paths=("c",)))
    assert machine.run("log", "-n", "1")[1].endswith('commit "c" added\n')
    rows = [json.loads(line) for line in machine.run("log", "--json")[1].splitlines()]
    assert [row["action"] for row in rows] == ["push", "commit", "hold", "commit"]
    assert rows[1]["paths"] == ["a\nb", "c", "d", "e"]


def test_a_wrong_option_is_a_usage_error(machine):
    code, _, err = machine.run("sync", "--nonsense")
    assert code == 2
    assert "No such option" in err


def test_config_may_stand_on_either_side_of_the_command(machine, capsys):
    from autosync.console.main import main

    assert main(["status", "--config", str(machine.config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "laptop"


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(machine):
    (machine.notes / "new").touch()
    (machine.notes / ".x.kate-swp").touch()
    (machine.notes / "id_rsa").write_text("key")
    git(machine.notes, "commit", "-q", "--allow-empty", "-m", "second")
    before = git(machine.notes, "rev-parse", "HEAD"), git(machine.central, "rev-parse", "HEAD")
    code, out, err = machine.run("sync", "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "~/notes:",
        "  would commit 1 changed file",
        "  would hold back id_rsa",
        "  would push 2 commits to origin/main",
        "  would tell the other machines",
    ]
    assert before == (git(machine.notes, "rev-parse", "HEAD"), git(machine.central, "rev-parse", "HEAD"))
    for name in ("new", ".x.kate-swp"):
        (machine.notes / name).unlink()
    assert git(machine.notes, "status", "--porcelain") == "?? id_rsa"
    assert "would hold back id_rsa" in machine.run("sync", "--dry-run")[1]
    assert "would commit" not in machine.run("sync", "--dry-run")[1]
    (machine.notes / "id_rsa").unlink()
    git(machine.notes, "push", "-q")
    assert machine.run("sync", "--dry-run")[1] == "~/notes: nothing to do\n"


def test_a_dry_run_asks_the_remote_but_fetches_nothing(machine, home):
    git(home, "clone", "-q", str(machine.central), "other")
    git(home / "other", "commit", "-q", "--allow-empty", "-m", "theirs")
    git(home / "other", "push", "-q")
    theirs = git(home / "other", "rev-parse", "--short=7", "HEAD")
    code, out, _ = machine.run("sync", "--dry-run")
    assert code == 0
    assert f"would fetch {theirs}, which is new at origin/main, and merge it" in out
    git(machine.notes, "fetch", "-q")
    assert "would take over 1 commit of origin/main" in machine.run("sync", "--dry-run")[1]
    git(machine.notes, "commit", "-q", "--allow-empty", "-m", "ours")
    assert "would merge 1 commit of origin/main with 1 commit from here" in machine.run("sync", "--dry-run")[1]


def test_a_dry_run_says_what_stands_in_the_way(machine):
    machine.config.write_text(machine.config.read_text() + 'push = "manual"\n')
    git(machine.notes, "commit", "-q", "--allow-empty", "-m", "second")
    code, _, err = machine.run("sync", "--dry-run")
    assert code == 1
    assert "1 commit waits for a push by hand" in err
    git(machine.notes, "remote", "set-url", "origin", str(machine.notes / "nowhere"))
    code, _, err = machine.run("sync", "--dry-run")
    assert code == 1
    assert "nowhere" in err


@pytest.mark.parametrize("words", [("sync",), ("sync", "--dry-run"), ("undo",), ("init", "new"), ("demo", "--once")])
def test_without_git_it_is_git_that_is_named(machine, home, monkeypatch, words):
    monkeypatch.setenv("PATH", str(home / "nothing here"))
    monkeypatch.chdir(home)
    code, out, err = machine.run(*words)
    assert (code, out) == (1, "")
    assert "git is not installed, or not in the PATH" in err
    assert "install git 2.38 or newer" in err


def test_without_git_the_rest_is_examined_all_the_same(machine, home, monkeypatch):
    monkeypatch.setenv("PATH", str(home / "nothing here"))
    code, out, err = machine.run("doctor")
    assert (code, err) == (1, "")
    assert out.count("git is not installed, or not in the PATH") == 2
    assert out.count("install git 2.38 or newer") == 2


def test_a_mistyped_command_has_its_remedy(machine):
    code, _, err = machine.run("statsu")
    assert code == 2
    assert "No such command 'statsu'. Did you mean 'status'?" in err
    assert "Did you mean" not in machine.run("xyzzy")[2]
