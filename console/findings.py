"""What `autosync doctor` looks at on the machine and in each repository."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosync.common import config
from autosync.common.config import Config, Repo, Xmpp
from autosync.common.errors import Problem
from autosync.common.git import HOW_TO_GET_GIT, Git, GitError
from autosync.common.repository import Repository
from autosync.common.shell import typed

from . import wording

#: The oldest git that has what is used: `merge-tree --write-tree`.
OLDEST_GIT = (2, 38)
_WATCH_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")
#: Others of the user's programs watch, too: this share of the limit is left to them.
_WATCH_SHARE = 0.8
#: What to say of several hooks in the same state.
_OF_SEVERAL = {
    "missing": "not installed",
    "outdated": "from another version",
    "shadowed": "where git does not look for hooks",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: ``subject`` in a few words, and either that it is ``good`` or the ``problem``."""

    subject: str
    good: str | None = None
    problem: Problem | None = None


def git_version() -> Check:
    """Whether git is there, and new enough."""
    try:
        said = Git(Path("/")).run("version").text
    except (OSError, GitError) as error:
        return Check("git", problem=Problem(f"git cannot be run ({error})", HOW_TO_GET_GIT))
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
        oldest = ".".join(map(str, OLDEST_GIT))
        return Check("git", problem=Problem(f"{said} is older than {oldest}", f"install git {oldest} or newer"))
    return Check("git", said.removeprefix("git version "))


def secrets(settings: Config) -> Iterator[Check]:
    """Whether the files with secrets can be read by us and by nobody else."""
    files = [
        (f"{name} password", section.password_file)
        if isinstance(section, Xmpp)
        else (f"{name} secret", section.secret_file)
        for name, section in settings.transports.items()
    ]
    for subject, path in files:
        if path is None:
            continue
        try:
            config.read_secret(path)
            yield Check(subject, f"{path}, for you alone")
        except Problem as problem:
            yield Check(subject, problem=problem)


def service(name: str, state: dict[str, Any], version: str) -> Check:
    """Whether a service that is wanted runs, and runs this version. ``state`` is as in the survey."""
    if not state["alive"]:
        return Check(name, problem=Problem(state["error"], state["remedy"]))
    if state["version"] != version:
        return Check(
            name,
            problem=Problem(
                f"the {name} that runs is version {state['version']}, and {version} is installed",
                f"start it anew; with systemd: systemctl --user restart autosync-{name}",
            ),
        )
    return Check(name, f"running, as process {state['pid']}")


def transport(entry: dict[str, Any]) -> Check:
    """Whether announcements get through; ``entry`` is as in the survey."""
    if entry["state"] == "online":
        return Check(entry["name"], "online")
    what = entry["error"] or f"{entry['name']} is {entry['state']}"
    return Check(entry["name"], problem=Problem(what, entry["remedy"]))


def watch_budget(repos: Sequence[Repo], limit_file: Path = _WATCH_LIMIT) -> Check:
    """Whether the system lets this user watch as many folders as there are."""
    try:
        limit = int(limit_file.read_text())
    except (OSError, ValueError):
        return Check("watches", "this system tells no limit")
    folders = sum(_folders(repo.path) for repo in repos if repo.settings.watch and (repo.path / ".git").exists())
    if folders <= limit * _WATCH_SHARE:
        return Check("watches", f"{wording.count(folders, 'folder')} to watch, {limit:,} allowed")
    enough = max(524_288, 2 * folders)
    return Check(
        "watches",
        problem=Problem(
            f"there are {wording.count(folders, 'folder')} to watch, and this system allows a user {limit:,}",
            f"echo fs.inotify.max_user_watches={enough} | sudo tee /etc/sysctl.d/60-autosync.conf"
            " && sudo sysctl --system",
        ),
    )


def _folders(top: Path) -> int:
    """The folders in a work tree; no more than a moment's work on a large one."""
    number = 0
    for _, names, _ in os.walk(top):
        number += 1
        if ".git" in names:
            names.remove(".git")
    return number


def hooks(repository: Repository) -> Iterator[Check]:
    """Whether git will run our hooks."""
    from autosync.hooks.install import inspect

    try:
        found = inspect(repository)
    except (OSError, GitError) as error:
        yield Check("hooks", problem=Problem(f"the hooks cannot be looked at ({error})", "make them readable"))
        return
    wrong = [hook for hook in found if not hook.in_order]
    if not wrong:
        yield Check("hooks", "in order")
    # one sentence for all that are alike
    for state, remedy in dict.fromkeys((hook.state, hook.remedy) for hook in wrong):
        alike = [hook for hook in wrong if (hook.state, hook.remedy) == (state, remedy)]
        if state in _OF_SEVERAL and len(alike) > 1:
            what = f"{', '.join(hook.name for hook in alike)} are {_OF_SEVERAL[state]}"
        else:
            what = "; ".join(hook.problem or hook.state for hook in alike)
        yield Check("hooks", problem=Problem(what, remedy))


def identity(repository: Repository) -> Check:
    """Who makes the commits here: where git does not know, the watcher uses user and machine."""
    found = repository.git.run("var", "GIT_AUTHOR_IDENT", check=False)
    if found.code == 0:
        return Check("commits by", found.text.rpartition(">")[0] + ">")
    return Check(
        "commits by",
        problem=Problem(
            "git does not know your name; automatic commits are made in the name of user and machine",
            'git config --global user.name "YOUR NAME"; git config --global user.email YOU@EXAMPLE.ORG',
        ),
    )


def upstream(entry: dict[str, Any]) -> Check:
    """Whether the checked-out branch follows one of a remote; ``entry`` is as in the survey."""
    if entry["upstream"]:
        return Check("upstream", entry["upstream"])
    if entry["branch"] is None:
        return Check("upstream", problem=Problem("HEAD is detached", f"git -C {typed(entry['path'])} switch BRANCH"))
    return Check(
        "upstream",
        problem=Problem(
            f"the branch {entry['branch']} has no upstream, so its commits stay here",
            f"autosync init {typed(entry['path'])} --remote URL",
        ),
    )
