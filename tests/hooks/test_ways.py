"""The ways in: whatever a repository's hooks are arranged like, they run on and ours run too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from autosync.common.errors import Problem
from autosync.common.repository import Repository
from autosync.hooks import layout, script
from autosync.hooks.install import install, uninstall
from autosync.hooks.layout import Setting, Surroundings, Way, choose
from tests.hooks.conftest import Pair, snapshot
from tests.hooks.ways import SAYING, act, in_order, put_in, states, taken
from tests.support.git import git

pytestmark = pytest.mark.usefixtures("log")


@pytest.mark.parametrize(
    ("found", "way"),
    [
        (Surroundings(False, None, False, True), Way.FOLDER),
        (Surroundings(False, None, False, False), Way.REDIRECT),
        (Surroundings(False, None, True, True), Way.DISPATCHER),
        (Surroundings(False, Setting("/x", "global"), True, True), Way.REDIRECT),
        (Surroundings(True, Setting("/x", "global"), True, False), Way.CONFIGURED),
    ],
)
def test_the_way_follows_from_the_surroundings(found, way):
    assert choose(found) is way


# core.hooksPath ----------------------------------------------------------------------------------------


@pytest.fixture(params=["relative", "absolute", "global", "odd"])
def hooks_path(request, pair, script, tmp_path) -> Path:
    """A folder of the person's with hooks in it, to which core.hooksPath leads."""
    folder = pair.clone / ".githooks" if request.param in ("relative", "odd") else tmp_path / "my hooks"
    value = ".githooks" if request.param == "relative" else os.fspath(folder)
    if request.param == "odd":
        with (pair.clone / ".git/config").open("a") as config:
            config.write("[core] # mine\n  HooksPath=.githooks  ; odd\n[x]\ny = z")
    else:
        scope = "--global" if request.param == "global" else "--local"
        git(pair.clone, "config", scope, "core.hooksPath", value)
    for name in ("post-commit", "pre-commit", "pre-push"):
        script(folder / name, SAYING)
    return folder


def test_hooks_that_core_hookspath_names_run_on(pair, any_git, hooks_path, log):
    act(pair)
    expected = taken(log)
    assert len(expected) == 3
    theirs, ours = snapshot(hooks_path), snapshot(pair.clone / ".git")
    put_in(pair.repository())
    act(pair)
    assert taken(log) == expected
    assert in_order(pair.repository())
    assert {note.name.split(".")[0] for note in pair.notes.iterdir()} == {"post-commit", "pre-push"}
    once = snapshot(pair.clone / ".git")
    put_in(pair.repository())
    assert snapshot(pair.clone / ".git") == once
    assert not uninstall(pair.repository()).problems
    assert (snapshot(hooks_path), snapshot(pair.clone / ".git")) == (theirs, ours)
    act(pair)
    assert taken(log) == expected


def test_hooks_run_on_in_linked_work_trees(pair, any_git, hooks_path, log, tmp_path):
    (pair.clone / "file").write_text("")
    git(pair.clone, "add", "--all")
    git(pair.clone, "commit", "--quiet", "-m", "with hooks")
    git(pair.clone, "worktree", "add", "--quiet", "../linked")
    taken(log)

    def commit() -> list[str]:
        git(tmp_path / "linked", "commit", "--quiet", "--allow-empty", "-m", "m")
        return taken(log)

    expected = commit()
    assert expected
    put_in(pair.repository())
    assert commit() == expected
    assert (pair.notes / "post-commit").exists()
    assert in_order(Repository.open(tmp_path / "linked"))


def test_a_hook_that_is_added_later_runs(pair, old_git, hooks_path, log, script):
    put_in(pair.repository())
    script(hooks_path / "commit-msg", SAYING)
    script(hooks_path / "post-checkout", SAYING)
    git(pair.clone, "commit", "--quiet", "--allow-empty", "-m", "m")
    assert [line.split()[-2].rsplit("/")[-1] for line in taken(log) if "commit-msg" in line] == ["commit-msg"]
    git(pair.clone, "checkout", "--quiet", "-b", "side")
    assert "post-checkout" in taken(log)[0]


def test_a_failing_hook_behind_core_hookspath_still_decides(pair, any_git, hooks_path, script):
    put_in(pair.repository())
    script(hooks_path / "pre-commit", "#!/bin/sh\nexit 1\n")
    assert subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "m"], cwd=pair.clone).returncode == 1
    script(hooks_path / "pre-commit", "#!/bin/sh\n")
    script(hooks_path / "pre-push", "#!/bin/sh\nexit 1\n")
    git(pair.clone, "commit", "-q", "--allow-empty", "-m", "m")
    assert subprocess.run(["git", "push", "-q"], cwd=pair.clone, capture_output=True).returncode == 1


