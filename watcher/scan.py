"""What differs from the index, asked of git: at start, after lost events, for large batches and the safety scan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autosync.common.git import Git

from .overlap import alongside

#: Seconds a scan may take.
LIMIT = 3600.0


async def changed(git: Git) -> set[bytes]:
    """Every path that is modified, deleted or untracked (and not ignored by git). Raises GitError.

    `ls-files` and not `status`: it does not compare the index with HEAD, which is not asked here.
    """
    found: set[bytes] = set()

    async def ask(*which: str) -> None:
        listed = await git.call("ls-files", "-z", *which, limit=LIMIT)
        # an untracked repository is listed with a trailing slash, a changed submodule as its folder: neither is ours
        found.update(path for path in listed.stdout.split(b"\0") if path and not path.endswith(b"/"))

    async with alongside(ask("--modified", "--deleted")):
        await ask("--others", "--exclude-standard")
    return found


async def tracked_folders(git: Git) -> set[bytes]:
    """The folders that hold tracked files, at any depth. Raises GitError."""
    found = await git.call("ls-files", "-z", limit=LIMIT)
    return folders_of(found.stdout.split(b"\0"))


async def tracked_but_ignored(git: Git, patterns: Sequence[str]) -> set[bytes]:
    """Tracked files that ignore rules or the patterns match: they are watched and committed all the same.

    Raises GitError.
    """
    excludes = [["--exclude-standard"]]
    if patterns:
        excludes.append([f"--exclude={pattern}" for pattern in patterns])
    found: set[bytes] = set()
    for exclude in excludes:
        listed = await git.call("ls-files", "-z", "--cached", "--ignored", *exclude, limit=LIMIT)
        found.update(path for path in listed.stdout.split(b"\0") if path)
    return found


def folders_of(paths: Iterable[bytes]) -> set[bytes]:
    """All folders above the paths, without the root."""
    folders: set[bytes] = set()
    for path in paths:
        end = path.rfind(b"/")
        while end > 0:
            folder = path[:end]
            if folder in folders:
                break
            folders.add(folder)
            end = folder.rfind(b"/")
    return folders
