"""Changes to a repository's files: said, and made unless it is only to be said."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from autosync.common import atomic
from autosync.common.errors import Problem
from autosync.common.repository import Repository

from .gitconfig import Edit, LocalConfig
from .layout import Places


@dataclass(frozen=True, slots=True)
class Report:
    """What was done (or would be), one sentence a change, and what could not be."""

    changes: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class State:
    """What undoing needs and the files do not tell: the changes to the configuration, oldest first, and the
    folders that were made."""

    edits: list[Edit] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State:
        """The state in ``path``; an empty one where there is none or a damaged one."""
        try:
            data = json.loads(path.read_bytes())
            return cls([Edit.from_json(edit) for edit in data["edits"]], [str(folder) for folder in data["made"]])
        except (OSError, ValueError, TypeError, KeyError):
            return cls()

    def save(self, path: Path, mode: int) -> None:
        data = {"edits": [edit.as_json() for edit in self.edits], "made": self.made}
        atomic.write(path, json.dumps(data, indent=1).encode(), mode)

    def replaced(self, key: str) -> str | None:
        """The value of ``key`` that ours took the place of, in the repository's own file."""
        return next((edit.before for edit in reversed(self.edits) if edit.key == key), None)


class Work:
    """One installation or removal under way."""

    def __init__(self, repository: Repository, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._config = LocalConfig(repository)
        self._places = Places(repository)
        self._changes: list[str] = []
        self._problems: list[Problem] = []
        self._folders: set[Path] = set()
        # what the repository grants its group, its hooks grant too, as git does for core.sharedRepository
        self._group = stat.S_IMODE(repository.common_dir.stat().st_mode) & 0o2070
        self.state = State.load(self._places.state)

    def report(self) -> Report:
        return Report(tuple(self._changes), tuple(self._problems))

    def problem(self, what: str, remedy: str) -> None:
        self._problems.append(Problem(what, remedy))

    def folder(self, path: Path) -> None:
        """Make a folder, and remember that it was not there."""
        if path.is_dir() or path in self._folders:
            return
        self._folders.add(path)
        if self._does(f"make the folder {path}"):
            path.mkdir()
            path.chmod(0o755 | self._group)
            self.made(path)

    def made(self, path: Path) -> None:
        """Remember that a folder was not there before."""
        self.state.made.append(os.fspath(path.relative_to(self._places.repository.common_dir)))
        self._save()

    def write(self, path: Path, data: bytes) -> None:
        """Write an executable file."""
        mode = 0o755 | (self._group & 0o070)
        with contextlib.suppress(OSError):
            if not path.is_symlink() and path.read_bytes() == data and os.access(path, os.X_OK):
                return
        self.folder(path.parent)
        if self._does(f"write {path}"):
            atomic.write(path, data, mode)

    def write_data(self, path: Path, data: bytes) -> None:
        """Write a file that whom the repository is shared with may replace."""
        atomic.write(path, data, 0o600 | (self._group & 0o060))

    def link(self, path: Path, text: str) -> None:
        """Make a symbolic link; one with another text is replaced."""
        if path.is_symlink() and os.readlink(path) == text:  # noqa: PTH115 - the text, which need not be a path's
            return
        self.remove(path)
        self.folder(path.parent)
        if self._does(f"link {path} to {text}"):
            path.symlink_to(text)

    def put_aside(self, hook: Path, aside: Path) -> None:
        """Keep a hook under another name as well, for `write` to take its place. Raises Problem rather than
        replace another one."""
        if os.path.lexists(aside):
            if not hook.is_symlink() and not aside.is_symlink() and hook.read_bytes() == aside.read_bytes():
                return
            raise Problem(
                f"{hook} was put in since autosync's was, and the one from before is still kept as {aside}",
                "remove the one that is not needed, or make one of the two; then install again",
            )
        self.folder(aside.parent)
        if self._does(f"keep {hook} as {aside}, to be run from there"):
            os.link(hook, aside, follow_symlinks=False)

    def put_back(self, aside: Path, hook: Path) -> None:
        """Give a hook its place again."""
        if self._does(f"move {aside} back to {hook}"):
            aside.replace(hook)

    def remove(self, path: Path) -> None:
        """Remove a file or a link, if it is there."""
        if os.path.lexists(path) and self._does(f"remove {path}"):
            path.unlink()

    def remove_made_folder(self, path: Path) -> None:
        """Remove a folder that was made for an installation, when it is empty."""
        name = os.fspath(path.relative_to(self._places.repository.common_dir))
        if name not in self.state.made or not path.is_dir() or any(path.iterdir()):
            return
        if self._does(f"remove the folder {path}"):
            path.rmdir()
            self.state.made.remove(name)

    def set(self, key: str, value: str) -> None:
        """Set a key in the repository's configuration."""
        if self._config.get(key) == value:
            return
        shown = value if "\n" not in value else "the command that leaves a note"
        if self._does(f"set {key} to {shown}"):
            self.state.edits.append(self._config.set(key, value))
            self._save()

    def undo_settings(self, keep: Collection[str]) -> None:
        """Take back the changes to the configuration, but for the keys in ``keep``."""
        for edit in reversed([edit for edit in self.state.edits if edit.key not in keep]):
            if self._does(f"take {edit.key} back"):
                self._config.undo(edit)
                self.state.edits.remove(edit)
                self._save()

    def unset(self, key: str) -> None:
        """Remove a key of ours, if it is there."""
        value = self._config.get(key)
        if value is not None and self._does(f"remove {key}"):
            self._config.unset(key, value)

    def local(self, key: str) -> str | None:
        """A value in the repository's own configuration file."""
        return self._config.get(key)

    def _save(self) -> None:
        self.state.save(self._places.state, 0o644 | (self._group & 0o060))

    def _does(self, change: str) -> bool:
        self._changes.append(change)
        return not self._dry_run
