"""Merging in the object database: both versions survive, and every machine makes the same commit."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autosync.common.git import Git, GitError
from autosync.common.reader import open_reader
from autosync.relay.conflict import copy_name
from autosync.relay.merge import merge
from tests.hooks.conftest import NEW_GIT
from tests.relay.lab import Files, Lab, both_gits, merged_at, with_git
from tests.support.git import git

LONG = "".join(f"line {n}\n" for n in range(30))


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def copies(tree: dict[str, str]) -> dict[str, str]:
    return {path: content for path, content in tree.items() if ".conflict-" in path}


# base, one side, the other (newer) side, expected tree with copies under "copy of NAME"
CASES: dict[str, tuple[Files, Files, Files, dict[str, str]]] = {
    "no conflict": ({"a": "1"}, {"a": "1", "b": "2"}, {"a": "3"}, {"a": "3", "b": "2"}),
    "different lines": (
        {"a": LONG},
        {"a": LONG.replace("line 2\n", "two\n")},
        {"a": LONG.replace("line 25\n", "x\n")},
        {"a": LONG.replace("line 2\n", "two\n").replace("line 25\n", "x\n").rstrip("\n")},
    ),
    "text": ({"a.txt": "1"}, {"a.txt": "2"}, {"a.txt": "3"}, {"a.txt": "3", "copy of a.txt": "2"}),
    "binary": ({"a.bin": b"\0\1"}, {"a.bin": b"\0\2"}, {"a.bin": b"\0\3"}, {"a.bin": "\0\3", "copy of a.bin": "\0\2"}),
    "added on both": ({}, {"n": "1"}, {"n": "2"}, {"n": "2", "copy of n": "1"}),
    "added alike": ({}, {"n": "1"}, {"n": "1"}, {"n": "1"}),
    "delete against edit": ({"a": "1", "k": ""}, {"k": ""}, {"a": "2", "k": ""}, {"a": "2", "k": ""}),
    "edit against delete": ({"a": "1", "k": ""}, {"a": "2", "k": ""}, {"k": ""}, {"a": "2", "k": ""}),
    "executable and edit": ({"a": "1"}, {"a": ("x", "1")}, {"a": "2"}, {"a": "100755:2"}),
    "executable, added on both": ({}, {"a": ("x", "1")}, {"a": "1"}, {"a": "100755:1"}),
    "link against file": (
        {"a": "1"},
        {"a": ("->", "t")},
        {"a": "2"},
        {"copy of a": "2", "a": "120000:t"},
    ),
    "file against folder": ({"d": "1"}, {"d/f": "2"}, {"d": "3"}, {"d/f": "2", "copy of d": "3"}),
    "new file against new folder": ({}, {"d/f": "2"}, {"d": "3"}, {"d/f": "2", "copy of d": "3"}),
    "renamed on both": (
        {"r": LONG},
        {"one": LONG},
        {"two": LONG + "more\n"},
        {"one": LONG.rstrip("\n"), "two": LONG + "more"},
    ),
    "renamed against edited": (
        {"r": LONG},
        {"one": LONG},
        {"r": LONG + "more\n"},
        {"one": LONG + "more"},
    ),
    "renamed and edited against edited": (
        {"r": LONG},
        {"one": LONG + "here\n"},
        {"r": LONG + "there\n"},
        {"one": LONG + "there", "copy of one": LONG + "here"},
    ),
    "renamed against deleted": (
        {"r": LONG, "k": ""},
        {"one": LONG, "k": ""},
        {"k": ""},
        {"one": LONG.rstrip("\n"), "k": ""},
    ),
    "two files renamed to one name": (
        {"p": LONG, "q": LONG.upper()},
        {"n": LONG, "q": LONG.upper()},
        {"p": LONG, "n": LONG.upper()},
        {"n": LONG.upper().rstrip("\n"), "copy of n": LONG.rstrip("\n")},
    ),
    # git drops the edit here without a word
    "file moved, but copied to the same place and edited by the newer one": (
        {"e/a": LONG},
        {"x/a": LONG},
        {"e/a": LONG + "more\n", "x/a": LONG},
        {"e/a": LONG + "more", "x/a": LONG.rstrip("\n")},
    ),
    "file moved by the newer one, but copied to the same place and edited": (
        {"e/a": LONG},
        {"e/a": LONG + "more\n", "x/a": LONG},
        {"x/a": LONG},
        {"x/a": LONG + "more"},
    ),
    "folder renamed, new file in it": (
        {"d/a": LONG, "d/b": LONG.upper()},
        {"e/a": LONG, "e/b": LONG.upper()},
        {"d/a": LONG, "d/b": LONG.upper(), "d/c": "new"},
        {"e/a": LONG.rstrip("\n"), "e/b": LONG.upper().rstrip("\n"), "e/c": "new"},
    ),
    "folder renamed, file of that name in the new place": (
        {"d/a": LONG, "d/b": LONG.upper()},
        {"e/a": LONG, "e/b": LONG.upper(), "e/c": "another"},
        {"d/a": LONG, "d/b": LONG.upper(), "d/c": "new"},
        {"e/a": LONG.rstrip("\n"), "e/b": LONG.upper().rstrip("\n"), "e/c": "another", "d/c": "new"},
    ),
    "folder renamed, and a file in it renamed otherwise and edited": (
        {"d/a": LONG},
        {"d/e": LONG + "more\n"},
        {"moved/a": LONG},
        {"d/e": LONG + "more", "moved/a": LONG.rstrip("\n")},
    ),
    # git's own tree has an entry that names nothing then
    "file where the renamed folder of the other side has a folder": (
        {"d/e/f": LONG},
        {"moved/a": LONG, "d/e": "new"},
        {"moved/e/f": LONG},
        {"moved/a": LONG.rstrip("\n"), "moved/e/f": LONG.rstrip("\n"), "d/e": "new"},
    ),
    "names that differ by case": ({}, {"Readme": "1"}, {"README": "2"}, {"Readme": "1", "README": "2"}),
    "strange names": (
        {"-x\n\udcff y": "1"},
        {"-x\n\udcff y": "2"},
        {"-x\n\udcff y": "3"},
        {"-x\n\udcff y": "3", "copy of -x\n\udcff y": "2"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_both_versions_survive(lab, name):
    base, one, other, expected = CASES[name]
    root = lab.commit(base)
    found = lab.merge(lab.commit(one, root), lab.commit(other, root, author="two"))
    tree = lab.tree(found.commit)
    renamed = {}
    for path, content in tree.items():
        if ".conflict-" in path:
            conflict = next(c for c in found.conflicts if c.copy == path)
            path = f"copy of {conflict.path}"
        renamed[path] = content
    assert renamed == expected


def test_the_commit_has_both_heads_for_parents_and_says_what_happened(lab):
    root = lab.commit({"a.txt": "1"})
    one, other = lab.commit({"a.txt": "2"}, root, author="desk"), lab.commit({"a.txt": "3"}, root, author="laptop")
    found = lab.merge(one, other)
    assert git(lab.folder, "show", "-s", "--format=%P", found.commit).split() == [other, one]
    message = git(lab.folder, "show", "-s", "--format=%B", found.commit)
    assert message.startswith("Merge laptop and desk\n")
    assert found.conflicts[0].copy in message


def test_what_a_killed_merge_has_left_goes(lab):
    own = lab.folder / "own"
    (own / "merge-attributes.killed/d").mkdir(parents=True)
    for name in ("merge-index.killed", "merge-index.killed.lock", "merge-index.at-work"):
        (own / name).touch()
    for left in (name for name in own.iterdir() if "killed" in name.name):
        os.utime(left, (0, 0))
    root = lab.commit({"a.txt": "1"})
    lab.merge(lab.commit({"a.txt": "2"}, root), lab.commit({"a.txt": "3"}, root, author="two"))
    # another relay may be at it, on another machine even
    assert [path.name for path in own.iterdir()] == ["merge-index.at-work"]


def test_merges_at_once_do_not_disturb_each_other(lab):
    """A repository may be configured by two names: without its index a merge would take all files away."""
    files = {f"{number}.txt": "1" for number in range(100)}
    root = lab.commit(files)
    one, other = lab.commit(files | {"0.txt": "2"}, root), lab.commit(files | {"0.txt": "3"}, root, author="two")
    bare, own = Git(lab.folder, lab.folder), lab.folder / "own"
    reader = open_reader(lab.folder, bare)

    async def all_at_once():
        return await asyncio.gather(*(merge(bare, reader, own, one, other, keep_both=True) for _ in range(8)))

    (commit,) = {found.commit for found in asyncio.run(all_at_once())}
    assert set(files) < set(lab.tree(commit))


@both_gits
@pytest.mark.parametrize(
    "who",
    [
        b". <> 1700000500 +0000",
        b"<x@y> 1700000500 +0000",
        b"\xff\xfe <b\xff> 1700000500 +0000",
        b"From the future <x> 4102444800 +1400",
        b"Far future <x> 99999999999999 +0000",
        b"Beyond time <x> 99999999999999999999999999 +0000",
        b"Before time <x> -5000 +0000",
        b"No date <x>",
        b"Odd zone <x> 1700000500 +051800",
    ],
)
def test_commits_of_odd_people_are_merged(lab, monkeypatch, tools, who):
    """Other programs, and converters of old histories, make such commits."""
    with_git(tools, monkeypatch)
    root = lab.commit({"a": "1"})
    plain = lab.commit({"a": "2"}, root)
    tree = git(lab.folder, "rev-parse", lab.commit({"a": "1", "b": "3"}) + "^{tree}")
    raw = f"tree {tree}\nparent {root}\n".encode() + b"author " + who + b"\ncommitter " + who + b"\n\nodd\n"
    odd = git(lab.folder, "hash-object", "-t", "commit", "-w", "--stdin", "--literally", input=raw)
    found = lab.merge(plain, odd)
    assert lab.tree(found.commit) == {"a": "2", "b": "3"}


@pytest.mark.skipif(not NEW_GIT, reason="no newer git here")
def test_a_name_with_a_full_stop_makes_one_commit_with_every_git(lab, monkeypatch):
    """Others in a fleet have other gits, and some take the full stop away."""
    root = lab.commit({"a": "1"})
    tree = git(lab.folder, "rev-parse", root + "^{tree}")
    who = "Acme Inc. <mail@example.org.> 1800000000 +0000"
    raw = f"tree {tree}\nparent {root}\nauthor {who}\ncommitter {who}\n\nwork\n".encode()
    newer = git(lab.folder, "hash-object", "-t", "commit", "-w", "--stdin", input=raw)
    sides = lab.commit({"b": "2"}, root), newer
    found = lab.merge(*sides)
    with_git(NEW_GIT, monkeypatch)
    assert lab.merge(*sides) == found


def test_a_conflict_on_a_copy_makes_no_copy_of_the_copy(lab):
    name = "a.conflict-0123456.txt"
    root = lab.commit({name: "1"})
    found = lab.merge(lab.commit({name: "2"}, root), lab.commit({name: "3"}, root))
    names = set(lab.tree(found.commit))
    assert name in names
    assert len(names) == 2
    assert all(name.count(".conflict-") == 1 for name in names)


def test_the_same_conflict_again_makes_no_second_copy(lab):
    root = lab.commit({"a": "1"})
    one, other = lab.commit({"a": "2"}, root), lab.commit({"a": "3"}, root)
    first = lab.merge(one, other).commit
    on_top = lab.commit({"a": "3", "b": "", **copies(lab.tree(first))}, first)
    aside = lab.commit({"a": "2", "c": ""}, one)
    tree = lab.tree(lab.merge(on_top, aside).commit)
    assert len(copies(tree)) == 1


def test_stop_merges_nothing_and_names_the_files(lab):
    root = lab.commit({"a": "1", "b": "1"})
    found = lab.merge(lab.commit({"a": "2", "b": "1"}, root), lab.commit({"a": "3", "b": "1"}, root), keep_both=False)
    assert found.commit is None
    assert [c.path for c in found.conflicts] == ["a"]


def test_unrelated_histories_are_refused(lab):
    with pytest.raises(GitError):
        lab.merge(lab.commit({"a": "1"}), lab.commit({"b": "2"}))


@pytest.mark.parametrize(
    "setting",
    ["merge.default=union", "merge.renormalize=true", "diff.algorithm=minimal", "i18n.logOutputEncoding=KOI8-R"],
)
def test_what_a_person_has_configured_makes_no_other_merge(lab, monkeypatch, setting):
    name, _, value = setting.partition("=")
    root = lab.commit({"a": "1\n", ".gitattributes": "* text=auto\n"})
    sides = [
        lab.commit({"a": text, ".gitattributes": "* text=auto\n"}, root, author="Жанна") for text in ("1\r\n2", "3")
    ]
    found = lab.merge(*sides)
    git(lab.folder, "config", name, value)
    assert lab.merge(*sides) == found


def test_a_submodule_conflict_keeps_one_pointer_and_names_the_other(lab):
    def with_pointer(oid: str, parent: str | None) -> str:
        tree = git(lab.folder, "mktree", input=f"160000 commit {oid}\tsub\n".encode())
        return git(lab.folder, "commit-tree", *(["-p", parent] if parent else []), "-m", "x", tree)

    root = with_pointer("1" * 40, None)
    found = lab.merge(with_pointer("2" * 40, root), with_pointer("3" * 40, root))
    kept = lab.tree(found.commit)["sub"]
    assert kept in ("160000:" + "2" * 40, "160000:" + "3" * 40)
    assert ({"2" * 40, "3" * 40} - {kept[7:]}).pop() in found.conflicts[0].what


def test_a_submodule_has_the_same_outcome_where_it_is_checked_out_and_where_not(tmp_path):
    """git would follow the submodule's own history where that is there."""
    sub, one, other = tmp_path / "sub", tmp_path / "one", tmp_path / "other"
    git(tmp_path, "init", "-q", str(sub))
    points = []
    for n in range(3):
        git(sub, "commit", "-q", "--allow-empty", "-m", str(n))
        points.append(git(sub, "rev-parse", "HEAD"))
    git(tmp_path, "init", "-q", "-b", "main", str(one))
    git(one, "submodule", "--quiet", "add", str(sub), "sub")
    heads = []
    for point, branch in zip(points, ("main", "left", "right"), strict=True):
        git(one, "checkout", "-q", "-B", branch, *(["main"] if branch != "main" else []))
        git(one / "sub", "checkout", "-q", point)
        git(one, "commit", "-qam", branch)
        heads.append(git(one, "rev-parse", "HEAD"))
    git(tmp_path, "clone", "-q", str(one), str(other))
    found = [merged_at(repo, *heads[1:]) for repo in (one, other)]
    assert found[0] == found[1]
    (conflict,) = found[0].conflicts
    kept = git(other, "rev-parse", f"{found[0].commit}:sub")
    assert kept in points[1:] and ({*points[1:]} - {kept}).pop() in conflict.what


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("todo.md", "todo.conflict-1234567.md"),
        ("d/e/archive.tar.gz", "d/e/archive.tar.conflict-1234567.gz"),
        (".bashrc", ".bashrc.conflict-1234567"),
        ("plain", "plain.conflict-1234567"),
        ("a.conflict-abcdef0.txt", "a.conflict-1234567.txt"),
        ("a.conflict-abcdef0", "a.conflict-1234567"),
    ],
)
def test_names_of_copies(path, expected):
    assert copy_name(path, "1234567" + "8" * 33) == expected