def test_a_core_hookspath_set_since_shadows_ours_until_installed_again(pair, old_git, script, log):
    put_in(pair.repository())
    script(pair.clone / ".githooks/post-commit", SAYING)
    git(pair.clone, "config", "core.hooksPath", ".githooks")
    assert set(states(pair.repository()).values()) == {"shadowed"}
    put_in(pair.repository())
    assert not (pair.clone / ".git/hooks/post-commit").exists()
    act(pair)
    assert taken(log) == [".githooks/post-commit"]
    assert states(pair.repository())["post-commit"] == "chained"
    # and another one over ours
    git(pair.clone, "config", "core.hooksPath", "/dev/null")
    assert set(states(pair.repository()).values()) == {"shadowed"}
    put_in(pair.repository())
    assert in_order(pair.repository())
    uninstall(pair.repository())
    assert git(pair.clone, "config", "core.hooksPath") == "/dev/null"


def test_a_core_hookspath_of_one_work_tree_alone_is_said(pair, old_git):
    git(pair.clone, "config", "extensions.worktreeConfig", "true")
    git(pair.clone, "config", "--worktree", "core.hooksPath", ".mine")
    with pytest.raises(Problem, match="for this work tree alone"):
        install(pair.repository(), standalone=False, config=None)


def test_a_core_hookspath_that_names_the_usual_folder_is_none(pair, old_git):
    git(pair.clone, "config", "core.hooksPath", ".git/hooks")
    put_in(pair.repository())
    assert (pair.clone / ".git/hooks/post-commit").exists()
    assert in_order(pair.repository())


def test_a_moved_repository_is_seen_and_mended(pair, old_git, script, log, tmp_path):
    script(pair.clone / ".githooks/post-commit", SAYING)
    git(pair.clone, "config", "core.hooksPath", ".githooks")
    put_in(pair.repository())
    moved = Pair(pair.clone.rename(tmp_path / "moved"), pair.central)
    assert not in_order(moved.repository())
    put_in(moved.repository())
    act(moved)
    assert taken(log) == [".githooks/post-commit"]
    uninstall(moved.repository())
    assert git(moved.clone, "config", "--get-all", "core.hooksPath") == ".githooks"


def test_a_file_put_into_our_folder_is_not_thrown_away(pair, old_git, script):
    git(pair.clone, "config", "core.hooksPath", ".githooks")
    put_in(pair.repository())
    theirs = script(pair.clone / ".git/autosync/hooks/pre-auto-gc", "#!/bin/sh\n# mine\n")
    [problem] = uninstall(pair.repository()).problems
    assert os.fspath(theirs) in problem.what
    assert "# mine" in theirs.read_text()


# hooks folders that are not ours to change ----------------------------------------------------------------


def test_a_hooks_folder_that_is_a_link_to_a_shared_one(pair, any_git, script, log, tmp_path):
    shared = tmp_path / "shared"
    shutil.move(pair.clone / ".git/hooks", shared)
    script(shared / "post-commit", SAYING)
    script(shared / "pre-commit", SAYING)
    (pair.clone / ".git/hooks").symlink_to(shared)
    before = snapshot(shared)
    act(pair)
    expected = [os.path.basename(line) for line in taken(log)]
    put_in(pair.repository())
    act(pair)
    assert [os.path.basename(line) for line in taken(log)] == expected
    assert (pair.notes / "post-commit").exists()
    assert snapshot(shared) == before


def test_a_hooks_folder_that_may_not_be_written(pair, any_git, script, log):
    hooks = pair.clone / ".git/hooks"
    script(hooks / "post-commit", SAYING)
    if os.geteuid() == 0:
        words = ["mount", "--bind", "-o", "ro", os.fspath(hooks), os.fspath(hooks)]
        if subprocess.run(words, capture_output=True).returncode:
            pytest.skip("nothing may be mounted here")
    else:
        hooks.chmod(0o555)
    try:
        put_in(pair.repository())
        act(pair)
        assert len(taken(log)) == 1
        assert in_order(pair.repository())
        assert (pair.notes / "post-commit").exists()
        uninstall(pair.repository())
        assert set(states(pair.repository()).values()) == {"missing"}
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", hooks], check=True)
        else:
            hooks.chmod(0o755)


