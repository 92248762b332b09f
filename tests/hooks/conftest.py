"""Repositories, shells and gits that the hooks are tried with."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync.common.repository import Repository
from tests.hooks.listener import Reflector
from tests.support.git import git

#: The folder with a git that has configured hooks (2.54 or newer), for machines whose own git is older: `tests/run`
#: lets `tests/newest-git` fetch one.
NEW_GIT = os.environ.get("AUTOSYNC_TEST_NEW_GIT", "")
SHELLS = [words for words in (["dash"], ["busybox", "sh"], ["bash"]) if shutil.which(words[0])]


@dataclass(frozen=True)
class Pair:
    """A clone with its central repository."""

    clone: Path
    central: Path

    @property
    def notes(self) -> Path:
        return self.clone / ".git/autosync/notes"

    def commit(self, message: str = "m", **kwargs: object) -> None:
        git(self.clone, "commit", "--quiet", "--allow-empty", "-m", message)

    def push(self, *args: str) -> str:
        return git(self.clone, "push", "--quiet", *args)

    def repository(self) -> Repository:
        return Repository.open(self.clone)

    def central_repository(self) -> Repository:
        return Repository.open(self.central)


def make_pair(folder: Path) -> Pair:
    """A central repository and a clone that has pushed one commit."""
    folder.mkdir(parents=True, exist_ok=True)
    central, clone = folder / "central.git", folder / "clone"
    git(folder, "init", "--quiet", "--bare", "central.git")
    git(folder, "init", "--quiet", "clone")
    git(clone, "remote", "add", "origin", os.fspath(central))
    git(clone, "commit", "--quiet", "--allow-empty", "-m", "first")
    git(clone, "push", "--quiet", "-u", "origin", "main")
    return Pair(clone, central)


@pytest.fixture
def new_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """A git with configured hooks, as the one that everything runs."""
    if not NEW_GIT:
        missing = "AUTOSYNC_TEST_NEW_GIT names no folder with a newer git"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    monkeypatch.setenv("PATH", f"{NEW_GIT}:{os.environ['PATH']}")


@pytest.fixture(params=["git", "new git"])
def any_git(request: pytest.FixtureRequest) -> str:
    """Each git that there is, as the one that everything runs."""
    if request.param == "new git":
        request.getfixturevalue("new_git")
    return request.param


@pytest.fixture
def old_git(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git without configured hooks: for what is done only there."""
    from autosync.hooks import layout

    monkeypatch.setattr(layout, "_CONFIGURED_SINCE", (99, 0))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Path]:
    """A folder, with a home in it, that other users may look into (pytest's own folders are for their owner)."""
    with tempfile.TemporaryDirectory(prefix="hooks-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(home / ".gitconfig", folder)
        (folder / ".gitconfig").chmod(0o644)
        monkeypatch.setenv("HOME", name)
        yield folder


@pytest.fixture
def reflector() -> Iterator[Reflector]:
    """What is announced over a reflector."""
    with Reflector() as server:
        yield server


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Each shell that /bin/sh may be."""
    words: list[str] = [str(shutil.which(request.param[0])), *request.param[1:]]
    return words


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """Writes an executable script."""

    def write(path: Path, text: str, mode: int = 0o755) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def snapshot(folder: Path, without: tuple[str, ...] = ("objects", "logs", "refs", "index", "COMMIT_EDITMSG")) -> dict:
    """Everything below ``folder`` with kind, mode and content, but for what git itself writes meanwhile."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = os.fspath(path.relative_to(folder))
        if name.split("/")[0] in without:
            continue
        mode = path.lstat().st_mode
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[name] = (mode, content)
    return found


@pytest.fixture
def log(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LOG", os.fspath(tmp_path / "log"))
    return tmp_path / "log"
