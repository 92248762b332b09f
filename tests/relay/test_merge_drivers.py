"""Merges by drivers that attributes name: the same on every machine, whatever lies in its work tree."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from autosync.common.git import Git
from autosync.relay import attributes
from tests.relay.lab import Lab, both_gits, merged_at, with_git
from tests.support.git import git


def two_sides(folder: Path, attributes: str) -> list[str]:
    """Two commits that changed the same line of `log`, in a repository whose work tree is at the second."""
    git(folder, "init", "-q", "-b", "main")
    for content, branch in (("base\n", "main"), ("one\n", "one"), ("two\n", "two")):
        git(folder, "checkout", "-q", "-B", branch, *(["main"] if branch != "main" else []))
        (folder / ".gitattributes").write_text(attributes)
        (folder / "log").write_text("start\n" + content)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", branch)
    return [git(folder, "rev-parse", b) for b in ("one", "two")]


def test_a_union_driver_is_honoured(tmp_path):
    heads = two_sides(tmp_path, "log merge=union\n")
    found = merged_at(tmp_path, *heads)
    assert found.conflicts == ()
    assert set(git(tmp_path, "show", f"{found.commit}:log").split()) == {"start", "one", "two"}


def test_a_driver_of_the_persons_own_is_honoured(tmp_path):
    heads = two_sides(tmp_path, "log merge=both\n")
    driver = tmp_path / "driver"
    driver.write_text('#!/bin/sh\ncat "$2" "$3" | sort -u >"$4" && mv "$4" "$2"\n')
    driver.chmod(0o755)
    git(tmp_path, "config", "merge.both.driver", f"{driver} %O %A %B merged.tmp")
    found = merged_at(tmp_path, *heads)
    assert found.conflicts == ()
    assert git(tmp_path, "show", f"{found.commit}:log").split() == ["one", "start", "two"]


def test_a_driver_that_fails_makes_a_conflict(tmp_path):
    heads = two_sides(tmp_path, "log merge=none\n")
    git(tmp_path, "config", "merge.none.driver", "false %A")
    found = merged_at(tmp_path, *heads)
    (conflict,) = found.conflicts
    contents = {git(tmp_path, "show", f"{found.commit}:{name}") for name in ("log", conflict.copy)}
    assert contents == {"start\none", "start\ntwo"}


@both_gits
@pytest.mark.parametrize("below", ["", "d/"])
@pytest.mark.parametrize("there", ["log -merge\n", None, "not committed"])
def test_the_driver_does_not_depend_on_what_lies_in_the_work_tree(tmp_path, monkeypatch, tools, below, there):
    """The attributes of the newer commit count, wherever this machine is, and whatever somebody is at."""
    with_git(tools, monkeypatch)
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / below).mkdir(exist_ok=True)
    attributes, log = tmp_path / f"{below}.gitattributes", tmp_path / f"{below}log"
    heads = []
    for content, drivers, branch in (("base", "", "main"), ("one", "", "one"), ("two", "log merge=union\n", "two")):
        git(tmp_path, "checkout", "-q", "-B", branch, *(["main"] if branch != "main" else []))
        attributes.write_text(drivers)
        log.write_text(f"start\n{content}\n")
        git(tmp_path, "add", "-A")
        date = f"@{1700000000 + len(heads)} +0000"
        monkeypatch.setenv("GIT_COMMITTER_DATE", date)
        git(tmp_path, "commit", "-qm", branch)
        heads.append(git(tmp_path, "rev-parse", "HEAD"))
    git(tmp_path, "checkout", "-q", "one")
    if there is None:
        attributes.unlink()
    elif there != "not committed":
        attributes.write_text(there)
    found = merged_at(tmp_path, *heads[1:])
    assert found.conflicts == ()
    assert set(git(tmp_path, "show", f"{found.commit}:{below}log").split()) == {"start", "one", "two"}
    assert list((tmp_path / ".git/autosync").iterdir()) == []


@both_gits
def test_attributes_with_forged_names_are_written_nowhere(tmp_path, monkeypatch, tools):
    with_git(tools, monkeypatch)
    lab = Lab(tmp_path)
    blob = git(tmp_path, "hash-object", "-w", "--stdin", input=b"* merge=union\n")
    tree = git(tmp_path, "mktree", input=f"100644 blob {blob}\t.gitattributes\n".encode())
    for _ in range(3):
        raw = b"40000 ..\0" + bytes.fromhex(tree)
        tree = git(tmp_path, "hash-object", "-t", "tree", "-w", "--stdin", "--literally", input=raw)
    root = lab.commit({"a": "1"})
    forged = git(tmp_path, "commit-tree", tree, "-p", root, "-m", "x")
    asyncio.run(_laid_out(lab, forged))
    assert not (tmp_path / ".gitattributes").exists()
    assert not (tmp_path.parent / ".gitattributes").exists()


async def _laid_out(lab: Lab, commit: str) -> None:
    async with attributes.laid_out(Git(lab.folder, lab.folder), lab.folder / "own", commit) as there:
        assert [path.name for path in there.cwd.rglob("*")] == [".gitattributes"]
