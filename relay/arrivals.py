"""What came from other machines, for people: which files, and from whom."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from autosync.common.git import Git

#: So many commits are looked at.
_DEPTH = 200
# The mark begins what is said of a commit; git puts a line break before file names, and NULs around them.
_MARK = "\x01\x02"
_FORMAT = f"--format={_MARK}%an%x00%(trailers:key=Autosync-Machine,valueonly,separator=%x2C)%x00"


@dataclass(frozen=True, slots=True)
class Arrival:
    """Files (True: still there, False: deleted), in the order of their first mention, and who sent them."""

    files: dict[str, bool]
    senders: tuple[str, ...]

    def with_later(self, later: Arrival) -> Arrival:
        """Both together: the newest first."""
        files = later.files | {path: there for path, there in self.files.items() if path not in later.files}
        return Arrival(files, tuple(dict.fromkeys((*later.senders, *self.senders))))


async def arrival(git: Git, before: str, after: str, here: str) -> Arrival:
    """What the commits that ``after`` has and ``before`` lacks did, but for those made by the machine ``here``.

    Raises GitError.
    """
    arguments = ("log", "-z", "--name-status", "--no-renames", "--no-merges", "--no-show-signature", f"-n{_DEPTH}")
    result = await git.call(*arguments, _FORMAT, f"{before}..{after}", "--")
    return parse(result.stdout, here)


def parse(output: bytes, here: str) -> Arrival:
    """The arrival that git's output tells of."""
    files: dict[str, bool] = {}
    senders: dict[str, None] = {}
    fields = iter(os.fsdecode(output).split("\0"))
    ours = False
    for field in fields:
        head = field.lstrip("\n")
        if head.startswith(_MARK):
            author, machine = head.removeprefix(_MARK), next(fields, "")
            ours = machine == here
            if not ours:
                senders.setdefault(machine or author)
        elif head:
            path = next(fields, "")
            if path and not ours:
                files.setdefault(path, not head.startswith("D"))
    return Arrival(files, tuple(senders))


def title(arrival: Arrival) -> str:
    """`4 files from laptop`."""
    count = "1 file" if len(arrival.files) == 1 else f"{len(arrival.files):,} files"
    senders = arrival.senders
    if len(senders) > 3:
        return f"{count} from {len(senders)} machines"
    return f"{count} from {named(senders, most=3)}"


def text(arrival: Arrival, most: int = 4) -> str:
    """`todo.md, old.md (deleted), plan.md and 1 more`."""
    return named([path if there else f"{path} (deleted)" for path, there in arrival.files.items()], most)


def named(names: Collection[str] | Sequence[str], most: int) -> str:
    """A list of names as people write it, at most so many of them."""
    shown = list(names)[:most]
    if len(names) > len(shown):
        return f"{', '.join(shown)} and {len(names) - len(shown):,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))
