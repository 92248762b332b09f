"""Pushes by hand are announced when, and only when, they have succeeded: with a real relay, and no server hook."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest

from tests.hooks.listener import Reflector
from tests.support.git import git
from tests.support.machines import Fleet, Machine
from tests.support.wait import until

ZERO = "0" * 40


class Person:
    """Somebody at a machine that neither pushes nor pulls by itself, and what the others hear of it."""

    def __init__(self, fleet: Fleet, machine: Machine, reflector: Reflector) -> None:
        self.central, self.machine, self.clone = fleet.central, machine, machine.repo
        self._reflector = reflector
        self._taken = 0

    def commit(self, where: Path | None = None) -> str:
        git(where or self.clone, "commit", "--quiet", "--allow-empty", "-m", "by hand")
        return git(where or self.clone, "rev-parse", "HEAD")

    def hears(self, *moves: tuple[str, str]) -> None:
        """Just these are announced since the last time, whatever was tried meanwhile."""
        wanted = {(f"refs/heads/{name}", commit) for name, commit in moves}
        until(lambda: len(self._reflector.moves) >= self._taken + len(wanted), f"{moves} to be announced")
        self.machine.run("autosync", "sync", check=False)
        since = self._reflector.moves[self._taken :]
        assert (len(since), set(since)) == (len(wanted), wanted)
        self._taken += len(since)


@pytest.fixture
def person(tmp_path, reflector) -> Iterator[Person]:
    with Fleet(tmp_path) as fleet:
        machine = fleet.add("a", 'push = "manual"\npull = "notify"\nwatch = false', reflector.section)
        machine.start("relay")
        machine.online("reflector")
        # what moved before the first look of all is nobody's news
        until(lambda: machine.relay_status()["repositories"][0]["state"] == "in sync", "the first look")
        yield Person(fleet, machine, reflector)


def test_what_succeeds_is_announced_once(person, tmp_path):
    head = person.commit()
    git(person.clone, "push", "--quiet")
    person.hears(("main", head))
    # several at once, and a tag
    git(person.clone, "tag", "v1")
    head = person.commit()
    git(person.clone, "push", "--quiet", "origin", "main", "main:one", "main~1:refs/heads/two", "v1")
    person.hears(("main", head), ("one", head), ("two", git(person.clone, "rev-parse", "main~1")))
    # forced, deleted
    git(person.clone, "push", "--quiet", "--force", "origin", "main~1:one", ":two")
    person.hears(("one", git(person.clone, "rev-parse", "main~1")), ("two", ZERO))
    # from a linked work tree
    git(person.clone, "worktree", "add", "--quiet", "../linked")
    linked = person.commit(person.clone.parent / "linked")
    git(person.clone.parent / "linked", "push", "--quiet", "origin", "linked")
    person.hears(("linked", linked))
    # to an address that is no remote
    head = person.commit()
    git(person.clone, "push", "--quiet", os.fspath(person.central), "main")
    person.hears(("main", head))


def test_what_comes_to_nothing_is_not_announced(person):
    refuse = person.central / "hooks/pre-receive"
    refuse.write_text("#!/bin/sh\nexit 1\n")
    refuse.chmod(0o755)
    head = person.commit()
    assert subprocess.run(["git", "push", "-q", "origin", "main"], cwd=person.clone, capture_output=True).returncode
    # interrupted at the keyboard while the server thinks
    began, go_on = person.central / "began", person.central / "go-on"
    refuse.write_text(f"#!/bin/sh\ntouch {began}\nwhile [ ! -e {go_on} ]; do sleep 0.01; done\n")
    # whoever runs the tests in the background may have them ignore it
    words = ["env", "--default-signal=INT", "git", "push", "-q", "origin", "main"]
    push = subprocess.Popen(words, cwd=person.clone, stderr=subprocess.DEVNULL, start_new_session=True)
    until(began.exists, "the server to be asked")
    os.killpg(push.pid, signal.SIGINT)
    push.wait()
    go_on.touch()
    refuse.unlink()
    git(person.clone, "push", "--quiet", "--dry-run", "origin", "main:dry")
    git(person.clone, "tag", "v1")
    git(person.clone, "push", "--quiet", "origin", "v1")
    assert git(person.central, "for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/main"
    git(person.clone, "push", "--quiet", "origin", "main")
    person.hears(("main", head))


def test_a_push_that_runs_no_hook_is_found_at_the_next_look(person):
    head = person.commit()
    git(person.clone, "push", "--quiet", "--no-verify")
    person.machine.run("autosync", "sync", check=False)
    person.hears(("main", head))
    # as an IDE does
    head = person.commit()
    repository = pygit2.Repository(person.clone)
    repository.remotes["origin"].push(["refs/heads/main:refs/heads/main"])
    repository.free()
    person.machine.run("autosync", "sync", check=False)
    person.hears(("main", head))


def test_a_thousand_branches_in_one_push(person):
    head = git(person.clone, "rev-parse", "HEAD")
    names = [f"b{number:04}" for number in range(1000)]
    commands = "".join(f"create refs/heads/{name} {head}\n" for name in names)
    git(person.clone, "update-ref", "--stdin", input=commands.encode())
    git(person.clone, "push", "--quiet", "origin", "refs/heads/b*")
    person.hears(*((name, head) for name in names))
