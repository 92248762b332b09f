"""Where git looks for a repository's hooks, and so which way autosync's get in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from autosync.common.repository import Repository

from . import names, script

#: git runs hooks from its configuration from this version on.
_CONFIGURED_SINCE = (2, 54)


class Way(Enum):
    """How the hooks are put in.

    CONFIGURED: in git's configuration (git 2.54 and newer); hooks folders are not touched.
    FOLDER: in the repository's own hooks folder; a hook that is in the way is moved aside and run.
    DISPATCHER: in `post-receive.d`, where the repository's post-receive runs what is in there.
    REDIRECT: in a folder of our own, to which core.hooksPath leads; from there all hooks in the folder that
    was in force before are run. For folders that belong to others: tracked, shared or read-only ones.
    """

    CONFIGURED = "configuration"
    FOLDER = "hooks folder"
    DISPATCHER = "post-receive.d"
    REDIRECT = "own hooks folder"


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one repository's hooks."""

    repository: Repository

    @property
    def folder(self) -> Path:
        """The repository's own hooks folder."""
        return self.repository.common_dir / "hooks"

    @property
    def guests(self) -> Path:
        """Where hooks are kept that were in the way. Beside the hooks folder, at the same depth and with the
        same neighbours, as hooks find their files by `$0`."""
        return self.repository.common_dir / "hooks-before-autosync"

    @property
    def dispatched(self) -> Path:
        return self.folder / "post-receive.d" / "autosync"

    @property
    def own_folder(self) -> Path:
        """Where core.hooksPath leads for `Way.REDIRECT`."""
        return self.repository.own_dir / "hooks"

    @property
    def shared_part(self) -> Path:
        """What configured hooks read."""
        return self.repository.own_dir / "hook"

    @property
    def state(self) -> Path:
        """What is needed to undo it all."""
        return self.repository.own_dir / "hooks.json"

    @property
    def fallback(self) -> Path:
        """A script that undoes it all without the program."""
        return self.repository.own_dir / "uninstall-hooks"


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of core.hooksPath, as text that may be relative to a work tree, and its scope."""

    value: str
    scope: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the choice of the way depends on. ``hooks_path`` is None where git looks in the repository's own
    folder; our own value does not count."""

    configurable: bool
    hooks_path: Setting | None
    dispatcher: bool
    folder_usable: bool


def choose(found: Surroundings) -> Way:
    """The way for these surroundings."""
    if found.configurable:
        return Way.CONFIGURED
    if found.hooks_path is not None:
        return Way.REDIRECT
    if found.dispatcher:
        return Way.DISPATCHER
    return Way.FOLDER if found.folder_usable else Way.REDIRECT


def survey(repository: Repository, replaced: str | None) -> Surroundings:
    """Look at a repository. ``replaced`` is the repository's own core.hooksPath that ours has replaced."""
    places = Places(repository)
    setting = _hooks_path(repository, places, replaced)
    if setting is not None and _same(resolve(repository, setting.value), places.folder):
        setting = None
    return Surroundings(
        configurable=version(repository) >= _CONFIGURED_SINCE,
        hooks_path=setting,
        dispatcher=repository.bare and _dispatches(places.folder),
        folder_usable=_usable(places.folder),
    )


def version(repository: Repository) -> tuple[int, int]:
    """git's version, as far as anything here depends on it."""
    found = re.search(r"(\d+)\.(\d+)", repository.git.run("version").text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def values(repository: Repository) -> list[Setting]:
    """All values of core.hooksPath; the last one is in force."""
    fields = repository.git.run(
        "config", "-z", "--show-scope", "--type=path", "--get-all", "core.hooksPath", check=False
    ).stdout.split(b"\0")[:-1]
    return [Setting(os.fsdecode(fields[n + 1]), fields[n].decode()) for n in range(0, len(fields), 2)]


def is_ours(places: Places, value: str) -> bool:
    """Whether a value of core.hooksPath is ours, perhaps from before the repository was moved."""
    if Path(value) == places.own_folder:
        return True
    moved = Path(value).parts[-2:] == places.own_folder.parts[-2:] and not os.path.lexists(value)
    return moved and places.own_folder.is_dir()


def resolve(repository: Repository, hooks_path: str) -> Path:
    """Where a value of core.hooksPath leads from this work tree."""
    return (repository.work_tree or repository.git_dir) / hooks_path


def read_head(path: Path) -> bytes:
    """A hook's content; empty where there is no plain file. Enough of a large one."""
    try:
        with path.open("rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def kind(path: Path) -> script.Kind | None:
    """Whose file is there; None where there is none."""
    if not os.path.lexists(path):
        return None
    return script.Kind.FOREIGN if path.is_symlink() else script.kind(read_head(path))


def leads_to_ours(path: Path) -> bool:
    """Whether somebody has linked a hook of ours there, as gitolite does with a common one."""
    return path.is_symlink() and script.kind(read_head(path)) is script.Kind.OURS


def _hooks_path(repository: Repository, places: Places, replaced: str | None) -> Setting | None:
    others = [setting for setting in values(repository) if not is_ours(places, setting.value)]
    if replaced is not None and len(others) < len(values(repository)):
        return Setting(replaced, "local")
    return others[-1] if others else None


def _dispatches(folder: Path) -> bool:
    """Whether post-receive runs what is in post-receive.d, as those of Gitea, Forgejo and others do."""
    dispatcher = read_head(folder / names.SERVER[0])
    return (
        (folder / "post-receive.d").is_dir() and b".d/" in dispatcher and script.kind(dispatcher) == script.Kind.FOREIGN
    )


def _usable(folder: Path) -> bool:
    if not os.path.lexists(folder):
        return os.access(folder.parent, os.W_OK | os.X_OK)
    # behind a symbolic link the folder may be one that other repositories share
    return folder.is_dir() and not folder.is_symlink() and os.access(folder, os.W_OK | os.X_OK)


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
