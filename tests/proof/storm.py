"""Rounds of edits and crashes over real processes, each round followed by the ledger's check."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from pathlib import Path

from tests.proof import faults
from tests.proof.edits import KEPT, Person
from tests.proof.faults import MODES, Victim
from tests.proof.ledger import Ledger, Pending, broken, stuck
from tests.support.git import git
from tests.support.machines import Fleet
from tests.support.wait import until

_CRASHES_AT_ONCE = 8


class Storm:
    """Two machines, their people, and trouble. ``crashes`` counts what struck, by kind."""

    def __init__(self, folder: Path, seed: int, names: str = "ab") -> None:
        self.chance = random.Random(seed)
        self.fleet = Fleet(folder)
        self.crashes: Counter[str] = Counter()
        self.ledger = Ledger()
        self._known: set[str] = set()
        self._checked: str | None = None
        self.machines: list[Victim] = []
        self._people: list[tuple[Person, Pending]] = []
        for name in names:
            machine = Victim(folder, name)
            self.fleet.machines.append(machine)
            machine.clone(self.fleet.central)
            self.machines.append(machine)
            pending = Pending()
            self._people.append((Person(machine.repo, pending, name, rules=False), pending))

    def __enter__(self) -> Storm:
        self.fleet.__enter__()
        self.machines[0].commit(KEPT.decode(), "so that no work tree is ever empty\n")
        self.machines[0].git("push", "-q")
        return self

    def __exit__(self, *raised: object) -> None:
        self.fleet.__exit__(*raised)

    @property
    def total(self) -> int:
        return sum(self.crashes.values())

    def round(self) -> None:
        """Edits and crashes, then everything equal again by itself, and nothing lost."""
        for machine in self.machines:
            machine.ensure()
        for _ in range(self.chance.randrange(1, _CRASHES_AT_ONCE + 1)):
            victim = self.chance.choice(self.machines)
            strike = self._strike(victim)
            for person, _ in self.chance.sample(self._people, len(self._people)):
                for _ in range(self.chance.randrange(0, 3)):
                    person.edit(self.chance)
                    faults.moment(self.chance, 0.02)
            strike.close()
            for machine in self.machines:
                machine.ensure()
        self.settle()

    def settle(self) -> None:
        """Wait until all is equal by itself, starting again what is still to be struck; check."""
        until(self._equal, "all machines to be equal after crashes", 90.0)
        for machine in self.machines:
            self._count(machine)
        self.check()

    def _equal(self) -> bool:
        for machine in self.machines:
            machine.ensure()
        # in this order: what is clean because it was committed just now is in the head that is asked next
        if not all(machine.clean() for machine in self.machines):
            return False
        heads = {git(repo, "rev-parse", "-q", "--verify", "refs/heads/main", check=False) for repo in self._repos()}
        if len(heads) > 1:
            return False
        # dead, or about to be: it has yet to show that it starts again
        return all(m.services[n].process.poll() is None for m in self.machines for n in ("watcher", "relay"))

    def _repos(self) -> list[Path]:
        return [self.fleet.central, *(machine.repo for machine in self.machines)]

    def _count(self, machine: Victim) -> None:
        if mode := machine.disarm():
            self.crashes[mode] += 1

    def until_logged(self, machine: Victim, service: str, words: str) -> None:
        """Wait until a service has met the trouble and said so."""
        log = machine.services[service].log
        until(lambda: words in log.read_text(), f"{machine.name}'s {service} to say: {words}\n{machine.logs()}")

    def check(self) -> None:
        """Everything that was put on a disk is in the history of the common head; nobody is stuck."""
        central = self.fleet.central
        head = git(central, "rev-parse", "refs/heads/main")
        new = [head] if self._checked is None else [head, "^" + self._checked]
        self._known |= set(git(central, "rev-list", "--objects", "--no-object-names", *new).split())
        self._checked = head
        for machine, (_, pending) in zip(self.machines, self._people, strict=True):
            until(lambda m=machine: stuck(m.repo) == [], f"{machine.name} not to be stuck: {stuck(machine.repo)}", 45.0)
            for path, blob in pending.blobs.items():
                self.ledger.rest(blob, f"{machine.name}: {path!r}")
            pending.blobs = {}
        lost = self.ledger.lost(self._known)
        assert lost == {}, f"contents in no history: {lost}"
        self.ledger.contents = {}

    def check_whole(self) -> None:
        """What costs too much for each round."""
        for repo in self._repos():
            assert broken(repo) == "", repo

    # kinds of trouble ----------------------------------------------------------------------------------

    def _strike(self, victim: Victim) -> contextlib.ExitStack:
        """Begin some trouble; closing what is returned ends it."""
        chance, stack = self.chance, contextlib.ExitStack()
        kind = chance.choices(("armed", "kill", "power cut", "stop"), (5, 3, 1, 1))[0]
        if kind == "armed":
            self._count(victim)
            victim.arm(chance.randrange(1, 16), chance.choice(MODES), chance.random() ** 2 * 0.03)
            return stack
        name = chance.choice(("watcher", "relay"))
        if kind == "stop":
            self.crashes["stopped for a while"] += 1
            stack.enter_context(faults.stopped(victim.pid(name)))
            return stack
        stack.callback(self._kill, victim, name, kind)
        return stack

    def _kill(self, victim: Victim, name: str, kind: str) -> None:
        faults.moment(self.chance, 0.2)
        if kind == "power cut":
            victim.kill("watcher", "relay", children=True)
            victim.truncate(self.chance)
            self.crashes["power cut"] += 1
        else:
            children = self.chance.random() < 0.5
            victim.kill(name, children=children)
            self.crashes[f"kill -9 of the {name}" + (" and its git" if children else "")] += 1
