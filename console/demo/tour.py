"""The tour: what two machines in sync are for, each step done for real and looked at from the other side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autosync.common.errors import Problem
from autosync.common.git import Git

from .stage import Machine, Stage
from .waiting import LONG_PAUSE


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, ``after`` so many seconds from the beginning of its step."""

    what: str
    after: float


@dataclass(frozen=True, slots=True)
class Step:
    """A step: what it is about, what is typed, and how it is played. ``play`` raises Problem when it fails."""

    title: str
    typed: tuple[str, ...]
    play: Callable[[Stage], list[Moment]]


def steps() -> Iterator[Step]:
    """The steps, in order; each builds on the ones before."""
    yield Step(
        "A file saved on laptop",
        ("laptop$ echo hello > hello.txt",),
        lambda stage: _saved(stage.laptop, stage.desk, stage, "hello.txt", "hello\n"),
    )
    yield Step(
        "A file saved on desk",
        ("desk$ echo 'hello to you' > reply.txt",),
        lambda stage: _saved(stage.desk, stage.laptop, stage, "reply.txt", "hello to you\n"),
    )
    yield Step(
        "A commit by hand on desk",
        ("desk$ git add plan.txt", "desk$ git commit -m 'A plan of my own'"),
        _commit_by_hand,
    )
    yield Step(
        "A push by hand from a clone that has never heard of autosync",
        ("elsewhere$ git clone central.git plain; cd plain", "elsewhere$ git commit -am 'Eggs'; git push"),
        _push_by_hand,
    )
    yield Step(
        "The same line changed on both at once: both versions are kept",
        ("laptop$ echo 'cheese' > dinner.txt", "desk$   echo 'noodles' > dinner.txt"),
        _conflict,
    )


def _saved(here: Machine, there: Machine, stage: Stage, name: str, text: str) -> list[Moment]:
    began = time.time()
    (here.folder / name).write_text(text)
    arrived = _arrival(stage, there, name, text, began)
    return [*_on_the_way(here, began), arrived]


def _commit_by_hand(stage: Stage) -> list[Moment]:
    began = time.time()
    (stage.desk.folder / "plan.txt").write_text("step 1\n")
    git = stage.desk.git
    git.run("add", "plan.txt")
    git.run("commit", "--quiet", "-m", "A plan of my own")
    commit = git.run("rev-parse", "HEAD").text
    moments = [Moment("committed by hand", time.time() - began)]
    arrived = _arrival(stage, stage.laptop, "plan.txt", "step 1\n", began)
    if _subject(stage.laptop, commit) != "A plan of my own":
        raise Problem("the commit by hand did not arrive as it was made", stage.said())
    return [*moments, *_on_the_way(stage.desk, began), arrived]


def _push_by_hand(stage: Stage) -> list[Moment]:
    plain = stage.folder / "plain"
    Git(stage.folder).run("clone", "--quiet", str(stage.central.folder), str(plain))
    git = Git(plain).with_config("user.name=Somebody Else", "user.email=else@example.org")
    text = "bread\nmilk\neggs\n"
    (plain / "shopping.txt").write_text(text)
    git.run("commit", "--quiet", "-a", "-m", "Eggs")
    began = time.time()
    git.run("push", "--quiet")
    moments = [Moment("pushed by hand", time.time() - began)]
    return moments + [_arrival(stage, machine, "shopping.txt", text, began) for machine in stage.machines]


def _conflict(stage: Stage) -> list[Moment]:
    texts = {"cheese\n", "noodles\n"}
    began = time.time()
    (stage.laptop.folder / "dinner.txt").write_text("cheese\n")
    (stage.desk.folder / "dinner.txt").write_text("noodles\n")

    def kept(machine: Machine) -> list[Path]:
        found = sorted(machine.folder.glob("dinner*.txt"))
        try:
            return found if {path.read_text() for path in found} == texts else []
        except OSError:
            return []

    moments = []
    for machine in stage.machines:
        found = stage.wait(lambda m=machine: kept(m), f"the arrival of both versions on {machine.name}")  # type: ignore[misc]
        names = " and ".join(path.name for path in found)
        moments.append(Moment(f"on {machine.name}: {names}", time.time() - began))
    stage.wait(lambda: _agree(stage), "the agreement of both machines", LONG_PAUSE)
    if kept(stage.laptop) == [] or kept(stage.desk) == []:
        raise Problem("a version was lost", stage.said())
    return [*moments, Moment("the same history on both, and in the central repository", time.time() - began)]


def _agree(stage: Stage) -> bool:
    heads = {machine.head for machine in (*stage.machines, stage.central)}
    return len(heads) == 1 and not any(_changed(machine) for machine in stage.machines)


def _changed(machine: Machine) -> bool:
    return bool(machine.git.run("status", "--porcelain").stdout)


def _arrival(stage: Stage, machine: Machine, name: str, text: str, began: float) -> Moment:
    def there() -> bool:
        try:
            return (machine.folder / name).read_text() == text
        except FileNotFoundError:
            return False

    stage.wait(there, f"the arrival of {name} on {machine.name}")
    return Moment(f"there on {machine.name}", time.time() - began)


def _on_the_way(machine: Machine, began: float) -> list[Moment]:
    """What the machine's own services noted since: the commit, then the push."""
    words = {"commit": "committed", "push": "pushed"}
    noted: dict[str, Moment] = {}
    for operation in machine.operations(began):
        if operation.action in words:
            noted.setdefault(operation.action, Moment(words[operation.action], operation.time - began))
    return list(noted.values())


def _subject(machine: Machine, commit: str) -> str:
    """The first line of a commit's message; empty when the machine does not have it in its history."""
    found = machine.git.run("merge-base", "--is-ancestor", commit, "HEAD", check=False)
    return machine.git.run("log", "-1", "--format=%s", commit).text if found.code == 0 else ""
