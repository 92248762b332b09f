"""`autosync doctor`: looks for what is wrong, and says how to mend it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from autosync.common import config
from autosync.common.config import Config, Repo
from autosync.common.errors import EXIT_OK, EXIT_PROBLEM, Problem
from autosync.common.git import GitError
from autosync.common.instance import Instance
from autosync.common.version import version

from . import answering, findings, services, surroundings, wording
from .answering import opened
from .edge import subcommand
from .findings import Check
from .reach import environment_of, reach
from .survey import kind, survey
from .terminal import hanging, say, show, symbols_fit

#: Remotes that are asked at the same time.
_AT_ONCE = 8


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For scripts: one JSON object a line, for each thing looked at.")
@subcommand
def command(instance: Instance, as_json: bool) -> int:
    """Look for what is wrong, on this machine and in each repository, with the remedy. Ends with 1 if anything is."""
    shown = _Plain() if as_json else _Words()
    found = 0
    for place, checks in examine(instance):
        for check in checks:
            found += check.problem is not None
            shown.check(place, check)
    shown.end(found)
    return EXIT_PROBLEM if found else EXIT_OK


def examine(instance: Instance) -> Iterator[tuple[str, Iterator[Check]]]:
    """All that is looked at, by place: `this machine`, then each repository's path."""
    try:
        settings, repos = config.load(instance.config)
    except Problem as problem:
        yield "this machine", iter([findings.git_version(), Check("configuration", problem=problem)])
        return
    data = survey(instance)
    silent = answering.silent(repo.path for repo in repos)
    there = [repo for repo in repos if repo.path not in silent]
    around = {name: environment_of(data[name]["pid"]) for name in services.SERVICES}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # remotes are slow: all are asked while the rest is looked at
        asked = {repo.path: pool.submit(_reach, repo, around["relay"]) for repo in there}
        yield "this machine", _machine(instance, settings, there, data)
        for repo, entry in zip(repos, data["repositories"], strict=True):
            if repo.path in silent:
                yield str(repo.path), iter([Check("repository", problem=answering.unanswered(repo.path))])
            else:
                yield str(repo.path), _repository(repo, entry, around["watcher"], asked[repo.path])


def _reach(repo: Repo, relay: dict[str, str]) -> Check | None:
    wanted = repo.settings.push == "auto" or repo.settings.pull != "never"
    try:
        repository = opened(repo.path)
    except (Problem, GitError, OSError):
        return None  # told of by `_repository`
    return reach(repository, repo.settings, relay) if wanted and not repository.bare else None


def _machine(instance: Instance, settings: Config, repos: list[Repo], data: dict[str, Any]) -> Iterator[Check]:
    yield findings.git_version()
    number = wording.count(len(data["repositories"]), "repository", "repositories")
    yield Check("configuration", f"{instance.config}, {number}")
    found = list(findings.secrets(settings))
    yield from found
    told = {check.problem.what for check in found if check.problem is not None}
    for name in services.SERVICES:
        if data["repositories"] and data[name]["wanted"]:
            yield findings.service(name, data[name], version())
    if data["relay"]["alive"]:
        # not once more what is wrong with its secret
        yield from (findings.transport(entry) for entry in data["transports"] if entry["error"] not in told)
    yield from surroundings.sparkleshare_channels(settings, repos)
    yield findings.watch_budget(repos)


def _repository(
    repo: Repo, entry: dict[str, Any], watcher: dict[str, str], asked: Future[Check | None]
) -> Iterator[Check]:
    try:
        repository = opened(repo.path)
    except Problem as problem:
        yield Check("repository", problem=problem)
        return
    yield surroundings.file_system(repository)
    if not repository.bare:
        if repo.settings.watch:
            yield findings.identity(repository)
        if repo.settings.push == "auto" or repo.settings.pull != "never":
            yield findings.upstream(entry)
        found = asked.result()
        if found is not None:
            yield found
        yield from surroundings.missing_filters(repository, watcher)
        yield from surroundings.sparkleshare(repository, entry["upstream"])
    yield surroundings.clocks(repository, time.time())
    yield from findings.hooks(repository)
    for held in entry["quarantined"]:
        yield Check("held back", problem=Problem(f"{held['path']}: {held['reason']}", held["remedy"]))
    # a service that does not run is told of above, and so is a missing upstream
    told = entry["state"].endswith("not running") or entry["state"] == "no upstream"
    if not told and kind(entry) in ("needs you", "offline") and entry["reason"]:
        yield Check(entry["state"], problem=Problem(entry["reason"], entry["remedy"]))


class _Plain:
    def check(self, place: str, check: Check) -> None:
        problem = check.problem
        row = {
            "place": place,
            "subject": check.subject,
            "good": check.good,
            "what": problem and problem.what,
            "remedy": problem and problem.remedy,
        }
        print(json.dumps(row))

    def end(self, found: int) -> None:
        pass


class _Words:
    def __init__(self) -> None:
        self._tick, self._arrow = ("✓ ", "→ ") if symbols_fit() else ("+ ", "-> ")
        self._place = ""

    def check(self, place: str, check: Check) -> None:
        if place != self._place:
            if self._place:
                say()
            show(Text(wording.path(place, Path.home()), "bold"))
            self._place = place
        if check.problem is None:
            show(hanging(self._tick, "green", f"{check.subject}: {self._good(check)}", 2))
            return
        what = wording.homely(check.problem.what, Path.home())
        show(hanging("! ", "bold red", f"{check.subject}: {what}", 2))
        if check.problem.remedy:
            show(hanging(self._arrow, "cyan", wording.homely(check.problem.remedy, Path.home()), 4))

    @staticmethod
    def _good(check: Check) -> str:
        return wording.homely(wording.plain(check.good or ""), Path.home())

    def end(self, found: int) -> None:
        say()
        show(Text(f"{wording.count(found, 'thing')} to mend", "bold red") if found else Text("all is well", "green"))
