"""The questions of reader.py answered by libgit2, in-process. It only ever reads: hooks, filters and
signing are git's business and libgit2 runs none of them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pygit2

from .git import Git
from .rawdiff import Row, compare
from .reader import HERE, GitReader, Head, Unreadable, Upstream, tracking_ref

# git knows it without its being in the object database
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

# Files of settings that git reads, and libgit2 does not
_ELSEWHERE = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")


def cannot_open() -> tuple[type[Exception], ...]:
    """What libgit2 raises for a repository that it does not understand."""
    return (pygit2.GitError, ValueError, KeyError, Unreadable)


class _Translated(contextlib.AbstractContextManager[None]):
    """A class and not a generator: it is entered for every question, and that is cheaper."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, (pygit2.GitError, OSError)):
            raise Unreadable(str(error)) from error


_translated = _Translated()


class LibgitReader:
    """libgit2's answers; what it cannot tell is asked of git."""

    def __init__(self, git_dir: Path, git: Git) -> None:
        self._repo: Any = pygit2.Repository(os.fspath(git_dir))
        self._config: Any = None
        self._git = GitReader(git)

    def _reference(self, name: str) -> Any:
        """Raises KeyError, ValueError, pygit2.GitError."""
        # pygit2 1.21 never lets go of the text that it is given here: let it be one text for each name
        return self._repo.lookup_reference(sys.intern(name))

    def head(self) -> Head:
        with _translated:
            reference = self._reference("HEAD")
            if isinstance(reference.target, str):
                return Head(reference.target, self.resolve(reference.target))
            return Head(None, str(reference.target))

    def resolve(self, ref: str) -> str | None:
        with _translated:
            try:
                reference = self._reference(ref).resolve()
            except (KeyError, ValueError):
                return None
            found = self._repo.get(reference.target)
            if found is None:
                raise Unreadable(f"{ref} names the missing object {reference.target}")
            try:
                return str(found.peel(pygit2.Commit).id)
            except pygit2.InvalidSpecError:
                return None

    def refs(self, prefix: str) -> dict[str, str]:
        with _translated:
            found = {}
            for reference in self._repo.references.iterator():
                if reference.name.startswith(prefix) and not isinstance(reference.target, str):
                    found[reference.name] = str(reference.target)
            return found

    def has_commit(self, commit: str) -> bool:
        with _translated:
            try:
                found = self._repo.get(commit)
            except ValueError:
                return False
            return isinstance(found, pygit2.Commit)

    def ahead_behind(self, ours: str, theirs: str) -> tuple[int, int]:
        with _translated:
            try:
                ahead, behind = self._repo.ahead_behind(ours, theirs)
            except (KeyError, ValueError) as error:
                raise Unreadable(f"missing commit {error}") from error
            return int(ahead), int(behind)

    def is_ancestor(self, older: str, newer: str) -> bool:
        with _translated:
            try:
                return older == newer or bool(self._repo.descendant_of(newer, older))
            except (KeyError, ValueError) as error:
                raise Unreadable(f"missing commit {error}") from error

    def related(self, one: str, other: str) -> bool:
        with _translated:
            try:
                return self._repo.merge_base(one, other) is not None
            except (KeyError, ValueError) as error:
                raise Unreadable(f"missing commit {error}") from error

    def config(self, key: str) -> str | None:
        # libgit2 knows neither GIT_CONFIG_GLOBAL nor every kind of includeIf
        return self._git.config(key)

    def upstream(self, branch: str) -> Upstream | None:
        name = branch.removeprefix("refs/heads/")
        remote, merge = self._own_config(f"branch.{name}.remote"), self._own_config(f"branch.{name}.merge")
        if not remote or not merge or remote == HERE:
            return None
        return Upstream(remote, merge, tracking_ref(self.fetch_refspecs(remote), merge))

    def config_all(self, key: str) -> list[str]:
        with _translated:
            try:
                return list(self._configuration().get_multivar(key))
            except (KeyError, ValueError):
                return []

    def _configuration(self) -> Any:
        # libgit2 makes a new object each time it is asked
        if self._config is None:
            self._config = self._repo.config
        return self._config

    def _own_config(self, key: str) -> str | None:
        """A value that git itself writes into the repository's own configuration; asked at every look."""
        with _translated:
            try:
                return str(self._configuration()[key])
            except (KeyError, ValueError):
                return None

    def remote_url(self, remote: str) -> str:
        return self._own_config(f"remote.{remote}.url") or remote

    def fetch_refspecs(self, remote: str) -> list[str]:
        return self.config_all(f"remote.{remote}.fetch")

    def ignored(self, paths: Sequence[str]) -> set[str]:
        if self._may_miss_settings():
            return self._git.ignored(paths)  # `core.excludesFile` may be set where libgit2 does not look
        found = set()
        folders: dict[str, bool] = {}
        with _translated:
            others = []
            for path in paths:
                try:
                    if self._in_ignored(path, folders) or self._repo.path_is_ignored(path):
                        found.add(path)
                except UnicodeEncodeError:  # a name that is not UTF-8
                    others.append(path)
        return found | self._git.ignored(others)

    def _in_ignored(self, path: str, found: dict[str, bool]) -> bool:
        """Whether a folder above the path is ignored: nothing takes back what is below it (gitignore(5)), which
        libgit2 does not heed. ``found`` are answers of before."""
        end = path.find("/")
        while 0 <= end < len(path) - 1:
            folder = path[: end + 1]
            if folder not in found:
                found[folder] = self._repo.path_is_ignored(folder)
            if found[folder]:
                return True
            end = path.find("/", end + 1)
        return False

    def _may_miss_settings(self) -> bool:
        with _translated:
            return any(name in os.environ for name in _ELSEWHERE) or any(
                entry.name.startswith("includeif.hasconfig:") for entry in self._configuration()
            )

    def compare(self, before: str, after: str) -> list[Row]:
        try:
            trees = [self._tree_of(name) for name in (before, after)]
            # libgit2's own comparison goes through every folder, changed or not
            return compare(self._tree, *trees)
        except (KeyError, ValueError, OSError, pygit2.GitError):
            # git fetches what a partial clone does not have yet, and says what is wrong with anything else
            return self._git.compare(before, after)

    def _tree_of(self, name: str) -> str:
        return name if name == _EMPTY_TREE else str(self._repo[name].peel(pygit2.Tree).id)

    def _tree(self, oid: str) -> bytes:
        data: bytes = b"" if oid == _EMPTY_TREE else self._repo.read(oid)[1]
        return data

    def last_reflog(self, ref: str, count: int) -> list[tuple[str, str, str]]:
        with _translated:
            try:
                log = self._reference(ref).log()
                entries = [entry for entry, _ in zip(log, range(count), strict=False)]
            except (KeyError, ValueError):
                return []
            return [(str(e.oid_old), str(e.oid_new), e.message or "") for e in entries]
