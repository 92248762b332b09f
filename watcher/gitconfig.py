"""git's configuration of one repository, asked of git once and again when a file of it changes.

libgit2 knows neither `GIT_CONFIG_GLOBAL` nor every kind of `includeIf`, and git needs milliseconds for every question;
what each commit has to know is remembered here together with the state of every file it came from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from autosync.common.git import Git
from autosync.common.repository import Repository

_TRUE = frozenset({"true", "yes", "on", "1", ""})
_State = tuple[int, int, int] | None


class GitConfig:
    """The settings that were in force at the last `refresh`."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._git: Git = repository.git
        self._values: dict[str, list[str]] = {}
        self._files: dict[Path, _State] = {}
        self._branch: str | None = None

    async def refresh(self, branch: str | None) -> None:
        """Read the settings again if any of their files changed, or HEAD is on another branch (`includeIf` may
        depend on it). Raises GitError."""
        if self._files and branch == self._branch and all(_state(p) == s for p, s in self._files.items()):
            return
        # the states are taken first: a change while git reads is seen the next time
        before = {path: _state(path) for path in [*self._files, *self._usual_files()]}
        listed = await self._git.call("config", "--list", "--show-origin", "--includes", "-z")
        self._branch = branch
        files = self._take(listed.stdout)
        self._files = before | {path: before.get(path, _state(path)) for path in files}

    def _take(self, listed: bytes) -> set[Path]:
        """Take the values from what git listed; returns the files that they came from."""
        fields = os.fsdecode(listed).split("\0")[:-1]
        values: dict[str, list[str]] = {}
        files: set[Path] = set()
        for origin, setting in zip(fields[::2], fields[1::2], strict=True):
            kind, _, place = origin.partition(":")
            key, newline, value = setting.partition("\n")
            # a key without `=` is true (git-config(1))
            values.setdefault(key, []).append(value if newline else "true")
            if kind == "file":
                file = Path(os.path.normpath(self._git.cwd / place))
                files.add(file)
                if key.startswith("include") and key.endswith(".path"):
                    files.add(Path(os.path.normpath(file.parent / Path(value).expanduser())))
        self._values = values
        return files

    def get(self, key: str) -> str | None:
        """The last value of a key, whose section and name are in lower case."""
        return self._values.get(key, [None])[-1]

    def all(self, key: str) -> list[str]:
        """Every value of a key, in their order."""
        return self._values.get(key, [])

    def true(self, key: str) -> bool:
        """Whether the key is set to true."""
        value = self.get(key)
        return value is not None and value.lower() in _TRUE

    @property
    def keys(self) -> Iterable[str]:
        """Every key that is set."""
        return self._values

    def _usual_files(self) -> list[Path]:
        """Files that git reads when they are there."""
        home = Path(os.environ.get("HOME", "/nonexistent"))
        xdg = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return [
            Path(os.environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig")),
            Path(os.environ.get("GIT_CONFIG_GLOBAL", home / ".gitconfig")),
            xdg / "git" / "config",
            self._repository.common_dir / "config",
            self._repository.git_dir / "config.worktree",
        ]


def _state(path: Path) -> _State:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
