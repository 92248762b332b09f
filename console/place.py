"""Where a path is in a repository: what stands between it and the work tree's own files."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from autosync.common import config
from autosync.common.config import Repo, Settings
from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.repository import Repository
from autosync.common.shared import SharedSettings
from autosync.common.shell import typed
from autosync.watcher.nested import is_repository

from .answering import opened


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not synchronised, and what to do about it."""

    what: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A path that belongs to a work tree: ``name`` is relative to it, ``mode`` None when nothing is there."""

    repo: Repo
    repository: Repository
    settings: Settings
    name: str
    mode: int | None
    size: int = 0
    changed: float = 0.0

    @property
    def path(self) -> Path:
        return self.repo.path / self.name

    @property
    def pathspec(self) -> str:
        """The path for git's command line (gitglossary(7), "pathspec")."""
        return ":(top)" if self.name == "." else f":(literal,top){self.name}"

    @property
    def folder(self) -> bool:
        return self.mode is not None and stat.S_ISDIR(self.mode)


def found(repo: Repo, path: Path) -> Place | Reason:
    """The place of ``path`` (absolute), or why it has none."""
    try:
        repository = opened(repo.path)
        shared = SharedSettings().read(repository)
    except Problem as problem:
        return Reason(problem.what, problem.remedy)
    except (GitError, OSError) as error:
        return Reason(f"{repo.path} cannot be read ({error})", f"see what git says: git -C {typed(repo.path)} status")
    if repository.bare:
        return Reason(f"{repo.path} is a bare repository: it has no files, only their history")
    name = _name(repo.path, path)
    parts = Path(name).parts
    if ".git" in parts:
        return Reason("it belongs to git itself, and each clone has its own")
    for number in range(1, len(parts) + 1):
        inner = repo.path.joinpath(*parts[:number])
        if inner.is_symlink() and number < len(parts):
            return Reason(
                f"it is behind the symbolic link {inner}: the link is kept, but not what it leads to",
                f"put the files themselves there, or: autosync init {typed(inner.resolve())}",
            )
        if not inner.is_symlink() and is_repository(os.fsencode(inner)):
            return _nested(repository, inner, "/".join(parts[:number]))
    try:
        status = path.lstat()
    except OSError:
        return Place(repo, repository, config.effective(repo, shared), name, None)
    kind = stat.S_IFMT(status.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR):
        return Reason("it is a pipe, socket or device: git keeps files, folders and symbolic links only")
    settings = config.effective(repo, shared)
    return Place(repo, repository, settings, name, status.st_mode, status.st_size, status.st_mtime)


def _name(root: Path, path: Path) -> str:
    for top in (root, root.resolve()):
        if path.is_relative_to(top):
            return os.fspath(path.relative_to(top))
    return os.fspath(path.resolve().relative_to(root.resolve()))


def _nested(repository: Repository, inner: Path, name: str) -> Reason:
    quoted = typed(inner)
    try:
        listed = repository.git.run("ls-files", "--stage", "-z", "--", f":(literal,top){name}", check=False).stdout
    except (GitError, OSError):
        listed = b""
    if listed.startswith(b"160000 "):
        return Reason(
            f"it is in the submodule {inner}, whose commits are its own; what it points to is changed by hand only",
            f"to synchronise the submodule itself: autosync init {quoted}",
        )
    return Reason(
        f"it is in {inner}, a repository of its own, which is left out",
        f"to synchronise that one: autosync init {quoted}; to have its files in this one: move {quoted}/.git away",
    )
