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
from autosync.hooks import layout, names, script
from autosync.hooks.install import inspect, install, uninstall
from autosync.hooks.layout import Setting, Surroundings, Way, choose
from tests.hooks.conftest import Pair, snapshot
from tests.support.git import git

SAYING = '#!/bin/sh\necho "$0" "$@" >>"$LOG"\n'


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LOG", os.fspath(tmp_path / "log"))
    return tmp_path / "log"


def taken(log: Path) -> list[str]:
    found = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def put_in(repository: Repository) -> None:
    assert not install(repository, standalone=False, config=None).problems


def states(repository: Repository) -> dict[str, str]:
    return {status.name: status.state for status in inspect(repository)}


def in_order(repository: Repository) -> bool:
    return all(status.in_order for status in inspect(repository))


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


def act(pair: Pair) -> None:
    git(pair.clone, "commit", "--quiet", "--allow-empty", "-m", "m")
    git(pair.clone, "push", "--quiet", "origin")


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


# what others install ------------------------------------------------------------------------------------


def test_husky(pair, any_git, script, log):
    """Its shape: core.hooksPath leads to stubs that find the person's hook by their own name and place."""
    stubs = pair.clone / ".husky/_"
    script(
        stubs / "h",
        'n=$(basename "$0")\ns=$(dirname "$(dirname "$0")")/$n\n[ ! -f "$s" ] && exit 0\nsh -e "$s" "$@"\nexit $?\n',
        0o644,
    )
    for name in names.KNOWN[:12]:
        script(stubs / name, '#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n')
    script(pair.clone / ".husky/post-commit", 'echo husky "$0" >>"$LOG"\n', 0o644)
    script(pair.clone / ".husky/pre-push", 'echo husky "$0" "$1" >>"$LOG"; exit 0\n', 0o644)
    git(pair.clone, "config", "core.hooksPath", ".husky/_")
    before = snapshot(pair.clone)
    act(pair)
    expected = taken(log)
    assert len(expected) == 2
    put_in(pair.repository())
    act(pair)
    assert taken(log) == expected
    # what `husky` does at every `npm install`
    git(pair.clone, "config", "core.hooksPath", ".husky/_")
    act(pair)
    assert taken(log) == expected
    put_in(pair.repository())
    act(pair)
    assert taken(log) == expected
    uninstall(pair.repository())
    assert {k: v for k, v in snapshot(pair.clone).items() if k.startswith((".husky", ".git/config"))} == {
        k: v for k, v in before.items() if k.startswith((".husky", ".git/config"))
    }


# in its own way it refuses to be run by the hook that it runs as `.legacy`
PRE_COMMIT = """\
#!/usr/bin/env bash
# File generated by pre-commit: https://pre-commit.com
HERE="$(cd "$(dirname "$0")" && pwd)"
[ -z "$PRE_COMMIT_RUNNING_LEGACY" ] || exit 1
export PRE_COMMIT_RUNNING_LEGACY=1
echo "pre-commit $(basename "$0")" >>"$LOG"
[ ! -x "$HERE/pre-push.legacy" ] || "$HERE/pre-push.legacy" "$@"
"""


def test_pre_commit_installed_before(pair, any_git, script, log):
    script(pair.clone / ".git/hooks/pre-push", PRE_COMMIT)
    script(pair.clone / ".git/hooks/pre-push.legacy", '#!/bin/sh\necho legacy >>"$LOG"\n')
    before = snapshot(pair.clone / ".git")
    put_in(pair.repository())
    act(pair)
    assert taken(log) == ["pre-commit pre-push", "legacy"]
    uninstall(pair.repository())
    assert snapshot(pair.clone / ".git") == before


def test_pre_commit_installed_after(pair, old_git, script, log):
    hook = pair.clone / ".git/hooks/pre-push"
    put_in(pair.repository())
    hook.rename(hook.with_name("pre-push.legacy"))
    script(hook, PRE_COMMIT)
    assert states(pair.repository())["pre-push"] == "chained"
    act(pair)
    assert taken(log) == ["pre-commit pre-push"]
    assert list(pair.notes.glob("pre-push.*"))
    put_in(pair.repository())
    # so that taking pre-commit out takes effect
    assert hook.read_text() == PRE_COMMIT
    act(pair)
    assert taken(log) == ["pre-commit pre-push"]
    assert states(pair.repository())["pre-push"] == "chained"
    uninstall(pair.repository())
    assert hook.read_text() == PRE_COMMIT
    assert not hook.with_name("pre-push.legacy").exists()


def test_pre_commit_installed_before_and_once_more(pair, old_git, script, log):
    hook = script(pair.clone / ".git/hooks/pre-push", PRE_COMMIT)
    before = snapshot(pair.clone / ".git")
    put_in(pair.repository())
    hook.rename(hook.with_name("pre-push.legacy"))
    script(hook, PRE_COMMIT)
    act(pair)
    assert taken(log) == ["pre-commit pre-push"]
    assert list(pair.notes.glob("pre-push.*"))
    put_in(pair.repository())
    act(pair)
    assert taken(log) == ["pre-commit pre-push"]
    uninstall(pair.repository())
    assert snapshot(pair.clone / ".git") == before


