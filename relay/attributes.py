"""Which `.gitattributes` a merge goes by: those of a commit, so that every machine takes the same merge drivers.

git reads them in the work tree, where a machine may have others: it stands at the other commit, or somebody is editing
them. Then git merges in a folder that has nothing but the commit's own. (GIT_ATTR_SOURCE would do, but git before 2.41
does not know it.) Otherwise it merges in the work tree, where drivers may expect to be.

`.git/info/attributes`, `core.attributesFile` and the commands of drivers are each machine's own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from autosync.common.git import Git, split

from . import scratch

_NAME = ".gitattributes"
_EVERYWHERE = f":(top,glob)**/{_NAME}"


def is_one(path: str) -> bool:
    """Whether ``path`` names a file with attributes."""
    return path.rpartition("/")[2] == _NAME


async def changed(git: Git) -> bool:
    """Whether those in the work tree are other than HEAD's, or there is no work tree."""
    # a file that only looks changed, by its times, counts as changed: that costs time and nothing else
    return (await git.call("diff-index", "--quiet", "HEAD", "--", _EVERYWHERE, check=False)).code != 0


@contextlib.asynccontextmanager
async def laid_out(git: Git, folder: Path, commit: str) -> AsyncIterator[Git]:
    """git in a folder of its own, below ``folder``, with the attributes of ``commit``. Raises GitError, OSError."""
    git_dir = Path((await git.call("rev-parse", "--absolute-git-dir")).text)
    place = scratch.place(folder, "merge-attributes")
    try:
        await _lay_out(git, commit, place)
        yield Git(place, git_dir, (*git.config, "core.bare=false"), work_tree=place)
    finally:
        scratch.remove(place)


async def _lay_out(git: Git, commit: str, place: Path) -> None:
    """Write the attributes of ``commit`` below ``place``."""
    listed = await git.call("ls-tree", "-r", "-z", "--full-tree", commit)
    found = {}
    for row in split(listed.stdout):
        head, _, path = row.partition("\t")
        mode, _, oid = head.split(" ")
        # a tree that somebody has forged may have any names
        if is_one(path) and mode.startswith("100") and not {"", ".", ".."} & set(path.split("/")):
            found[path] = oid
    contents = (await git.call("cat-file", "--batch", input="\n".join(found.values()).encode())).stdout
    await asyncio.to_thread(_write, place, list(found), contents)


def _write(place: Path, paths: list[str], contents: bytes) -> None:
    """``contents`` is what `git cat-file --batch` said of the files at ``paths``."""
    place.mkdir(parents=True)
    # git before 2.41 would go by the result of merging the ones at the root if there were none
    (place / _NAME).touch()
    for path in paths:
        header, _, contents = contents.partition(b"\n")
        size = int(header.split(b" ")[2])
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents[:size])
        contents = contents[size + 1 :]
