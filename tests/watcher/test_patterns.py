"""Patterns mean what they mean to git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autosync.watcher.ignores import BUILT_IN, own_patterns
from autosync.watcher.patterns import Patterns
from autosync.watcher.quarantine import SECRET_NAMES
from tests.support.git import git

PARTS = ["a", "b", "ab", "*", "?", "**", "[ab]", "[!a]", "[a-c]", "[c-a]", "/", "\\*", "\\a", "!", "#", " ", "\\ "]
PARTS += ["[[:alpha:]]", "[]a]", "[^b-", "-", "]", ".", "[\\]]", "\\"]
PATTERN = st.lists(st.sampled_from(PARTS), min_size=1, max_size=8).map("".join)
NAME = st.text("ab.*]- c", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))
PATH = st.lists(NAME, min_size=1, max_size=4).map("/".join)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("patterns")
    git(root, "init", "-q")
    return root


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PATTERN, min_size=1, max_size=3), st.lists(PATH, min_size=1, max_size=20, unique=True))
def test_the_same_paths_match_as_in_git(repository, patterns, paths):
    (repository / ".git" / "info" / "exclude").write_text("\n".join(patterns) + "\n")
    asked = "\0".join(paths).encode() + b"\0"
    argv = ["git", "check-ignore", "--no-index", "-z", "--stdin"]
    done = subprocess.run(argv, cwd=repository, input=asked, capture_output=True)
    found = Patterns(patterns)
    assert {path for path in paths if found.match(path.encode())} == set(done.stdout.decode().split("\0")[:-1])


def test_folders_only_and_what_is_in_them():
    found = Patterns(["build/", "/top/"])
    assert found.match(b"build", folder=True)
    assert not found.match(b"build")
    assert found.match(b"a/build/x")
    assert found.match(b"top/x")
    assert not found.match(b"a/top/x")


def test_names_that_are_not_utf8():
    assert Patterns(["*.\udcff"]).match(b"x.\xff")
    assert not Patterns(["*.\udcff"]).match(b"x.\xfe")


def test_no_patterns_match_nothing():
    assert not Patterns([])
    assert not Patterns(["", "# comment", "/", "!"]).match(b"a")


LEAVINGS = """
text~ .text.swp .text.swo .text.un~ #text# .#text .~lock.a.odt# ~$a.docx x.part lu244945ud29.tmp notes.db-wal
.goutputstream-X1 4913 .nfs000000000123456700000001 .merge_file_a1B2c3
"""
NOT_LEAVINGS = """
sediments .env.sample .vimrc.backup field-journal lu.tmp a.tmp a.bak notes.db 49133 1~2 #1 .swap a.swp partial x.parts
"""


@pytest.mark.parametrize("name", LEAVINGS.split())
def test_leavings_of_editors(name):
    assert Patterns(own_patterns([], built_in=True)).match(f"sub/{name}".encode())
    assert not Patterns(own_patterns([], built_in=False)).match(f"sub/{name}".encode())


@pytest.mark.parametrize("name", NOT_LEAVINGS.split())
def test_what_only_looks_a_little_like_leavings_is_kept(name):
    assert not Patterns(BUILT_IN).match(name.encode())


def test_a_built_in_one_can_be_taken_back():
    assert not Patterns(own_patterns(["!*.part"], built_in=True)).match(b"x.part")


def test_the_documentation_lists_what_is_left_out_and_what_is_held_back():
    text = (Path(__file__).parent.parent.parent / "docs" / "watcher.md").read_text()
    left_out = text.partition("## What is left out")[2].partition("\n## ")[0]
    assert [pattern for pattern in BUILT_IN if f"`{pattern}`" not in left_out] == []
    held_back = text.partition("**Single files**")[2].partition("\n\n")[0]
    assert [name for name in SECRET_NAMES if f"`{name}`" not in held_back] == []


@pytest.mark.parametrize("pattern", ["*a" * 12 + "*b", "**/*a*a*a/" * 8 + "b", "x/" + "*[ab]?" * 12 + "/**/c"])
@pytest.mark.parametrize("path", ["a" * 250, "x/" + "a" * 250, "aaaa/" * 40 + "c"])
def test_many_stars_meet_a_long_name(pattern, path):
    # a pattern comes with the repository, from anybody: this used to take years
    assert not Patterns([pattern]).match(path.encode())
