"""Clean filters (git-lfs, git-crypt): content is never stored without the filter that it should go through.

git itself stores a file as it is when `filter=NAME` is in the attributes but nothing is configured for NAME, or when
the command fails and is not marked as required. Here the first is held back, and every filter is required.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from autosync.common.git import Git, split
from autosync.common.repository import Repository
from autosync.common.shell import typed

from .gitconfig import GitConfig
from .quarantine import Held


def attributes_name_filters(repository: Repository, config: GitConfig, paths: Iterable[bytes]) -> bool:
    """Whether any attributes file that counts for the paths names a filter: asking git costs a process."""
    home = config.get("core.attributesfile") or "~/.config/git/attributes"
    root = os.fsencode(repository.path)
    files = [os.fsencode(Path(home).expanduser()), os.fsencode(repository.common_dir / "info" / "attributes")]
    folders = {b""}
    for path in paths:
        end = path.rfind(b"/")
        while end > 0 and path[:end] not in folders:
            folders.add(path[:end])
            end = path.rfind(b"/", 0, end)
    files += [root + b"/" + folder + b"/.gitattributes" for folder in folders]
    return any(b"filter" in _content(file) for file in files)


async def filters_of(git: Git, paths: Iterable[bytes]) -> dict[bytes, str]:
    """The filter of each path that has one. Raises GitError."""
    data = b"".join(path + b"\0" for path in paths)
    fields = split((await git.call("check-attr", "-z", "--stdin", "filter", input=data)).stdout)
    return {
        os.fsencode(path): value
        for path, value in zip(fields[::3], fields[2::3], strict=True)
        if value not in ("unspecified", "unset", "set")
    }


def configured(name: str, config: GitConfig) -> bool:
    """Whether git knows what to run for the filter."""
    return bool(config.get(f"filter.{name}.clean") or config.get(f"filter.{name}.process"))


def missing(root: Path, name: str) -> Held:
    """The verdict on a path in the work tree at ``root`` whose filter is not set up."""
    known = {"lfs": "git lfs install", "git-crypt": f"(cd {typed(root)} && git-crypt unlock)"}
    remedy = known.get(name, f"git -C {typed(root)} config {typed(f'filter.{name}.clean')} COMMAND")
    return Held(f"its filter '{name}' is not set up here: it would be stored unfiltered", remedy, tried_again=True)


def _content(file: bytes) -> bytes:
    try:
        return Path(os.fsdecode(file)).read_bytes()
    except OSError:
        return b""