def test_a_copy_never_takes_the_name_of_another_content():
    oid = "1234567" + "8" * 33
    assert copy_name("a", oid, lambda name: name != "a.conflict-1234567") == "a.conflict-12345678"


def test_a_long_name_is_shortened_to_fit():
    name = copy_name("ü" * 127, "1" * 40)
    assert len(name.encode()) <= 255
    assert name.endswith(".conflict-1111111")


names = st.sampled_from(["a", "b", "d/a", "d/b", "d", "e/a", "a.txt"])


contents = st.sampled_from([LONG, LONG + "x\n", "y\n" + LONG, "short", "", LONG.upper()])


trees = st.dictionaries(names, contents, max_size=5).filter(
    lambda t: not any(q.startswith(p + "/") for p in t for q in t)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=trees, one=trees, other=trees)
def test_whatever_is_merged_nothing_has_markers_and_no_edit_is_missing(tmp_path_factory, base, one, other):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    root = lab.commit(base)
    left, right = lab.commit(one, root), lab.commit(other, root)
    found = lab.merge(left, right)
    tree = lab.tree(found.commit)
    assert not any("<<<<<<<" in content or ">>>>>>>" in content for content in tree.values())
    # in a conflict, each side's own content is there, under some name
    kept = set(tree.values())
    for conflict in found.conflicts:
        if conflict.copy:
            assert conflict.copy in tree
    for path in set(one) & set(other):
        if one[path] != other[path] and path not in base:
            assert {one[path].rstrip("\n"), other[path].rstrip("\n")} & {c.rstrip("\n") for c in kept}
