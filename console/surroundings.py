"""What `autosync doctor` looks at round a repository: its file system, clocks, filters, SparkleShare's traps."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from autosync.common.config import Config, Reflector, Repo
from autosync.common.errors import Problem
from autosync.common.git import split
from autosync.common.repository import Repository
from autosync.common.shell import command_line, typed
from autosync.watcher import filesystem, filters

from . import wording
from .findings import Check

#: Seconds by which clocks may differ without harm.
_CLOCK_SLACK = 120.0
#: Newest commits of all branches that are looked at for their times.
_COMMITS = 100


def file_system(repository: Repository) -> Check:
    """Whether every change there can be noticed, and written."""
    path = repository.path
    for place in filter(None, (repository.work_tree, repository.git_dir)):
        if not os.access(place, os.W_OK):
            return Check("file system", problem=Problem(f"{place} cannot be written to", "let this user write there"))
    try:
        kind = filesystem.silent(os.fsencode(path)) if not repository.bare else None
    except OSError as error:
        return Check("file system", problem=Problem(f"{path}: {error.strerror}", "see that it is mounted"))
    if kind is not None:
        return Check(
            "file system",
            problem=Problem(
                f"{path} is on {kind}, which does not tell of changes made elsewhere: they are looked for now and then",
                "keep a clone on a disk of each machine instead, and let autosync carry the changes",
            ),
        )
    return Check("file system", "writable, and tells of changes")


def clocks(repository: Repository, now: float) -> Check:
    """Whether a machine's clock is ahead of ours, by the times of its commits; ``now`` in seconds since the epoch."""
    fields = "%ct%x00%h%x00%(trailers:key=Autosync-Machine,valueonly,separator=%x2C)%x00%cn"
    said = repository.git.run(
        "log", f"-{_COMMITS}", "--all", "-z", "--no-show-signature", f"--format={fields}", check=False
    ).stdout
    cells = split(said + b"\0")
    rows = zip(cells[0::4], cells[1::4], cells[2::4], cells[3::4], strict=False)
    ahead = [(int(when) - now, commit, machine.strip() or name) for when, commit, machine, name in rows if when]
    worst = max(ahead, default=(0.0, "", ""))
    if worst[0] <= _CLOCK_SLACK:
        return Check("clock", "no commit is from the future")
    by, commit, who = worst
    return Check(
        "clock",
        problem=Problem(
            f"commit {commit} by {who} is {wording.duration(by)} in the future: a clock there or here is wrong",
            "timedatectl set-ntp true, on whichever is wrong (timedatectl shows the time)",
        ),
    )


def missing_filters(repository: Repository, watcher: Mapping[str, str]) -> Iterator[Check]:
    """Whether the filters that attributes name (git-lfs, git-crypt) are set up, and can be run by the watcher, whose
    environment is given (empty when it does not run)."""
    git = repository.git
    named = _named_filters(repository)
    for name in sorted(named):
        commands = [
            git.run("config", "--get", f"filter.{name}.{way}", check=False).text for way in ("process", "clean")
        ]
        command = next(filter(None, commands), None)
        if command is None:
            held = filters.missing(repository.path, name)
            yield Check("filters", problem=Problem(f"the filter '{name}' of {named[name]} is not set up", held.remedy))
            continue
        program = _program(command)
        if shutil.which(program, path=watcher.get("PATH")) is None:
            where = "the watcher's PATH" if watcher else "PATH"
            edit = command_line("git", "-C", repository.path, "config", f"filter.{name}.clean", "COMMAND")
            yield Check(
                "filters",
                problem=Problem(
                    f"the filter '{name}' runs {program}, which is not in {where}",
                    f"install {program}, or name it with its path: {edit}",
                ),
            )
        else:
            yield Check("filters", f"{name} is set up")


def _named_filters(repository: Repository) -> dict[str, str]:
    """The filters that attributes files name, each with the file."""
    files = [repository.common_dir / "info" / "attributes"]
    if repository.work_tree is not None:
        listed = repository.git.run("ls-files", "-z", "--", ".gitattributes", "*/.gitattributes").stdout
        files += [repository.work_tree / name for name in split(listed)]
    found: dict[str, str] = {}
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            if not line.lstrip().startswith("#"):
                for name in re.findall(r"\sfilter=(\S+)", line):
                    found.setdefault(name, file.name)
    return found


def _program(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return words[0] if words else command


def sparkleshare_channels(settings: Config, repos: Sequence[Repo]) -> Iterator[Check]:
    """Whether SparkleShare's clients can hear of anything, where they are meant to."""
    if not any(isinstance(section, Reflector) and section.sparkleshare for section in settings.transports.values()):
        return
    if not any((repo.path / ".sparkleshare").is_file() for repo in repos):
        yield Check(
            "SparkleShare",
            problem=Problem(
                "sparkleshare = true is set, but no repository has the file .sparkleshare, which names its channel",
                "take one over from a client of SparkleShare, or commit one: openssl rand -hex 20 >.sparkleshare",
            ),
        )


def sparkleshare(repository: Repository, upstream: str | None) -> Iterator[Check]:
    """What does not go together with SparkleShare's clients; ``upstream`` as in the survey (`origin/main`)."""
    if repository.work_tree is None:
        return
    quoted = typed(repository.path)
    ssh = repository.git.run("config", "--local", "--get", "core.sshCommand", check=False).text
    if "sparkleshare" in ssh.lower() or repository.path.parent == Path.home() / "SparkleShare":
        yield Check(
            "SparkleShare",
            problem=Problem(
                f"{repository.path} is a clone of SparkleShare's own, which rewrites its hooks and settings",
                f"let each have its own clone: autosync init ANOTHER-FOLDER --remote URL (git -C {quoted} remote -v)",
            ),
        )
    if upstream is None:
        return
    remote, _, main = upstream.partition("/")
    said = repository.git.run("for-each-ref", "--format=%(refname:lstrip=3)", f"refs/remotes/{remote}/").text
    names = [name for name in said.splitlines() if name and name != "HEAD"]
    marks = [name for name in names if name.startswith(("x-sparkleshare-lfs", "x-sparkleshare-encrypted"))]
    filter_of = {"x-sparkleshare-lfs": "lfs", "x-sparkleshare-encrypted": "encryption"}
    for mark in marks:
        name = next(value for key, value in filter_of.items() if mark.startswith(key))
        if not repository.git.run("config", "--get", f"filter.{name}.clean", check=False).text:
            yield Check(
                "SparkleShare",
                problem=Problem(
                    f"the remote's branch {mark} says that files are stored through the filter '{name}', "
                    "which is not set up here",
                    filters.missing(repository.path, name).remedy,
                ),
            )
    if (repository.work_tree / ".sparkleshare").is_file():
        for name in [name for name in names if name.endswith(f"/{main}")]:
            yield Check(
                "SparkleShare",
                problem=Problem(
                    f"SparkleShare's clients take the remote's branch {name} for {main}, as it ends alike",
                    f"name it otherwise: git -C {quoted} push {remote} {remote}/{name}:refs/heads/OTHER :{name}",
                ),
            )
