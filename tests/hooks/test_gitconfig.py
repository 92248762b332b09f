"""The repository's configuration file, restored byte for byte."""

from __future__ import annotations

import os

import pytest

from autosync.common.errors import Problem
from autosync.common.repository import Repository
from autosync.hooks.gitconfig import Edit, LocalConfig
from tests.support.git import git

CORE = b"[core]\n\trepositoryformatversion = 0\n\tbare = false\n"


@pytest.fixture
def repository(tmp_path) -> Repository:
    git(tmp_path, "init", "--quiet", "repo")
    return Repository.open(tmp_path / "repo")


@pytest.mark.parametrize(
    "content",
    [
        CORE,
        CORE.rstrip(b"\n"),
        CORE + b"# a comment at the end",
        CORE + b'[core]\r\n  hooksPath=.a ; odd\r\n[a "b"]\n',
        CORE + b'[core] hooksPath = "a b\\\n c"\n',
        CORE + b"[Core]\n\tHooksPath = one\n[x]\n\ty = z\n[core]\n\thooksPath = two # comment\n",
        b"\xef\xbb\xbf" + CORE + b"[x]\ncaf\xc3\xa9 = 1\n".replace(b"caf\xc3\xa9", b"cafe") + b"\tv = \xff\xfe\n",
    ],
)
def test_setting_and_undoing_gives_the_same_bytes(repository, content):
    path = repository.common_dir / "config"
    path.write_bytes(content)
    config = LocalConfig(repository)
    edits = [
        config.set("core.hooksPath", "/new/a b"),
        config.set("hook.autosync-pre-push.event", "pre-push"),
        config.set("hook.autosync-pre-push.command", 'a "b"\n\tc;#\\'),
        config.set("autosync.config", "/c"),
    ]
    assert git(repository.path, "config", "core.hooksPath") == "/new/a b"
    assert config.get("hook.autosync-pre-push.command") == 'a "b"\n\tc;#\\'
    for edit in reversed([Edit.from_json(edit.as_json()) for edit in edits]):
        assert config.undo(edit)
    assert path.read_bytes() == content


def test_what_others_changed_meanwhile_stays(repository):
    path = repository.common_dir / "config"
    config = LocalConfig(repository)
    edit = config.set("core.hooksPath", "/ours")
    git(repository.path, "config", "core.pager", "less")
    git(repository.path, "config", "a.b", "c")
    assert config.undo(edit)
    assert git(repository.path, "config", "core.pager") == "less"
    assert b"hooksPath" not in path.read_bytes()
    edit = config.set("core.hooksPath", "/ours")
    git(repository.path, "config", "core.hooksPath", "/theirs")
    assert not config.undo(edit)
    assert git(repository.path, "config", "core.hooksPath") == "/theirs"


def test_a_reformatted_file_is_restored_in_meaning(repository):
    path = repository.common_dir / "config"
    git(repository.path, "config", "core.hooksPath", ".mine")
    config = LocalConfig(repository)
    edits = [config.set("core.hooksPath", "/ours"), config.set("autosync.config", "/c")]
    path.write_bytes(path.read_bytes().replace(b" = ", b"="))
    for edit in reversed(edits):
        assert config.undo(edit)
    assert git(repository.path, "config", "core.hooksPath") == ".mine"
    assert b"autosync" not in path.read_bytes()


def test_a_locked_file_is_a_problem_and_stays(repository):
    path = repository.common_dir / "config"
    config = LocalConfig(repository)
    edit = config.set("autosync.config", "/c")
    before = path.read_bytes()
    path.with_name("config.lock").touch()
    with pytest.raises(Problem, match="cannot change"):
        config.set("autosync.config", "/d")
    with pytest.raises(Problem, match="cannot change"):
        config.undo(edit)
    assert path.read_bytes() == before


def test_a_file_behind_a_link_and_its_mode_stay(repository, tmp_path):
    path = repository.common_dir / "config"
    real = path.rename(tmp_path / "elsewhere")
    real.chmod(0o640)
    path.symlink_to(real)
    config = LocalConfig(repository)
    config.undo(config.set("autosync.config", "/c"))
    assert path.is_symlink()
    assert (real.stat().st_mode & 0o777, os.readlink(path)) == (0o640, os.fspath(real))
