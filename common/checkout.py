"""Moving a work tree to a commit so that a kill at any moment leaves nothing half-done.

git replaces files one by one and writes the index and HEAD last. A git killed between leaves
`index.lock` and a work tree that is partly the old commit's and partly the new one's; a file missing there is
not a deletion and must never be committed as one. So a journal says what was under way, and `recover` puts
the work tree back to where the move began. What it takes away is in the object database: it is the
new commit's own content, whole or the beginning of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import atomic, indexlock
from .git import NETWORK_LIMIT, Git, GitError, split
from .repository import Repository

_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_JOURNAL = "checkout"


@dataclass(frozen=True, slots=True)
class Journal:
    """A move under way: from ``before`` (None: an unborn branch) to ``after``."""

    before: str | None
    after: str


class Busy(Exception):
    """Recovery has to wait: git is at work in the repository."""


def journal_path(repository: Repository) -> Path:
    """The file that exists while a move is under way."""
    return repository.tree_dir / _JOURNAL


def journal(repository: Repository) -> Journal | None:
    """The journal of a move that is under way or was killed. A damaged one counts as none: it was never
    complete, so the move had not begun."""
    try:
        fields = json.loads(journal_path(repository).read_bytes())
        before, after = fields["before"], fields["after"]
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        return None
    if not isinstance(after, str) or not _OID.fullmatch(after):
        return None
    if before is not None and (not isinstance(before, str) or not _OID.fullmatch(before)):
        return None
    return Journal(before, after)


def begin(repository: Repository, before: str | None, after: str) -> None:
    """Write the journal. To be called with the repository's lock held. Raises OSError."""
    data = json.dumps({"before": before, "after": after}).encode()
    atomic.write(journal_path(repository), data)


def end(repository: Repository) -> None:
    """Remove the journal: git ended by itself, with the move done or refused."""
    with contextlib.suppress(FileNotFoundError):
        journal_path(repository).unlink()


def recover(repository: Repository, lock: int) -> None:
    """Finish with a move that was killed; ``lock`` is the held repository lock's descriptor.

    Afterwards the work tree is the old commit's again (or the new one's, when the kill came after the
    move), with every change of the person's own still there. Raises Busy, GitError, OSError.
    """
    found = journal(repository)
    if found is None or repository.work_tree is None:
        end(repository)
        return
    _drop_dead_lock(repository)
    reader = repository.reader()
    # git may have pruned the commit meanwhile, as no ref names it yet: then whatever lies there is the person's
    if reader.head().commit == found.before and reader.has_commit(found.after):
        _Recovery(repository, found, lock).run()
    # any other HEAD: the move was complete, or a person has gone on since
    end(repository)


async def recovered(repository: Repository, lock: int) -> None:
    """The same for asyncio. A cancellation waits for its end: the lock must not be given up under it."""
    work = asyncio.ensure_future(asyncio.to_thread(recover, repository, lock))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _drop_dead_lock(repository: Repository) -> None:
    path = repository.git_dir / "index.lock"
    if not path.exists():
        return
    if indexlock.holders(path) or indexlock.git_runs_in(repository.git_dir, repository.work_tree):
        raise Busy(f"{path} is in use")
    if repository.commit_journal.exists():
        # it may be the watcher's, which finishes the commit with it
        raise Busy(f"{path} is of a commit that was cut short")
    # left by the git that was killed in the middle of the move which the journal tells of
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


@dataclass(frozen=True, slots=True)
class _Change:
    """One path of the move, as `git diff-tree` tells it; mode 000000 where it does not exist."""

    path: str
    old_mode: str
    old_oid: str
    new_mode: str
    new_oid: str

    @property
    def old_entry(self) -> bytes:
        return f"{self.old_mode} {self.old_oid}\t".encode() + os.fsencode(self.path) + b"\0"

    @property
    def new_entry(self) -> bytes:
        return f"{self.new_mode} {self.new_oid}\t".encode() + os.fsencode(self.path) + b"\0"


_ABSENT = "000000"


