"""From marked paths to an index: what is on the disk now is what counts.

`Chooser` sorts the paths of a batch by what they are, `stage` gives them to `git update-index`.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autosync.common.git import Git, GitError, GitTimeout

from . import quarantine
from .nested import is_repository
from .patterns import Patterns
from .quarantine import Held

#: Seconds that hashing a batch may take.
LIMIT = 3600.0
# After so many paths that git refuses one by one, the rest of the batch waits for the next try.
_REFUSALS = 8
# glibc gives the room in which git packs each object back to the kernel, and takes it again for the next one, which
# costs more than all else (mallopt(3)); git's own `add` has a fuller heap
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_TOP_PAD_": str(1 << 20)}
_UPDATE = ("update-index", "-z", "--add", "--remove", "--replace", "--ignore-skip-worktree-entries", "--stdin")


@dataclass(slots=True)
class Choice:
    """What a batch comes to. ``present`` are files and symbolic links, ``gone`` what is no longer there,
    ``folders`` vanished folders and files that are folders now (tracked files below them may be gone), ``inner`` files
    in other repositories' folders by the root of each."""

    present: list[bytes] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)
    folders: list[bytes] = field(default_factory=list)
    inner: dict[bytes, list[bytes]] = field(default_factory=dict)
    held: dict[bytes, Held] = field(default_factory=dict)
    suspects: dict[bytes, Held] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide about single paths."""

    ignored: Patterns
    secrets: Patterns
    allowed: Patterns
    size_limit: int


class Chooser:
    """Sorts paths of the work tree at ``root``; made anew for each batch, as it remembers the folders it saw."""

    def __init__(self, root: bytes, rules: Rules) -> None:
        self._root = root
        self._rules = rules
        self._folders: dict[bytes, tuple[bytes | None, bytes | None]] = {}
        self.choice = Choice()
        self._links: set[bytes] = set()

    def add(self, path: bytes) -> None:
        """Sort one path (a vanished folder has a trailing slash)."""
        bare = path.rstrip(b"/")
        link, repository = self._above(bare)
        if link is not None:
            # never below a symbolic link: the link itself is what changed
            if link not in self._links:
                self._links.add(link)
                self.add(link)
            return
        try:
            found = os.lstat(self._root + b"/" + bare)
        except OSError:
            (self.choice.folders if path is not bare and path.endswith(b"/") else self.choice.gone).append(bare)
            return
        if stat.S_ISDIR(found.st_mode):
            self.choice.folders.append(bare)
        elif stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            self._add_file(bare, found, repository)

    def _add_file(self, path: bytes, found: os.stat_result, repository: bytes | None) -> None:
        rules = self._rules
        if repository is not None:
            self.choice.inner.setdefault(repository, []).append(path)
            return
        if stat.S_ISREG(found.st_mode) and not rules.allowed.match(path):
            verdict = quarantine.judge(self._root, path, found.st_size, rules.size_limit, rules.secrets)
            if verdict is None and found.st_size and quarantine.is_secret(self._head(path)):
                verdict = quarantine.secret(self._root, path)
            elif verdict is not None and rules.size_limit and found.st_size > rules.size_limit:
                self.choice.held[path] = verdict
                return
            if verdict is not None:
                self.choice.suspects[path] = verdict
                return
        self.choice.present.append(path)

    def _head(self, path: bytes) -> bytes:
        try:
            descriptor = os.open(self._root + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""  # git will say what is wrong with it
        try:
            return os.read(descriptor, quarantine.HEAD)
        except OSError:
            return b""
        finally:
            os.close(descriptor)

    def _above(self, path: bytes) -> tuple[bytes | None, bytes | None]:
        """The symbolic link and the other repository that the path is in, if any."""
        unknown = []
        end = path.rfind(b"/")
        while end > 0 and path[:end] not in self._folders:
            unknown.append(path[:end])
            end = path.rfind(b"/", 0, end)
        link, repository = self._folders[path[:end]] if end > 0 else (None, None)
        for folder in reversed(unknown):
            if link is None:
                try:
                    mode = os.lstat(self._root + b"/" + folder).st_mode
                except OSError:
                    mode = 0
                if stat.S_ISLNK(mode):
                    link = folder
                elif repository is None and mode and is_repository(self._root + b"/" + folder):
                    repository = folder
            self._folders[folder] = link, repository
        return link, repository


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the index; ``object`` in hexadecimal."""

    mode: int
    object: bytes
    path: bytes


