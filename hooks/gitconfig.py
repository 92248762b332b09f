"""The repository's own configuration file, changed by git and restored byte for byte.

What a change did to the file's bytes is kept, so that undoing it gives the same file again, whatever else was
changed meanwhile. Where those bytes are gone, git undoes the meaning.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.repository import Repository


@dataclass(frozen=True, slots=True)
class Edit:
    """One key that was set to ``value``. ``before`` is the value that it had in this file, ``removed`` and
    ``inserted`` are the bytes that changed place, as surrogate-escaped text."""

    key: str
    value: str
    before: str | None
    removed: str
    inserted: str

    def as_json(self) -> dict[str, str | None]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, str | None]) -> Edit:
        """Raises TypeError for other keys than ours."""
        return cls(**data)  # type: ignore[arg-type]


class LocalConfig:
    """The file that `git config --local` means."""

    def __init__(self, repository: Repository) -> None:
        self._git = repository.git
        self._path = Path(os.path.realpath(repository.common_dir / "config"))

    def get(self, key: str) -> str | None:
        """The last value of ``key`` in this file, as it is written there."""
        found = self._git.run("config", "--local", "-z", "--get-all", key, check=False).stdout
        return os.fsdecode(found.split(b"\0")[-2]) if found else None

    def set(self, key: str, value: str) -> Edit:
        """Set the only or last value of ``key``. Raises Problem when the file cannot be written."""
        before, old = self.get(key), self._read()
        args = ("--add", key, value) if before is None else ("--replace-all", "--fixed-value", key, value, before)
        try:
            self._git.run("config", "--local", *args)
        except GitError as error:
            raise self._not_written(error.message) from error
        return Edit(key, value, before, *_difference(old, self._read()))

    def undo(self, edit: Edit) -> bool:
        """Take one change back; False when there is nothing left of it."""
        data, inserted = self._read(), os.fsencode(edit.inserted)
        if inserted and data.count(inserted) == 1:
            self._write(data.replace(inserted, os.fsencode(edit.removed)))
            return True
        if self.get(edit.key) != edit.value:
            return False
        if edit.before is not None:
            self.set(edit.key, edit.before)
        else:
            self.unset(edit.key, edit.value)
        return True

    def unset(self, key: str, value: str) -> None:
        """Remove ``value`` from ``key``, and its section when nothing else is in it."""
        try:
            self._git.run("config", "--local", "--fixed-value", "--unset-all", key, value)
        except GitError as error:
            raise self._not_written(error.message) from error

    def _read(self) -> bytes:
        return self._path.read_bytes()

    def _write(self, data: bytes) -> None:
        lock = self._path.with_name("config.lock")  # git's own lock on this file
        try:
            descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._not_written(error.strerror or str(error)) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), self._path.stat().st_mode & 0o7777)
                file.write(data)
            lock.replace(self._path)
        except OSError as error:
            lock.unlink(missing_ok=True)
            raise self._not_written(error.strerror or str(error)) from error

    def _not_written(self, reason: str) -> Problem:
        return Problem(f"cannot change {self._path} ({reason})", "let it be writable, and try again")


def _difference(old: bytes, new: bytes) -> tuple[str, str]:
    """What was between the common start and the common end of two contents."""
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    return os.fsdecode(old[start : len(old) - end]), os.fsdecode(new[start : len(new) - end])


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two contents have in common at their start."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
