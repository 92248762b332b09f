"""Whatever the surroundings: the hook ends with 0, says nothing and takes no time of note."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from autosync.hooks import script
from autosync.hooks.install import install
from tests.support.git import git

NAMES = ["post-commit", "post-merge", "post-rewrite", "post-checkout", "pre-push", "post-receive"]
GONE = script.Standalone(Path("/gone/autosync-relay"), None)


@pytest.fixture(params=[None, GONE], ids=["plain", "standalone"])
def hooks(request, tmp_path) -> Path:
    """All hooks, as files, beside a work tree with a folder for notes."""
    (tmp_path / "tree/.git/autosync/notes").mkdir(parents=True)
    folder = tmp_path / "hooks"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(script.hook(name, None, request.param))
    return folder


def all_quiet(shell: list[str], hooks: Path, cwd: Path | None = None, before: str = "", **options: object) -> None:
    """Run every hook and hold that it succeeds and is silent. ``before`` is run by the same shell first."""
    for name in NAMES:
        words = [*shell, "-c", f'{before}\n. "$0"', os.fspath(hooks / name), "origin", "/x"]
        options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(words, cwd=cwd or hooks.parent / "tree", capture_output=True, **options)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), name


def noted(hooks: Path) -> set[str]:
    return {note.name.split(".")[0] for note in (hooks.parent / "tree/.git/autosync/notes").iterdir()}


def test_no_path_and_no_home(shell, hooks):
    all_quiet(shell, hooks, env={"PATH": ""})
    assert noted(hooks) == set(NAMES)
    all_quiet(shell, hooks, env={})


@pytest.mark.parametrize("mask", [0o077, 0o777])
def test_a_strict_umask(shell, hooks, mask):
    all_quiet(shell, hooks, umask=mask)
    assert noted(hooks) == set(NAMES)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "0<&- 1>&-"])
def test_closed_descriptors(shell, hooks, closed):
    all_quiet(shell, hooks, before=f"exec {closed}")
    assert noted(hooks) == set(NAMES)


def test_a_working_folder_that_was_removed(shell, hooks, tmp_path):
    doomed = f"{tmp_path}/doomed"
    all_quiet(shell, hooks, before=f"mkdir {doomed}; cd {doomed}; rmdir {doomed}")
    assert noted(hooks) == set()


@pytest.mark.parametrize("missing", [".git/autosync/notes", ".git/autosync", ".git"])
def test_nothing_to_write_to(shell, hooks, missing):
    shutil.rmtree(hooks.parent / "tree" / missing)
    all_quiet(shell, hooks)


def test_a_file_where_the_folder_should_be(shell, hooks):
    notes = hooks.parent / "tree/.git/autosync/notes"
    notes.rmdir()
    notes.write_text("")
    all_quiet(shell, hooks)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written(shell, hooks):
    notes = hooks.parent / "tree/.git/autosync/notes"
    notes.chmod(0o555)
    all_quiet(shell, hooks)
    notes.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's number")
def test_a_user_who_may_not_write(shell, hooks, open_folder):
    shutil.copytree(hooks, open_folder / "hooks")
    (open_folder / "tree/.git/autosync/notes").mkdir(parents=True)
    moved = open_folder / "hooks"
    all_quiet(shell, moved, user=54321, group=54321, extra_groups=[])
    assert noted(moved) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_full_disk(shell, hooks):
    notes = hooks.parent / "tree/.git/autosync/notes"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", notes], capture_output=True)
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        (notes / "filler").write_bytes(b"x" * 4096)
        all_quiet(shell, hooks)
    finally:
        subprocess.run(["umount", notes], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_read_only_file_system(shell, hooks):
    notes = hooks.parent / "tree/.git/autosync/notes"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", notes], capture_output=True)
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        all_quiet(shell, hooks)
    finally:
        subprocess.run(["umount", notes], check=True)


def test_surroundings_that_use_our_names(shell, hooks):
    env = {**os.environ, "autosync_guest": "/bin/false", "autosync_relay": "/bin/false", "autosync_refs": "x"}
    all_quiet(shell, hooks, env=env)
    assert noted(hooks) == set(NAMES)


def test_gits_commands_go_on_without_the_program_or_its_folders(pair, any_git):
    assert not install(pair.repository(), standalone=False, config=None).problems
    shutil.rmtree(pair.clone / ".git/autosync")
    pair.commit()
    pair.push()
    assert git(pair.central, "rev-parse", "main") == git(pair.clone, "rev-parse", "main")
    assert not (pair.clone / ".git/autosync").exists()