async def tracked_below(git: Git, paths: Iterable[bytes], env: Mapping[str, str]) -> list[Entry]:
    """Index entries that are one of the paths, or below one. Raises GitError."""
    found: list[Entry] = []
    pathspecs = [":(literal)" + os.fsdecode(path) for path in paths]
    for start in range(0, len(pathspecs), 500):  # the command line is bounded
        result = await git.call("ls-files", "-z", "--stage", "--", *pathspecs[start : start + 500], env=env)
        for record in result.stdout.split(b"\0")[:-1]:
            meta, _, path = record.partition(b"\t")
            mode, name, _ = meta.split(b" ")
            found.append(Entry(int(mode, 8), name, path))
    return found


@dataclass(frozen=True, slots=True)
class Vanished:
    """``gone`` files below vanished folders, ``replaced`` files that are folders now."""

    gone: list[bytes]
    replaced: list[bytes]


def vanished(root: bytes, folders: Iterable[bytes], tracked: Collection[bytes]) -> Vanished:
    """What of the ``tracked`` files that are one of the folders, or below one, is not there any more."""
    gone: list[bytes] = []
    replaced: list[bytes] = []
    inside = tuple(folder + b"/" for folder in folders)
    for path in tracked:
        if path.startswith(inside) and not os.path.lexists(root + b"/" + path):
            gone.append(path)
    for folder in folders:
        if folder in tracked:
            (replaced if Path(os.fsdecode(root + b"/" + folder)).is_dir() else gone).append(folder)
    return Vanished(gone, replaced)


def is_empty(root: Path) -> bool:
    """Whether a work tree holds nothing but its `.git`."""
    return all(entry.name == ".git" for entry in root.iterdir())


async def stage(git: Git, paths: Iterable[bytes], env: Mapping[str, str], fds: tuple[int, ...]) -> dict[bytes, str]:
    """Bring the paths into the index that ``env`` names, as they are on the disk.

    Returns what git refused, with its words: one bad path (unreadable, a filter that fails) costs itself only.
    Raises GitError when it is not about single paths.
    """
    refused: dict[bytes, str] = {}
    waiting = [sorted(paths)]
    while waiting:
        part = waiting.pop()
        if not part:
            continue
        try:
            data = b"\0".join(part) + b"\0"
            await git.call(*_UPDATE, input=data, env={**env, **_MALLOC}, limit=LIMIT, pass_fds=fds)
        except GitTimeout:
            raise
        except GitError as error:
            if ".lock" in error.message:
                raise
            if len(part) == 1:
                refused[part[0]] = error.message
                continue
            if len(refused) >= _REFUSALS:
                refused.update(dict.fromkeys(part, "waits, as git refused others"))
                continue
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]
    return refused


async def remove(git: Git, paths: Iterable[bytes], env: Mapping[str, str], fds: tuple[int, ...]) -> None:
    """Take the paths out of the index, whatever the disk holds. Raises GitError."""
    data = b"".join(path + b"\0" for path in paths)
    if data:
        await git.call(
            "update-index", "-z", "--force-remove", "--stdin", input=data, env=env, limit=LIMIT, pass_fds=fds
        )


async def forget_times(git: Git, paths: Iterable[bytes], env: Mapping[str, str], fds: tuple[int, ...]) -> None:
    """Let the index forget size and times of the paths, so that git reads them. Raises GitError.

    Not of those that the person has told git to leave as they are (`--assume-unchanged`, `--skip-worktree`): they would
    lose that mark.
    """
    wanted = set(paths)
    listed = await git.call("ls-files", "-z", "-v", "--stage", env=env)
    entries = (record[2:] for record in listed.stdout.split(b"\0") if record.startswith(b"H "))
    if data := b"".join(entry + b"\0" for entry in entries if entry[entry.index(b"\t") + 1 :] in wanted):
        await git.call("update-index", "-z", "--index-info", input=data, env=env, pass_fds=fds)


def private_index(index: Path, private: Path) -> tuple[int, int, int] | None:
    """Make a private index with what ``index`` holds; returns the mark of that, None when there is none.

    A hard link where there are such: git never writes into an index, it puts a new one in its place. A copy keeps the
    time, because git compares entries with it to know which files it must look into. Raises OSError.
    """
    private.unlink(missing_ok=True)
    try:
        os.link(index, private)
    except FileNotFoundError:
        return None
    except OSError:
        with index.open("rb") as source, private.open("xb") as target:
            found = os.fstat(source.fileno())
            shutil.copyfileobj(source, target, 1 << 20)
        os.utime(private, ns=(found.st_atime_ns, found.st_mtime_ns))
        return found.st_ino, found.st_mtime_ns, found.st_size
    return file_mark(private)


def file_mark(path: Path) -> tuple[int, int, int] | None:
    """Inode, time and size: differs whenever git has replaced the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
