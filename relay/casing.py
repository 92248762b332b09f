"""Names that are one name to a file system which does not tell upper from lower case.

git would check out both into one file. The watcher would then commit the one's content under the other's name, and
every machine would get that. Such file systems are the exception on Linux (FAT, ext4 with `casefold`, some network
mounts); elsewhere both names are as good as any two.
"""

from __future__ import annotations

from collections.abc import Iterable

from autosync.common.reader import Reader


def ignored(reader: Reader) -> bool:
    """Whether the work tree is on such a file system, as git found out when it made the repository (git-config(1),
    `core.ignoreCase`)."""
    said = reader.config_all("core.ignorecase")
    return bool(said) and said[-1].lower() in ("true", "yes", "on", "1", "")


def collisions(paths: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs of files, or of a file and a folder, that differ by case alone."""
    found: set[tuple[str, str]] = set()
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in sorted(paths):
        other = files.setdefault(path.casefold(), path)
        if other != path:
            found.add((other, path))
        end = path.find("/")
        while end > 0:
            folders.setdefault(path[:end].casefold(), path[:end])
            end = path.find("/", end + 1)
    found |= {(folders[key], path) for key, path in files.items() if key in folders}
    return found
