"""What `autosync status` knows: the services' words and a look of our own, put together.

The shape of `Survey.data` is what `autosync status --json` prints, and stays stable for scripts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosync.common import config
from autosync.common.config import Config, Repo
from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.instance import Instance
from autosync.common.reader import Unreadable
from autosync.common.repository import PAUSED_BY_HAND
from autosync.common.shell import typed

from . import answering, copies, look, services
from .look import Sight
from .services import Answer

#: Relay states that need no service of ours to be worth telling first.
_SERIOUS = frozenset({"error", "held", "diverged", "no upstream", "offline", "paused"})
#: What each state means for the person; any other needs them.
_KINDS = {
    "in sync": "good",
    "unborn": "good",
    "ahead": "moving",
    "behind": "moving",
    "syncing": "moving",
    "waiting": "moving",
    "paused": "paused",
    "offline": "offline",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one repository. ``watcher`` and ``relay`` are the services' dicts of it, None where the
    service does not run or does not have it; ``dirty`` was counted by us, where the watcher cannot tell."""

    repo: Repo
    sight: Sight
    watcher: dict[str, Any] | None
    relay: dict[str, Any] | None
    dirty: int | None = None


def survey(instance: Instance) -> dict[str, Any]:
    """Ask the services, look at each repository, and put it together. Raises Problem when there is no
    configuration to go by."""
    answers = asyncio.run(services.statuses(instance))
    settings, repos, problem = _configuration(instance, answers)
    known, silent = [], answering.silent(repo.path for repo in repos)
    for repo in repos:
        sight = Sight(problem=answering.unanswered(repo.path)) if repo.path in silent else look.look(repo)
        watcher = _entry(answers["watcher"], repo)
        dirty = None
        if watcher is None and repo.settings.watch and sight.repository is not None:
            dirty = look.changed_files(sight.repository)
        known.append(Known(repo, sight, watcher, _entry(answers["relay"], repo), dirty))
    relay = answers["relay"].status or {}
    return {
        "name": settings.name,
        "config": str(instance.config),
        "config_error": problem and problem.what,
        "watcher": _service(answers["watcher"], not known or any(_wants_watcher(k) for k in known)),
        "relay": _service(answers["relay"], not known or any(_wants_relay(k) for k in known)),
        "repositories": [describe(k, answers) for k in known],
        "transports": relay.get("transports", _configured_transports(settings, answers["relay"])),
        "peers": relay.get("peers", []),
        "fleet": [_word(word, known) for word in relay.get("fleet", [])],
    }


def _word(word: dict[str, Any], known: Sequence[Known]) -> dict[str, Any]:
    """A machine's word with how far it is ``behind`` the newest commit known here, in commits; None where its own
    commit is not known here, or there is nothing to compare with."""
    sight = next((k.sight for k in known if str(k.repo.path) == word["path"]), None)
    behind = None
    if sight is not None and sight.repository is not None and sight.newest is not None:
        try:
            reader = sight.repository.reader()
            if reader.has_commit(word["head"]):
                behind = reader.ahead_behind(sight.newest, word["head"])[0]
        except (Unreadable, GitError, OSError):
            pass
    return word | {"behind": behind}


def _configuration(instance: Instance, answers: dict[str, Answer]) -> tuple[Config, list[Repo], Problem | None]:
    """The configuration; while the file has mistakes, the repositories that the running services still have."""
    try:
        settings, repos = config.load(instance.config)
    except Problem as problem:
        running = [answer.status for answer in answers.values() if answer.status is not None]
        if not running:
            raise
        paths = {entry["path"]: None for status in running for entry in status["repositories"]}
        name = next((status["name"] for status in running if "name" in status), "?")
        return Config(name=name), [Repo(Path(p), config.Settings(), frozenset()) for p in paths], problem
    return settings, repos, None


def describe(known: Known, answers: dict[str, Answer]) -> dict[str, Any]:
    """One repository as `--json` shows it. ``state`` is the one word that matters most; ``reason`` and ``remedy``
    belong to it. ``last_error`` is trouble that is not over, or null, ``last_error_since`` when it began, in seconds
    since the epoch."""
    sight, relay, watcher = known.sight, known.relay or {}, known.watcher or {}
    state, reason, remedy = judge(known, answers)
    error = relay.get("last_error") or {}
    seen = relay if relay.get("upstream") else {}
    # what the relay saw counts where nothing can be seen now: it may not have looked since
    last = seen if sight.problem is not None else {}
    trouble = error.get("what") or (reason if state in ("error", "offline") else None)
    return {
        "path": str(known.repo.path),
        "id": relay.get("id") or known.repo.settings.id,
        "state": state,
        "reason": reason,
        "remedy": remedy or error.get("remedy"),
        "branch": sight.branch or last.get("branch"),
        "head": sight.head or last.get("head"),
        "upstream": sight.upstream or last.get("upstream"),
        "ahead": seen.get("ahead", sight.ahead),
        "behind": seen.get("behind", sight.behind),
        "last_error": trouble,
        "last_error_since": error.get("since"),
        "last_sync": relay.get("last_sync"),
        "progress": relay.get("progress") or watcher.get("progress"),
        "bare": sight.bare,
        "dirty": watcher.get("dirty", known.dirty),
        "pending": watcher.get("pending", []),
        "quarantined": watcher.get("quarantined", []),
        "conflicts": copies.copies(sight.repository) if sight.repository is not None else [],
        "watcher_state": watcher.get("state"),
        "relay_state": relay.get("state"),
    }


