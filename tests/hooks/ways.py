"""What the tests of the ways in share."""

from __future__ import annotations

from pathlib import Path

from autosync.common.repository import Repository
from autosync.hooks.install import inspect, install
from tests.hooks.conftest import Pair
from tests.support.git import git

SAYING = '#!/bin/sh\necho "$0" "$@" >>"$LOG"\n'


def taken(log: Path) -> list[str]:
    found = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def put_in(repository: Repository) -> None:
    assert not install(repository, standalone=False, config=None).problems


def states(repository: Repository) -> dict[str, str]:
    return {status.name: status.state for status in inspect(repository)}


def in_order(repository: Repository) -> bool:
    return all(status.in_order for status in inspect(repository))


def act(pair: Pair) -> None:
    git(pair.clone, "commit", "--quiet", "--allow-empty", "-m", "m")
    git(pair.clone, "push", "--quiet", "origin")
