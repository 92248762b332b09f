"""What a killed commit leaves behind, and how it is finished or dropped.

The real index is replaced under git's own `index.lock`, which is a hard link to the new index. Its
identity is written down before it is made, so that after a kill it is known for ours: with HEAD at
the new commit the lock becomes the index, otherwise it goes. Whoever calls holds the repository's lock, which
git children of the killed process would still hold.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from autosync.common.repository import Repository


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit on its way: the commit, and device and inode of the new index."""

    commit: str
    device: int
    inode: int


def journal_path(repository: Repository) -> Path:
    return repository.commit_journal


def private_index(repository: Repository) -> Path:
    """Where the index of the next commit is made."""
    return repository.tree_dir / "index"


def second_index(repository: Repository) -> Path:
    """Where the person's index is brought up to date when it holds more than HEAD."""
    return repository.tree_dir / "index.staged"


def take_lock(repository: Repository, new_index: Path, commit: str) -> tuple[int, int, int]:
    """Make ``new_index`` git's `index.lock`, and write down that it is ours. Returns the mark that the index will
    have. Raises FileExistsError when git has the lock, or OSError."""
    found = new_index.stat()
    entry = Entry(commit, found.st_dev, found.st_ino)
    journal_path(repository).write_text(json.dumps(asdict(entry)))
    lock = repository.git_dir / "index.lock"
    try:
        os.link(new_index, lock)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV):
            raise
        found = _lock_without_links(repository, new_index, lock, commit)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _lock_without_links(repository: Repository, new_index: Path, lock: Path, commit: str) -> os.stat_result:
    """The same on a file system without hard links (FAT, some FUSE)."""
    with lock.open("xb") as target, new_index.open("rb") as source:
        found = os.fstat(target.fileno())
        entry = Entry(commit, found.st_dev, found.st_ino)
        journal_path(repository).write_text(json.dumps(asdict(entry)))
        shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
        made = os.fstat(source.fileno())
        os.utime(lock, ns=(made.st_atime_ns, made.st_mtime_ns))
    return lock.stat()


def drop_lock(repository: Repository) -> None:
    """Give git's lock back, with the index as it was."""
    (repository.git_dir / "index.lock").unlink()
    clear(repository)


def finish(repository: Repository) -> None:
    """Let the lock become the index."""
    (repository.git_dir / "index.lock").replace(repository.git_dir / "index")
    clear(repository)


def clear(repository: Repository) -> None:
    """Remove what a commit, or a killed one, left in our own folder."""
    for index in (private_index(repository), second_index(repository)):
        index.unlink(missing_ok=True)
        index.with_name(index.name + ".lock").unlink(missing_ok=True)
    journal_path(repository).unlink(missing_ok=True)


def recover(repository: Repository, head: str | None) -> str | None:
    """After a kill: finish or drop the commit on its way; ``head`` is the commit of HEAD now. Returns a
    sentence about what was done, None when there was nothing of ours at git's lock. Raises GitError."""
    try:
        found = (repository.git_dir / "index.lock").lstat()
    except OSError:
        clear(repository)
        return None
    entry = _entry(repository)
    # device numbers are others after a restart of the machine; the index that the lock is a link to is still there
    ours = _is_link_to_ours(repository, found)
    if not ours and (entry is None or (found.st_dev, found.st_ino) != (entry.device, entry.inode)):
        clear(repository)
        return None
    # a power cut can leave the journal's name without its content
    name = entry.commit[:12] if entry else "without a name"
    done = head == entry.commit if entry else _holds(repository, head)
    if done:
        finish(repository)
        return f"finished commit {name}, which was interrupted"
    drop_lock(repository)
    return f"dropped commit {name}, which was interrupted; its changes are found anew"


def _entry(repository: Repository) -> Entry | None:
    try:
        return Entry(**json.loads(journal_path(repository).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _holds(repository: Repository, commit: str | None) -> bool:
    """Whether the index that waits at git's lock is what ``commit`` has."""
    if commit is None:
        return False
    env = {"GIT_INDEX_FILE": os.fspath(repository.git_dir / "index.lock")}
    return repository.git.run("diff-index", "--cached", "--quiet", commit, "--", env=env, check=False).code == 0


def _is_link_to_ours(repository: Repository, lock: os.stat_result) -> bool:
    for index in (private_index(repository), second_index(repository)):
        try:
            found = index.lstat()
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (lock.st_dev, lock.st_ino):
            return True
    return False
