"""`autosync restore`: bring an earlier version of a file back."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import click

from autosync.common import config, locks
from autosync.common.cli import AnyPath
from autosync.common.errors import Problem
from autosync.common.git import Git, split
from autosync.common.instance import Instance
from autosync.common.shell import typed

from . import moments, wording
from .answering import opened
from .choose import absolute, choose
from .edge import subcommand
from .terminal import say

#: Seconds to wait for the watcher or relay to finish what they are at.
_PATIENCE = 10.0
#: Versions that are listed.
_LISTED = 20


@click.command("restore")
@click.argument("file", type=AnyPath())
@click.option("--at", metavar="TIME", help="A time as git reads it: '2 hours ago', '2026-03-01 14:00'; or a commit.")
@subcommand
def command(instance: Instance, file: Path, at: str | None) -> None:
    """Bring back FILE as it was at a TIME; without --at, show its versions. FILE may be a folder.

    The version that is there now stays in the history; what is not committed yet is never overwritten.
    """
    _, repos = config.load(instance.config)
    (repo,) = choose(instance, repos, [file])
    repository = opened(repo.path)
    name = os.path.relpath(absolute(file), repo.path)
    git = repository.git
    if at is None:
        _list(git, name, file)
        return
    commit = _commit_at(git, at, file)
    if not git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", name).stdout:
        when = git.run("log", "-1", "--no-show-signature", "--format=%ci", commit, "--").text
        raise Problem(
            f"{_shown(file)} did not exist at {at} (the version of {when})",
            f"its versions: autosync restore {typed(_word(file))}",
        )
    repository.make_own_folders()
    try:
        with locks.locked(repository.lock, _PATIENCE) as lock:
            _refuse_uncommitted(git, name, file)
            git.run("restore", "--worktree", f"--source={commit}", "--", f":(literal,top){name}", pass_fds=[lock])
    except locks.Held as held:
        raise Problem(f"{repo.path} is busy", "try again in a moment") from held
    say(f"{_shown(file)} is as it was at {at} (commit {commit[:7]}); the watcher commits it like any change")


def _word(file: Path) -> str:
    """The file as an argument, and never an option."""
    return f"./{file}" if str(file).startswith("-") else str(file)


def _shown(file: Path) -> str:
    return wording.plain(str(file))


def _commit_at(git: Git, at: str, file: Path) -> str:
    named = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{at}^{{commit}}", check=False)
    if named.code == 0:
        return named.text
    # git reads any words as a time: one that it does not understand is now
    if not moments.is_one(at):
        raise Problem(f"{at!r} is neither a time nor a commit", "say for example --at '2 hours ago'")
    found = git.run("rev-list", "-1", f"--before={at}", "HEAD", "--").text
    if not found:
        raise Problem(f"nothing is as old as {at!r} here", f"its versions: autosync restore {typed(_word(file))}")
    return found


def _refuse_uncommitted(git: Git, name: str, file: Path) -> None:
    changed = git.run("status", "--porcelain", "-z", "-uall", "--ignored", "--", f":(literal,top){name}").stdout
    if changed:
        paths = ", ".join(wording.plain(entry[3:]) for entry in split(changed)[:3])
        raise Problem(
            f"there are changes that are not committed yet: {paths}",
            f"commit them first: autosync sync {typed(_word(file))}",
        )


@dataclass(frozen=True, slots=True)
class Version:
    """One commit that changed the file: ``time`` in seconds since the epoch, ``there`` whether it has the file."""

    commit: str
    time: int
    machine: str
    subject: str
    there: bool


def _versions(git: Git, name: str) -> list[Version]:
    fields = "%h%x00%ct%x00%(trailers:key=Autosync-Machine,valueonly,separator=%x2C)%x00%s"
    pathspec = f":(literal,top){name}"
    args = ("log", f"-{_LISTED}", "-z", "--no-show-signature", f"--format={fields}", "HEAD", "--", pathspec)
    cells = split(git.run(*args).stdout + b"\0")
    rows = list(zip(cells[0::4], cells[1::4], cells[2::4], cells[3::4], strict=False))
    found = _are_there(git, [f"{commit}:{name}" for commit, *_ in rows])
    return [
        Version(commit, int(when), machine.strip(), subject, there)
        for (commit, when, machine, subject), there in zip(rows, found, strict=True)
    ]


def _are_there(git: Git, names: list[str]) -> list[bool]:
    """For each `COMMIT:PATH` whether there is such a file or folder; a commit's log names what it deleted, too."""
    asked = [os.fsencode(name) for name in names]
    rest = git.run("cat-file", "--batch-check", "-z", input=b"".join(name + b"\0" for name in asked)).stdout
    found = []
    for name in asked:
        missing = name + b" missing\n"  # git repeats the name, with its line breaks
        found.append(not rest.startswith(missing))
        rest = rest[len(missing) :] if rest.startswith(missing) else rest.partition(b"\n")[2]
    return found


def _list(git: Git, name: str, file: Path) -> None:
    versions = _versions(git, name)
    shown = typed(_word(file))
    if not versions:
        raise Problem(f"git has never had {_shown(file)}", f"to see why: autosync explain {shown}")
    now = time.time()
    width = max(len(version.machine) for version in versions)
    for version in versions:
        what = wording.plain(version.subject) if version.there else "(deleted)"
        when = wording.ago(version.time, now)
        say(f"{version.commit}  {when.ljust(12)}  {version.machine.ljust(width)}  {what}".rstrip())
    newest = next((version.commit for version in versions if version.there), "COMMIT")
    say(f"bring one back with: autosync restore {shown} --at {newest}")
