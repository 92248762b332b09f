"""Repositories of every format that git has: an edit on one machine reaches the other, both ways."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autosync.common.reader import GitReader
from autosync.common.repository import Repository
from tests.hooks.conftest import NEW_GIT
from tests.support.git import git
from tests.support.machines import Fleet, Machine
from tests.support.wait import until


def nothing(repo: Path) -> None:
    pass


def sparse_index(repo: Path) -> None:
    git(repo, "sparse-checkout", "set", "--cone", "--sparse-index", "in")


def split_index(repo: Path) -> None:
    git(repo, "config", "core.splitIndex", "true")
    git(repo, "update-index", "--split-index")


def of_another_owner(repo: Path) -> None:
    """`safe.directory` is set for every test; libgit2 does not go by all of its values."""
    for folder, names, files in os.walk(repo):
        for name in (".", *names, *files):
            os.chown(Path(folder, name), 12345, 12345, follow_symlinks=False)


def linked(repo: Path) -> None:
    """The repository becomes a linked work tree of another."""
    main = repo.with_name("main")
    repo.rename(main)
    git(main, "switch", "-q", "--detach")
    git(main, "worktree", "add", "-q", str(repo), "main")


#: How the central repository is made, how it is cloned, what is done to the clone, and whether libgit2 can read that.
FORMATS: dict[str, tuple[list[str], list[str], Callable[[Path], None], bool]] = {
    "sha256": (["--object-format=sha256"], [], nothing, False),
    "reftable": (["--ref-format=reftable"], ["--ref-format=reftable"], nothing, False),
    "sparse index": ([], [], sparse_index, True),
    "split index": ([], [], split_index, True),
    "partial clone": ([], ["--filter=blob:none"], nothing, True),
    "shallow clone": ([], ["--depth=1"], nothing, True),
    "another owner": ([], [], of_another_owner, True),
    "linked work tree": ([], [], linked, True),
}


def first_commits(central: Path, init: list[str]) -> None:
    """Two commits, with a folder that a sparse checkout leaves out."""
    plain = central.with_name("plain")
    # a clone of an empty repository would not have its hash
    git(central.parent, "init", "-q", *init, str(plain))
    for number in range(2):
        for name in ("in/kept.txt", "out/left.txt"):
            file = plain / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{number}\n")
        git(plain, "add", "-A")
        git(plain, "commit", "-qm", str(number))
    git(plain, "push", "-q", str(central), "HEAD:main")


def add(fleet: Fleet, name: str, text: str, clone: list[str], prepare: Callable[[Path], None]) -> Machine:
    machine = fleet.add(name, sections=text, clone=False)
    git(machine.folder, "clone", "-q", *clone, fleet.central.as_uri(), str(machine.repo))
    machine.configure()
    if prepare is not of_another_owner:
        prepare(machine.repo)
    machine.run("autosync-install-hooks", str(machine.repo))
    if prepare is of_another_owner:  # hooks that root installed would not be his to change
        prepare(machine.repo)
    return machine


@pytest.mark.parametrize("name", FORMATS)
def test_the_main_scenario_holds_for_every_format(tmp_path, name, monkeypatch):
    init, clone, prepare, readable = FORMATS[name]
    if name == "reftable":
        if NEW_GIT is None:
            pytest.skip("needs a newer git: tests/run")
        monkeypatch.setenv("PATH", f"{NEW_GIT}:{os.environ['PATH']}")
    if prepare is of_another_owner and os.geteuid():
        pytest.skip("only root gives files away")
    with Fleet(tmp_path, empty=True) as fleet:
        shutil.rmtree(fleet.central)
        git(tmp_path, "init", "-q", "--bare", *init, str(fleet.central))
        git(fleet.central, "config", "uploadpack.allowFilter", "true")
        first_commits(fleet.central, init)
        text = f'[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
        a, b = (add(fleet, machine, text, clone, prepare) for machine in ("a", "b"))
        repository = Repository.open(a.repo)
        assert isinstance(repository.reader(), GitReader) is not readable
        for machine in (a, b):
            machine.start().online("reflector")
        a.write("in/from-a.txt", "1\n")
        until(lambda: b.read("in/from-a.txt") == "1\n", "a's edit on b")
        b.commit("in/from-b.txt", "by hand\n")
        until(lambda: a.read("in/from-b.txt") == "by hand\n", "b's commit on a")
        fleet.same()
        # what neither can have seen of the other: a conflict, and a deletion
        for machine in (a, b):
            machine.stop("relay")
            machine.write("in/kept.txt", f"{machine.name}\n")
        (a.repo / "in/from-b.txt").unlink()
        until(lambda: a.clean() and b.clean(), "both to commit")
        for machine in (a, b):
            machine.start("relay")
        fleet.same()
        kept = {path.read_text() for path in (a.repo / "in").iterdir() if path.name.startswith("kept.")}
        assert kept == {"a\n", "b\n"}
        assert not (b.repo / "in/from-b.txt").exists()
        # what a sparse checkout leaves out is no deletion
        assert git(fleet.central, "show", "main:out/left.txt") == "1"