def judge(known: Known, answers: dict[str, Answer]) -> tuple[str, str | None, str | None]:
    """State, reason and remedy of a repository: first what stands in the way of everything, then what of the two
    services does not run though it is wanted, then what they say."""
    sight, relay, watcher = known.sight, known.relay, known.watcher
    if sight.problem is not None:
        return "error", sight.problem.what, sight.problem.remedy
    if sight.paused is not None:
        return "paused", sight.paused, f"autosync resume {typed(known.repo.path)}"
    if relay is not None and relay["state"] in _SERIOUS:
        return relay["state"], relay["reason"], relay["remedy"]
    if relay is None and _wants_relay(known):
        return _absent(answers, "relay", known)
    if watcher is not None and watcher["state"] in ("held", "error"):
        return watcher["state"], watcher["reason"], watcher["remedy"]
    if watcher is None and _wants_watcher(known):
        return _absent(answers, "watcher", known)
    if relay is not None:
        return relay["state"], relay["reason"], relay["remedy"]
    return _alone(known)


def _wants_watcher(known: Known) -> bool:
    return known.repo.settings.watch and not known.sight.bare


def _wants_relay(known: Known) -> bool:
    settings = known.repo.settings
    return settings.push == "auto" or settings.pull != "never" or settings.announce


def kind(repository: dict[str, Any]) -> str:
    """`good`, `moving`, `paused`, `offline`, `conflict` or `needs you`: what a person has to know at a glance."""
    if repository["quarantined"] or (repository["state"] == "paused" and repository["reason"] != PAUSED_BY_HAND):
        return "needs you"
    found = _KINDS.get(repository["state"], "needs you")
    # it waits for a push or pull by hand
    if found == "moving" and repository["state"] != "waiting" and repository["remedy"]:
        return "needs you"
    return "conflict" if repository["conflicts"] and found in ("good", "moving") else found


def _absent(answers: dict[str, Answer], service: str, known: Known) -> tuple[str, str | None, str | None]:
    answer = answers[service]
    if answer.status is not None:
        return (
            f"not known to the {service}",
            f"the {service} has not read this part of the configuration yet",
            "see what the configuration error above says, or start it again",
        )
    assert answer.problem is not None
    return f"{service} not running", answer.problem.what, answer.problem.remedy


def _alone(known: Known) -> tuple[str, str | None, str | None]:
    """A repository for which no relay is wanted: what the refs say."""
    sight = known.sight
    if sight.bare or sight.head is None:
        return ("in sync" if sight.bare else "unborn"), None, None
    if sight.upstream is None:
        return "no upstream", None, None
    if sight.ahead and sight.behind:
        return "diverged", None, None
    return ("ahead" if sight.ahead else "behind" if sight.behind else "in sync"), None, None


def _entry(answer: Answer, repo: Repo) -> dict[str, Any] | None:
    for entry in (answer.status or {}).get("repositories", []):
        if entry["path"] == str(repo.path):
            found: dict[str, Any] = entry
            return found
    return None


def _service(answer: Answer, wanted: bool) -> dict[str, Any]:
    """``wanted``: some repository has work for it."""
    status = answer.status or {}
    return {
        "alive": answer.status is not None,
        "wanted": wanted,
        "pid": status.get("pid"),
        "version": status.get("version"),
        "started": status.get("started"),
        "error": answer.problem.what if answer.problem else None,
        "remedy": answer.problem.remedy if answer.problem else None,
    }


def _configured_transports(settings: Config, relay: Answer) -> list[dict[str, Any]]:
    """The transports that the configuration asks for, while no relay runs them."""
    problem = relay.problem
    return [
        {
            "name": name,
            "state": "off",
            "since": None,
            "error": problem and problem.what,
            "remedy": problem and problem.remedy,
            "dropped": 0,
        }
        for name in settings.transports
    ]
