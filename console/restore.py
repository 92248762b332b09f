"""`autosync restore`: bring an earlier version of a file back."""

from __future__ import annotations

import os
from pathlib import Path

import click

from autosync.common import config, locks
from autosync.common.errors import Problem
from autosync.common.git import Git, split
from autosync.common.instance import Instance
from autosync.common.repository import Repository

from . import wording
from .choose import absolute, choose
from .edge import subcommand
from .terminal import say

#: Seconds to wait for the watcher or relay to finish what they are at.
_PATIENCE = 10.0
#: Versions that are listed.
_LISTED = 20


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--at", metavar="TIME", help="A time as git reads it: '2 hours ago', '2026-03-01 14:00'; or a commit.")
@subcommand
def command(instance: Instance, file: Path, at: str | None) -> None:
    """Bring back FILE as it was at a TIME; without --at, show its versions. FILE may be a folder.

    The version that is there now stays in the history; what is not committed yet is never overwritten.
    """
    _, repos = config.load(instance.config)
    (repo,) = choose(instance, repos, [file])
    repository = Repository.open(repo.path)
    name = os.path.relpath(absolute(file), repo.path)
    git = repository.git
    if at is None:
        _list(git, name, file)
        return
    commit = _commit_at(git, at)
    if not git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", name).stdout:
        when = git.run("log", "-1", "--no-show-signature", "--format=%ci", commit, "--").text
        raise Problem(f"{file} did not exist at {at} (the version of {when})", f"its versions: autosync restore {file}")
    repository.make_own_folders()
    try:
        with locks.locked(repository.lock, _PATIENCE) as lock:
            _refuse_uncommitted(git, name, file)
            git.run("restore", "--worktree", f"--source={commit}", "--", f":(literal,top){name}", pass_fds=[lock])
    except locks.Held as held:
        raise Problem(f"{repo.path} is busy", "try again in a moment") from held
    say(f"{file} is as it was at {at} (commit {commit[:7]}); the watcher commits it like any change")


def _commit_at(git: Git, at: str) -> str:
    named = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{at}^{{commit}}", check=False)
    if named.code == 0:
        return named.text
    # git reads any words as a time: one that it does not understand is now
    if not any(character.isdigit() for character in at) and at not in ("yesterday", "noon", "midnight", "now"):
        raise Problem(f"{at!r} is neither a time nor a commit", "say for example --at '2 hours ago'")
    found = git.run("rev-list", "-1", f"--before={at}", "HEAD", "--").text
    if not found:
        raise Problem(f"nothing is that old: {at!r}", "git log shows when the history begins")
    return found


def _refuse_uncommitted(git: Git, name: str, file: Path) -> None:
    changed = git.run("status", "--porcelain", "-z", "-uall", "--ignored", "--", f":(literal,top){name}").stdout
    if changed:
        paths = ", ".join(wording.plain(entry[3:]) for entry in split(changed)[:3])
        raise Problem(
            f"there are changes that are not committed yet: {paths}", f"commit them first: autosync sync {file}"
        )


def _list(git: Git, name: str, file: Path) -> None:
    fields = "%h%x00%cr%x00%(trailers:key=Autosync-Machine,valueonly,separator=%x2C)%x00%s"
    pathspec = f":(literal,top){name}"
    args = ("log", f"-{_LISTED}", "-z", "--no-show-signature", f"--format={fields}", "HEAD", "--", pathspec)
    rows = split(git.run(*args).stdout + b"\0")
    if len(rows) < 4:
        raise Problem(f"{file} has no versions", "git has never had it; see: autosync status")
    for commit, when, machine, subject in zip(rows[0::4], rows[1::4], rows[2::4], rows[3::4], strict=False):
        say(f"{commit}  {when.ljust(16)}  {machine.strip().ljust(12)}  {wording.plain(subject)}".rstrip())
    say(f"bring one back with: autosync restore {file} --at COMMIT")
