"""The commit of a merge, a function of the two merged commits and the conflicts alone."""

from __future__ import annotations

import os
from dataclasses import dataclass

from autosync.common.git import Git

from .conflict import Conflict

# git takes these off both ends of names and addresses, full stops only before 2.47, and refuses what has nothing else
_CRUD = "".join(map(chr, range(33))) + ".,:;<>\"\\'"
_LAST_SECOND = "99999999999999"
_FIELDS = "%H%x00%ct%x00%cn%x00%ce%x00%(trailers:key=Autosync-Machine,valueonly,separator=%x2C)%x00"


@dataclass(frozen=True, slots=True)
class Head:
    """A commit that is merged: ``time`` is its date in seconds since the epoch, the rest who made it, and where."""

    commit: str
    time: int
    name: str
    email: str
    machine: str


async def heads(git: Git, one: str, other: str) -> tuple[Head, Head]:
    """The two commits, the newer first; the names decide when they are of the same second. Raises GitError."""
    out = await git.call("log", "--no-walk=unsorted", "--no-show-signature", f"--format={_FIELDS}", one, other, "--")
    fields = [field.strip("\n") for field in os.fsdecode(out.stdout).split("\0")]
    rows = [fields[0:5], fields[5:10]]
    found = [
        Head(commit, _time(time), name.strip(_CRUD), email.strip(_CRUD), machine)
        for commit, time, name, email, machine in rows
    ]
    newer, older = sorted(found, key=lambda head: (head.time, head.commit), reverse=True)
    return newer, older


def _time(said: str) -> int:
    """Seconds since the epoch; 0 where a commit has no date, or one that no commit could be given."""
    return int(said) if said.isdecimal() and len(said) <= len(_LAST_SECOND) else 0


async def write(git: Git, tree: str, newer: Head, older: Head, conflicts: tuple[Conflict, ...], sign: bool) -> str:
    """Make the commit of ``tree``, signed if ``sign`` says so, which no ref names yet. Raises GitError."""
    env = {}
    for role in ("AUTHOR", "COMMITTER"):
        env[f"GIT_{role}_NAME"] = newer.name or "autosync"
        env[f"GIT_{role}_EMAIL"] = newer.email
        env[f"GIT_{role}_DATE"] = f"@{newer.time} +0000"
    message = message_for(newer.machine, older.machine, newer.commit, older.commit, conflicts)
    # commit-tree pays no heed to commit.gpgSign
    signing = ["-S"] if sign else []
    parents = ["-p", newer.commit, "-p", older.commit]
    data = message.encode(errors="replace")
    result = await git.call("commit-tree", *signing, *parents, "-F", "-", tree, input=data, env=env)
    return result.text


def message_for(newer_machine: str, older_machine: str, newer: str, older: str, conflicts: tuple[Conflict, ...]) -> str:
    """The merge commit's message, made from the two commits (their `Autosync-Machine` trailers) and the conflicts."""
    names = [newer_machine.split(",")[0] or newer[:7], older_machine.split(",")[0] or older[:7]]
    if names[0] == names[1]:
        names = [newer[:7], older[:7]]
    lines = [f"Merge {names[0]} and {names[1]}"]
    if conflicts:
        lines.append("")
        for conflict in conflicts[:100]:
            kept = f", the other version is {_shown(conflict.copy)}" if conflict.copy else ""
            lines.append(f"{_shown(conflict.path)}: {conflict.what}{kept}")
        if len(conflicts) > 100:
            lines.append(f"and {len(conflicts) - 100} more")
    return "\n".join(lines) + "\n"


def _shown(path: str) -> str:
    """A path on one line, whatever bytes it has."""
    if path.isprintable():
        return path
    return os.fsencode(path).decode(errors="replace").encode("unicode_escape").decode()