class _Recovery:
    def __init__(self, repository: Repository, found: Journal, lock: int) -> None:
        assert repository.work_tree is not None
        self._tree = repository.work_tree
        self._git = repository.git
        self._folder = repository.tree_dir
        self._lock = lock
        self._head = found.before
        self._after = found.after
        self._began = journal_path(repository).stat().st_ctime_ns

    def _run(
        self, *args: str, input: bytes | None = None, index: Path | None = None, fine: tuple[int, ...] = (0,)
    ) -> bytes:
        env = {"GIT_INDEX_FILE": str(index)} if index else None
        result = self._git.run(*args, input=input, env=env, pass_fds=[self._lock], check=False, limit=NETWORK_LIMIT)
        if result.code not in fine:
            raise GitError(args, result.code, result.stdout, result.stderr)
        return result.stdout

    def run(self) -> None:
        before = self._head or self._run("hash-object", "-t", "tree", "--stdin", input=b"").decode().strip()
        changes = self._changes(before)
        if not self._staged_otherwise({change.path for change in changes}):
            # killed between writing the index and HEAD: everything is there but the ref
            zero = "0" * len(self._after)
            self._run("update-ref", "-m", "autosync: move completed", "HEAD", self._after, self._head or zero)
            return
        self._put_back(changes)
        self._run("update-index", "-q", "--refresh", fine=(0, 1))

    def _changes(self, before: str) -> list[_Change]:
        fields = split(self._run("diff-tree", "-r", "-z", "--no-renames", before, self._after))
        changes = []
        for head, path in zip(fields[::2], fields[1::2], strict=True):
            old_mode, new_mode, old_oid, new_oid, _ = head.removeprefix(":").split(" ")
            changes.append(_Change(path, old_mode, old_oid, new_mode, new_oid))
        return changes

    def _staged_otherwise(self, paths: set[str]) -> set[str]:
        listed = self._run("diff-index", "--cached", "-z", "--name-only", "--no-renames", self._after)
        return paths & set(split(listed))

    def _put_back(self, changes: list[_Change]) -> None:
        marks = {change.path: self._mark(change.path) for change in changes}
        old_entries = [c.old_entry for c in changes if c.old_mode != _ABSENT]
        as_old = self._matching(old_entries)
        as_new = self._matching([c.new_entry for c in changes if c.new_mode != _ABSENT])
        missing = []
        for change in changes:
            path, mark = change.path, marks[change.path]
            gits_own = path not in as_old and (path in as_new or self._is_beginning(path))
            if mark is None or (gits_own and self._take_away(path, mark)):
                missing.append(path)
        wanted = [c.path for c in changes if c.old_mode != _ABSENT and c.path in missing]
        for path in wanted:
            _remove_empty(self._tree / path)
        with self._index_of(old_entries) as index:
            # without -f: a file that somebody made meanwhile stays
            names = b"".join(os.fsencode(path) + b"\0" for path in wanted)
            self._run("checkout-index", "-z", "--stdin", "-q", input=names, index=index, fine=(0, 1, 128))

    @contextlib.contextmanager
    def _index_of(self, entries: list[bytes]) -> Iterator[Path]:
        index = self._folder / "recovery-index"
        index.unlink(missing_ok=True)
        try:
            self._run("update-index", "-z", "--index-info", input=b"".join(entries), index=index)
            yield index
        finally:
            index.unlink(missing_ok=True)

    def _matching(self, entries: list[bytes]) -> set[str]:
        """The paths that are in the work tree as the entries have them: filters, modes and links counted."""
        with self._index_of(entries) as index:
            self._run("update-index", "-q", "--refresh", index=index, fine=(0, 1))
            known = split(self._run("ls-files", "-z", index=index))
            return set(known) - set(split(self._run("diff-files", "-z", "--name-only", index=index)))

    def _mark(self, path: str) -> tuple[int, int, int] | None:
        parents = list((self._tree / path).parents)
        if any(parent.is_symlink() for parent in parents[: parents.index(self._tree)]):
            return None  # what a link leads to is not of this work tree
        try:
            found = (self._tree / path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(found.st_mode):
            return None  # a folder stands there: its files are paths of their own
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _is_beginning(self, path: str) -> bool:
        """Whether the file is the beginning of what the new commit has there: git was killed while writing it.

        One that nobody has touched since the move began is the person's: git refused the move because of it.
        """
        file = self._tree / path
        try:
            found = file.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_ctime_ns < self._began:
                return False
            written = file.read_bytes()
            whole = self._run("cat-file", "--filters", f"{self._after}:{path}")
        except (OSError, GitError):
            return False
        return len(written) < len(whole) and whole.startswith(written)

    def _take_away(self, path: str, mark: tuple[int, int, int]) -> bool:
        file = self._tree / path
        aside = self._folder / f"recovery-{mark[0]}"
        try:
            file.rename(aside)
        except OSError:
            return False
        moved = aside.lstat()
        if (moved.st_ino, moved.st_mtime_ns, moved.st_size) != mark:
            # written since it was compared: it is the person's, and goes back unless there is a newer one
            _give_back(aside, file)
            return False
        aside.unlink()
        for parent in file.parents:
            if parent == self._tree:
                break
            try:
                parent.rmdir()
            except OSError:
                break
        return True


def _remove_empty(folder: Path) -> None:
    """Take folders without any file away, where a file is to be: git makes them before what goes into them."""
    if folder.is_dir() and not folder.is_symlink():
        for inner, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):  # there is something in it
                Path(inner).rmdir()


def _give_back(aside: Path, file: Path) -> None:
    try:
        os.link(aside, file, follow_symlinks=False)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links, as on many sticks
        if not os.path.lexists(file):
            aside.rename(file)
        return
    aside.unlink()


def git_for_move(repository: Repository) -> Git:
    """git for moving the work tree. No garbage collection: it would go on in the background, holding the lock."""
    return repository.git.with_config("gc.auto=0", "maintenance.auto=false")
