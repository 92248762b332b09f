"""Which files a move of the work tree replaces or removes, asked of libgit2 and of git."""

from __future__ import annotations

import os

import pytest

from autosync.common.libgit import LibgitReader
from autosync.common.reader import GitReader, Unreadable
from autosync.common.repository import Repository
from tests.support.git import git


@pytest.mark.parametrize("by", ["libgit2", "git"])
def test_touched_are_the_files_that_change_or_go(tmp_path, by):
    git(tmp_path, "init", "-q")
    odd = os.fsdecode(b"caf\xe9\n.txt")
    for name in ("same", "changed", "gone", odd, "mode"):
        (tmp_path / name).write_text(name.encode(errors="surrogateescape").hex())
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "1")
    before = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "changed").write_text("otherwise")
    (tmp_path / odd).write_text("otherwise")
    (tmp_path / "mode").chmod(0o755)
    (tmp_path / "gone").rename(tmp_path / "new")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "2")
    after = git(tmp_path, "rev-parse", "HEAD")
    repository = Repository.open(tmp_path)
    reader = LibgitReader(repository.git_dir, repository.git) if by == "libgit2" else GitReader(repository.git)
    assert sorted(reader.touched(before, after)) == sorted(["changed", "gone", odd, "mode"])
    with pytest.raises(Unreadable):
        reader.touched(before, "f" * 40)
