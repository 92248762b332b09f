"""git-lfs, the real one: its objects go along with the relay's pushes, and come with what the relay takes in."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from autosync.common.repository import Repository
from autosync.hooks.install import install
from tests.relay.clones import Clone
from tests.support.git import git

pytestmark = pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")


@pytest.fixture
def two(tmp_path, central) -> tuple[Clone, Clone]:
    """Two clones with git-lfs for `*.bin`, and our hooks beside its own."""
    a, b = (Clone(tmp_path, name, central) for name in "ab")
    for clone in (a, b):
        # by this protocol git-lfs brings and takes the contents itself, without a server
        git(clone.path, "remote", "set-url", "origin", central.as_uri())
        git(clone.path, "lfs", "install", "--local")
        install(Repository.open(clone.path), standalone=False, config=None)
    a.commit(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    assert a.turn() == "in sync"
    assert b.turn() == "in sync"
    return a, b


def stored(repo: Path, content: bytes) -> bool:
    """Whether a repository's store of git-lfs has the content."""
    name = hashlib.sha256(content).hexdigest()
    return (repo / "lfs/objects" / name[:2] / name[2:4] / name).exists()


def put(clone: Clone, name: str, content: bytes) -> None:
    (clone.path / name).write_bytes(content)
    git(clone.path, "add", name)
    git(clone.path, "commit", "-qm", name)


def test_contents_arrive_at_the_centre_and_on_the_other_machine(two, central):
    a, b = two
    content = os.urandom(200_000)
    put(a, "large.bin", content)
    assert a.turn() == "in sync", a.worker.status
    assert git(central, "show", "main:large.bin").startswith("version https://git-lfs")
    assert stored(central, content)
    assert b.turn() == "in sync", b.worker.status
    assert (b.path / "large.bin").read_bytes() == content
    assert git(b.path, "status", "--porcelain") == ""


def test_both_versions_of_a_conflict_are_there_with_their_contents(two, central):
    a, b = two
    contents = [os.urandom(1000) for _ in range(3)]
    put(a, "x.bin", contents[0])
    a.turn()
    b.turn()
    put(a, "x.bin", contents[1])
    put(b, "x.bin", contents[2])
    for clone in (a, b, a):
        assert clone.turn() == "in sync", clone.worker.status
    for clone in (a, b):
        found = sorted(path.read_bytes() for path in clone.path.glob("x*.bin"))
        assert found == sorted(contents[1:])
        assert git(clone.path, "status", "--porcelain") == ""
    assert all(stored(central, content) for content in contents)


def test_nothing_is_pushed_that_git_lfs_could_not_send(two, central):
    """Others would have a pointer to what nobody has."""
    a, b = two
    content = os.urandom(1000)
    before = git(central, "rev-parse", "main")
    (central / "lfs").write_text("in the way")
    put(a, "x.bin", content)
    assert a.turn() == "error"
    assert "pre-push" in a.reason and "lfs" in a.reason.lower()
    assert git(central, "rev-parse", "main") == before
    (central / "lfs").unlink()
    assert a.turn() == "in sync", a.worker.status
    assert stored(central, content)
    assert b.turn() == "in sync"
    assert (b.path / "x.bin").read_bytes() == content


def test_a_content_that_cannot_be_had_leaves_nothing_half_done(two, central):
    """git writes some files before it comes to the one that its filter cannot give, and stops there."""
    a, b = two
    a.commit("a", "1\n")
    a.turn()
    b.turn()
    content = os.urandom(1000)
    (a.path / "a").write_text("2\n")
    put(a, "x.bin", content)
    a.commit("a", "2\n")
    a.commit("z", "2\n")
    assert a.turn() == "in sync"
    (central / "lfs").rename(central / "away")
    shutil.rmtree(b.path / ".git/lfs", ignore_errors=True)
    assert b.turn() == "error"
    assert "git-lfs" in b.reason
    assert git(b.path, "status", "--porcelain") == ""
    assert b.read("a") == "1\n"
    shutil.rmtree(central / "lfs", ignore_errors=True)
    (central / "away").rename(central / "lfs")
    assert b.turn() == "in sync", b.worker.status
    assert (b.path / "x.bin").read_bytes() == content
    assert git(b.path, "status", "--porcelain") == ""