def test_templates_and_clones_carry_hooks_that_do_nothing(pair, any_git, tmp_path):
    put_in(pair.repository())
    template = tmp_path / "template"
    shutil.copytree(pair.clone / ".git/hooks", template / "hooks")
    git(tmp_path, "clone", "--quiet", f"--template={template}", os.fspath(pair.central), "other")
    other = tmp_path / "other"
    git(other, "commit", "--quiet", "--allow-empty", "-m", "m")
    assert not (other / ".git/autosync").exists()
    put_in(Repository.open(other))
    git(other, "commit", "--quiet", "--allow-empty", "-m", "m")
    assert (other / ".git/autosync/notes/post-commit").exists()


# git's own configured hooks --------------------------------------------------------------------------------


def test_configured_hooks_leave_the_hooks_folder_alone(pair, new_git, log, script):
    script(pair.clone / ".git/hooks/post-commit", SAYING)
    git(pair.clone, "config", "hook.mine.event", "post-commit")
    git(pair.clone, "config", "hook.mine.command", 'echo mine >>"$LOG"')
    before = snapshot(pair.clone / ".git/hooks")
    put_in(pair.repository())
    assert snapshot(pair.clone / ".git/hooks") == before
    act(pair)
    assert taken(log) == ["mine", ".git/hooks/post-commit"]
    git(pair.clone, "config", "hook.autosync-post-commit.enabled", "false")
    assert states(pair.repository())["post-commit"] == "disabled"
    (pair.clone / ".git/autosync/hook").unlink()
    act(pair)


def test_a_newer_git_takes_the_hooks_over(pair, monkeypatch, script):
    script(pair.clone / ".git/hooks/post-commit", SAYING)
    before = snapshot(pair.clone / ".git")
    monkeypatch.setattr(layout, "_CONFIGURED_SINCE", (99, 0))
    put_in(pair.repository())
    monkeypatch.setattr(layout, "_CONFIGURED_SINCE", (1, 0))
    assert in_order(pair.repository())
    put_in(pair.repository())
    assert {k for k in snapshot(pair.clone / ".git") if k.startswith("hooks")} == {
        k for k in before if k.startswith("hooks")
    }
    monkeypatch.setattr(layout, "_CONFIGURED_SINCE", (99, 0))
    assert set(states(pair.repository()).values()) == {"shadowed"}
    put_in(pair.repository())
    assert in_order(pair.repository())
    assert "hook " not in (pair.clone / ".git/config").read_text()
    uninstall(pair.repository())
    assert snapshot(pair.clone / ".git") == before


# without the program ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrangement", ["plain", "guest", "local path", "global path"])
def test_the_script_beside_the_notes_uninstalls_without_the_program(pair, any_git, script, arrangement):
    if arrangement == "guest":
        script(pair.clone / ".git/hooks/pre-push", SAYING)
        script(pair.clone / ".git/hooks/helper", "")
    elif arrangement != "plain":
        scope = "--local" if arrangement == "local path" else "--global"
        git(pair.clone, "config", scope, "core.hooksPath", ".githooks")
    before = snapshot(pair.clone / ".git")
    put_in(pair.repository())
    pair.commit()
    done = subprocess.run(["sh", ".git/autosync/uninstall-hooks"], cwd=pair.clone, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert snapshot(pair.clone / ".git") == before


def test_the_script_leaves_a_changed_hook(pair, old_git):
    put_in(pair.repository())
    hook = pair.clone / ".git/hooks/pre-push"
    hook.write_bytes(hook.read_bytes() + b"# mine\n")
    done = subprocess.run(["sh", ".git/autosync/uninstall-hooks"], cwd=pair.clone, capture_output=True, text=True)
    assert "left, as it was changed" in done.stderr
    assert hook.read_bytes().endswith(b"# mine\n")
    assert not (pair.clone / ".git/hooks/post-commit").exists()


def test_uninstalling_works_with_a_damaged_state(pair, any_git):
    git(pair.clone, "config", "core.hooksPath", ".githooks")
    put_in(pair.repository())
    for damage in (b"", b"{", b"[]", json.dumps({"edits": [{"key": "x"}], "made": []}).encode()):
        state = pair.clone / ".git/autosync/hooks.json"
        state.write_bytes(damage)
        uninstall(pair.repository())
        assert set(states(pair.repository()).values()) == {"missing"}
        assert "autosync" not in (pair.clone / ".git/config").read_text()
        put_in(pair.repository())


def test_the_mark_tells_ours_from_others_and_from_changed_ones():
    ours = script.hook("post-commit", None, None)
    assert script.kind(ours) is script.Kind.OURS
    assert script.kind(ours.replace(b"#!/bin/sh", b"#!/bin/dash")) is script.Kind.OURS
    assert script.kind(ours + b"\n") is script.Kind.CHANGED
    assert script.kind(b"#!/bin/sh\n# autosync\n") is script.Kind.FOREIGN
    assert script.kind(b"") is script.Kind.FOREIGN
