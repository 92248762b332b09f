"""How two trees differ: what git says, what a comparison of the tree objects says."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosync.common.libgit import LibgitReader
from autosync.common.reader import GitReader, Unreadable
from autosync.common.repository import Repository
from tests.support.git import git

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
# names that sort otherwise as a file than as a folder, that hide separators, that are not UTF-8
NAMES = [b"a", b"a.b", b"a-", b"a0", b"caf\xe9", b"new\nline", b" 40000 x", b"\xff"]
MODES = ["100644", "100755", "120000", "160000"]
PATHS = [b"/".join(p) for n in (1, 2, 3) for p in itertools.islice(itertools.product(NAMES, repeat=n), 40)]
FILES = st.dictionaries(st.sampled_from(PATHS), st.tuples(st.sampled_from(MODES), st.integers(0, 2)), max_size=12)
# of "0", "1" and "2"
BLOBS = [hashlib.sha1(b"blob 1\0" + content).hexdigest() for content in (b"0", b"1", b"2")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Repository:
    folder = tmp_path_factory.mktemp("trees")
    git(folder, "init", "-q")
    for content in "012":
        git(folder, "hash-object", "-w", "--stdin", input=content.encode())
    return Repository.open(folder)


def tree(repository: Repository, files: dict[bytes, tuple[str, int]]) -> str:
    """The tree of these files; where one would be another's folder, that one is left out."""
    repository.git.run("read-tree", "--empty")
    lines = b""
    for path, (mode, content) in files.items():
        if not any(other.startswith(path + b"/") for other in files):
            lines += f"{mode} {BLOBS[content]}\t".encode() + path + b"\0"
    repository.git.run("update-index", "-z", "--index-info", input=lines)
    return repository.git.run("write-tree", "--missing-ok").text


@settings(max_examples=30)
@given(before=FILES, after=FILES)
def test_the_objects_say_what_git_says(repository, before, after):
    one, other = tree(repository, before), tree(repository, after)
    by_git = GitReader(repository.git).compare(one, other)
    assert LibgitReader(repository.git_dir, repository.git).compare(one, other) == by_git


@pytest.mark.parametrize("by", ["libgit2", "git"])
def test_commits_and_the_empty_tree(tmp_path, by):
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "1")
    head = git(tmp_path, "rev-parse", "HEAD")
    repository = Repository.open(tmp_path)
    reader = LibgitReader(repository.git_dir, repository.git) if by == "libgit2" else GitReader(repository.git)
    assert reader.compare(head, head) == []
    (row,) = reader.compare(EMPTY_TREE, head)
    assert (row.status, row.path, row.old_mode, row.new_mode) == (b"A", b"file", b"000000", b"100644")
    with pytest.raises(Unreadable):
        reader.compare(head, "f" * 40)


def test_folders_may_be_nested_deeper_than_the_stack_is(repository):
    deep = b"d/" * 1500 + b"f"
    one, other = (tree(repository, {deep: ("100644", content)}) for content in (0, 1))
    by_git = GitReader(repository.git).compare(one, other)
    assert LibgitReader(repository.git_dir, repository.git).compare(one, other) == by_git
    assert [row.path for row in by_git] == [deep]


def test_old_modes_are_no_difference(tmp_path):
    git(tmp_path, "init", "-q")
    blob = bytes.fromhex(BLOBS[1])
    trees = [
        git(
            tmp_path,
            "hash-object",
            "-t",
            "tree",
            "-w",
            "--stdin",
            "--literally",
            input=mode + b" f\0" + blob,
        )
        for mode in (b"100664", b"100644", b"100775")
    ]
    repository = Repository.open(tmp_path)
    for reader in (LibgitReader(repository.git_dir, repository.git), GitReader(repository.git)):
        assert reader.compare(trees[0], trees[1]) == []
        (row,) = reader.compare(trees[0], trees[2])
        assert (row.status, row.old_mode, row.new_mode) == (b"M", b"100644", b"100755")
