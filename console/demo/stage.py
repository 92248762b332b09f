"""What the demo plays on: a temporary folder with a central repository, two machines and a reflector."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from autosync.common.config.load import load
from autosync.common.errors import Problem
from autosync.common.git import Git, clean_environment
from autosync.common.instance import Instance
from autosync.common.operations import Operation, OperationLog
from autosync.common.repository import Repository
from autosync.hooks.install import install

from .. import services
from ..adopt import adopt
from .children import Children, Endings, command
from .waiting import LONG_PAUSE, PAUSE, wait_for

_T = TypeVar("_T")

#: Seconds a file has to be quiet in the demo before it is committed.
SETTLE = 0.2
_CONFIGURATION = """\
name = "{name}"

[reflector]
url = "tcp://127.0.0.1:{port}"
secret-file = "reflector-secret"

[notify]
desktop = false

[defaults]
settle = {settle}
push-delay = 0.0

[[repository]]
path = "{repository}"
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """One of the machines: its repository, and the instance that its services run for."""

    name: str
    folder: Path
    instance: Instance

    @property
    def git(self) -> Git:
        return Repository.open(self.folder).git

    @property
    def head(self) -> str | None:
        return Repository.open(self.folder).reader().head().commit

    def progress(self) -> str | None:
        """What the services of this machine are at, where it takes longer than a moment."""
        answers = asyncio.run(services.statuses(self.instance))
        entries = [entry for answer in answers.values() for entry in (answer.status or {}).get("repositories", [])]
        return next((entry["progress"] for entry in entries if entry.get("progress")), None)

    def operations(self, since: float = 0.0) -> list[Operation]:
        """What the services of this machine have done since then (seconds since the epoch)."""
        log = OperationLog(self.instance.operations)
        return [operation for operation in log.read() if operation.time >= since]


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that is there while the demo runs."""

    folder: Path
    central: Machine
    laptop: Machine
    desk: Machine
    children: Children
    endings: Endings

    @property
    def machines(self) -> tuple[Machine, Machine]:
        return self.laptop, self.desk

    def wait(self, condition: Callable[[], _T], what: str, pause: float = PAUSE) -> _T:
        """The first true result of ``condition``. Raises Problem when it takes too long or a process has ended, and
        Ended when a signal has come."""

        def checked() -> _T:
            self.check()
            return condition()

        try:
            return wait_for(checked, pause)
        except TimeoutError:
            raise Problem(f"{what} did not happen in time", self.said()) from None

    def check(self) -> None:
        """Raises Ended when a signal has come, Problem when a process has ended by itself."""
        self.endings.check()
        ended = self.children.dead()
        if ended is not None:
            raise Problem(f"{ended} ended by itself", self.said(ended))

    def said(self, only: str | None = None) -> str:
        """The last words of each process, or of ``only`` one."""
        words = []
        for log in sorted((self.folder / "logs").iterdir()):
            if only in (None, log.stem):
                words += [f"{log.stem}: {line}" for line in log.read_text(errors="replace").splitlines()[-4:]]
        return "\n".join(["it said last:" if only else "the processes said last:", *words])


@contextlib.contextmanager
def set_up(endings: Endings) -> Iterator[Stage]:
    """Build the stage, with everything running on it; afterwards nothing of it is left. Raises Problem."""
    folder = Path(tempfile.mkdtemp(prefix="autosync-demo-")).resolve()
    try:
        with _environment_of(folder), Children(os.environ, _made(folder / "logs")) as children:
            yield _set_up(folder, children, endings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _environment_of(folder: Path) -> Iterator[None]:
    """Let nothing of the person's own settings in, and nothing of the demo's out."""
    before = dict(os.environ)
    home = _made(folder / "home")
    runtime = _made(folder / "run")
    runtime.chmod(0o700)
    wanted = clean_environment() | {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    for name in [n for n in wanted if n.startswith(("AUTOSYNC_", "DBUS_")) or n in _OTHER_FOLDERS]:
        del wanted[name]
    try:
        _replace_environment(wanted)
        yield
    finally:
        _replace_environment(before)


_OTHER_FOLDERS = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")


def _replace_environment(wanted: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(wanted)


def _set_up(folder: Path, children: Children, endings: Endings) -> Stage:
    log = children.start("reflector", "autosync.relay.reflector.main", "--listen", "127.0.0.1:0")
    central_folder = folder / "central.git"
    Git(folder).run("init", "--quiet", "--bare", "-b", "main", str(central_folder))
    _first_commit(folder, central_folder)
    secret = folder / "reflector-secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32) + "\n")
    port = _port_of(log, children, endings)
    central = _machine(folder, "server", central_folder, port)
    laptop = _machine(folder, "laptop", folder / "laptop", port)
    desk = _machine(folder, "desk", folder / "desk", port)
    for machine in (laptop, desk):
        endings.check()
        adopt(machine.folder, str(central_folder), lambda _: None)
        _name_the_person(machine)
    for machine in (central, laptop, desk):
        endings.check()
        install(Repository.open(machine.folder), standalone=False, config=machine.instance.config)
        children.start(f"{machine.name}-relay", "autosync.relay.main", *_config_option(machine))
    for machine in (laptop, desk):
        children.start(f"{machine.name}-watcher", "autosync.watcher.main", *_config_option(machine))
    stage = Stage(folder, central, laptop, desk, children, endings)
    for machine in (central, laptop, desk):
        stage.wait(lambda m=machine: _is_up(m), f"the start of the services of {machine.name}", LONG_PAUSE)  # type: ignore[misc]
    return stage


def _first_commit(folder: Path, central: Path) -> None:
    """A repository with one commit, as a person would have it before the second machine comes."""
    first = folder / "first"
    Git(folder).run("clone", "--quiet", str(central), str(first))
    (first / "shopping.txt").write_text("bread\nmilk\n")
    git = Git(first).with_config("user.name=You", "user.email=you@example.org")
    git.run("add", "shopping.txt")
    git.run("commit", "--quiet", "-m", "Begin")
    git.run("push", "--quiet", "origin", "HEAD:main")
    shutil.rmtree(first)


def _machine(folder: Path, name: str, repository: Path, port: int) -> Machine:
    config = folder / f"{name}.toml"
    config.write_text(_CONFIGURATION.format(name=name, port=port, settle=SETTLE, repository=repository.name))
    load(config)
    machine = Machine(name, repository, Instance.of(config))
    _write_command(folder, machine)
    return machine


def _write_command(folder: Path, machine: Machine) -> None:
    """`autosync` as on that machine, for the person to play with."""
    script = folder / f"{machine.name}-autosync"
    settings = [f"{key}={os.environ[key]}" for key in ("HOME", "XDG_RUNTIME_DIR")]
    words = ["exec", "env", *settings, *command("autosync.console.main", *_config_option(machine))]
    script.write_text(f'#!/bin/sh\n{shlex.join(words)} "$@"\n')
    script.chmod(0o700)


def _name_the_person(machine: Machine) -> None:
    # so that a commit by hand works there, whoever the person is
    machine.git.run("config", "user.name", "You")
    machine.git.run("config", "user.email", f"you@{machine.name}.example.org")


def _config_option(machine: Machine) -> tuple[str, str]:
    return "--config", str(machine.instance.config)


def _port_of(log: Path, children: Children, endings: Endings) -> int:
    def announced() -> int | None:
        endings.check()
        found = re.search(r"^listening on .*:(\d+)$", log.read_text(errors="replace"), re.MULTILINE)
        if found is None and children.dead():
            raise Problem("the reflector did not start", log.read_text(errors="replace"))
        return int(found[1]) if found else None

    try:
        return wait_for(announced) or 0
    except TimeoutError:
        raise Problem("the reflector did not start in time", log.read_text(errors="replace")) from None


def _is_up(machine: Machine) -> bool:
    """Whether the services answer, are in sync, and hear the other machines."""
    answers = asyncio.run(services.statuses(machine.instance))
    relay, watcher = answers["relay"].status, answers["watcher"].status
    bare = machine.folder.suffix == ".git"
    if relay is None or (watcher is None and not bare):
        return False
    online = all(transport["state"] == "online" for transport in relay["transports"])
    synced = all(entry["state"] == "in sync" for entry in relay["repositories"])
    watching = bare or (watcher is not None and all(e["state"] == "watching" for e in watcher["repositories"]))
    return online and synced and watching


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