def test_a_persons_hook_runs_on_behind_pre_commit(pair, old_git, script, log):
    hook = script(pair.clone / ".git/hooks/pre-push", SAYING)
    put_in(pair.repository())
    hook.rename(hook.with_name("pre-push.legacy"))
    script(hook, PRE_COMMIT)
    act(pair)
    first, second = taken(log)
    assert first == "pre-commit pre-push"
    assert second.split()[0].endswith(".git/hooks-before-autosync/pre-push")


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="needs git-lfs")
@pytest.mark.parametrize("order", ["lfs first", "ours first"])
def test_git_lfs(pair, any_git, order):
    if order == "lfs first":
        git(pair.clone, "lfs", "install", "--local")
        put_in(pair.repository())
    else:
        put_in(pair.repository())
        git(pair.clone, "lfs", "install", "--local", "--force")
        for name in ("post-commit", "pre-push"):
            # what it replaced is there again after the next installation
            assert states(pair.repository())[name] in ("missing", "installed")
        put_in(pair.repository())
    assert in_order(pair.repository())
    (pair.clone / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (pair.clone / "big.bin").write_bytes(os.urandom(5000))
    git(pair.clone, "add", ".")
    git(pair.clone, "commit", "--quiet", "-m", "big")
    git(pair.clone, "push", "--quiet")
    assert list((pair.central / "lfs/objects").rglob("*")), "the pre-push hook of git-lfs did not get its refs"
    assert list(pair.notes.glob("pre-push.*"))
    uninstall(pair.repository())
    assert "git lfs pre-push" in (pair.clone / ".git/hooks/pre-push").read_text()


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


# central repositories ---------------------------------------------------------------------------------------

GITEA = """\
#!/usr/bin/env bash
# AUTO GENERATED BY GITEA, DO NOT MODIFY
data=$(cat)
exitcodes=""
hookname=$(basename $0)
GIT_DIR=${GIT_DIR:-$(dirname $0)/..}
for hook in ${GIT_DIR}/hooks/${hookname}.d/*; do
  test -x "${hook}" && test -f "${hook}" || continue
  echo "${data}" | "${hook}"
  exitcodes="${exitcodes} $?"
done
for i in ${exitcodes}; do
  [ ${i} -eq 0 ] || exit ${i}
done
"""


def test_gitea_and_forgejo(pair, any_git, script, log):
    hooks = pair.central / "hooks"
    script(hooks / "post-receive", GITEA)
    script(hooks / "post-receive.d/gitea", '#!/bin/sh\ncat >>"$LOG"\n')
    before = snapshot(pair.central)
    put_in(pair.central_repository())
    if layout.version(pair.repository()) < (2, 54):
        assert (hooks / "post-receive.d/autosync").exists()
    assert (hooks / "post-receive").read_text() == GITEA
    assert states(pair.central_repository()) == {"post-receive": "installed"}
    act(pair)
    assert len(taken(log)) == 1
    assert (pair.central / "autosync/notes/post-receive").exists()
    uninstall(pair.central_repository())
    assert snapshot(pair.central) == before


GITOLITE = """\
#!/bin/sh
stdin=`cat`
for h in $0.*; do
    [ -x $h ] || continue
    echo "$stdin" | $h
done
"""


def test_gitolite(pair, any_git, script, log, tmp_path):
    """Its shape: hooks are links into a common folder, and the driver runs what is named like itself."""
    hooks = pair.central / "hooks"
    script(tmp_path / "common/driver", GITOLITE)
    script(tmp_path / "common/mail", '#!/bin/sh\ncat >>"$LOG"\n')
    (hooks / "post-receive").symlink_to(tmp_path / "common/driver")
    (hooks / "post-receive.h00-mail").symlink_to(tmp_path / "common/mail")
    script(hooks / "update", SAYING)
    before = snapshot(pair.central)
    put_in(pair.central_repository())
    act(pair)
    assert len(taken(log)) == 2
    assert (pair.central / "autosync/notes/post-receive").exists()
    uninstall(pair.central_repository())
    assert snapshot(pair.central) == before


def test_a_common_hook_of_gitolite(pair, old_git, tmp_path):
    """Ours, copied to where gitolite links it from into each repository."""
    put_in(pair.central_repository())
    hook, common = pair.central / "hooks/post-receive", tmp_path / "common/post-receive"
    common.parent.mkdir()
    hook.rename(common)
    hook.symlink_to(common)
    assert states(pair.central_repository()) == {"post-receive": "installed"}
    put_in(pair.central_repository())
    act(pair)
    assert (pair.central / "autosync/notes/post-receive").exists()
    uninstall(pair.central_repository())
    assert hook.is_symlink()


def test_a_hook_of_the_server_behind_core_hookspath(pair, any_git, script, log, tmp_path):
    script(tmp_path / "all/update", SAYING)
    script(tmp_path / "all/post-receive", '#!/bin/sh\ncat >>"$LOG"\n')
    git(pair.central, "config", "core.hooksPath", os.fspath(tmp_path / "all"))
    put_in(pair.central_repository())
    act(pair)
    assert len(taken(log)) == 2
    assert (pair.central / "autosync/notes/post-receive").exists()
    script(tmp_path / "all/pre-receive", "#!/bin/sh\nexit 1\n")
    git(pair.clone, "commit", "--quiet", "--allow-empty", "-m", "m")
    assert subprocess.run(["git", "push", "-q"], cwd=pair.clone, capture_output=True).returncode == 1


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
