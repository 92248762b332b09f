"""What is left alone: git's ignore rules, `exclude`, and the leavings of editors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from autosync.common.reader import Reader

#: Files that editors and other programs leave while they work. `builtin-ignores = false` turns them off.
BUILT_IN = (
    "*~",  # backups: emacs, vim, nano, kate, joe ...
    ".*.sw[a-p]",  # vim's swap files
    ".sw[a-p]",
    ".*.swpx",
    "*.un~",  # vim's undo files
    "4913",  # vim tries with this name whether it may write
    ".#*",  # emacs' lock links
    "\\#*\\#",  # emacs' auto-save files
    ".*.kate-swp",
    ".~lock.*#",  # LibreOffice's locks, and its files on the way
    "lu[0-9][0-9][0-9]*.tmp",
    "~$*",  # Microsoft Office's owner files
    ".goutputstream-*",  # GLib's files on the way
    "___jb_tmp___",  # JetBrains' files on the way
    "___jb_old___",
    "*___jb_tmp___",
    "*___jb_old___",
    "*.crdownload",  # downloads on the way
    "*.part",
    ".fuse_hidden*",  # removed, but still open
    ".nfs????????????????????????",
    ".merge_file_??????",  # what git gives to merge drivers
    "*.db-wal",  # SQLite's logs; the data base itself is what counts
    "*.db-shm",
    "*.db-journal",
    "*.db3-wal",
    "*.db3-shm",
    "*.db3-journal",
    "*.sqlite-wal",
    "*.sqlite-shm",
    "*.sqlite-journal",
    "*.sqlite3-wal",
    "*.sqlite3-shm",
    "*.sqlite3-journal",
)


def own_patterns(exclude: Sequence[str], built_in: bool) -> list[str]:
    """The patterns that only the watcher knows; `exclude` may take a built-in one back with `!`."""
    return [*(BUILT_IN if built_in else ()), *exclude]


def ignored_by_git(reader: Reader, paths: Iterable[bytes]) -> set[bytes]:
    """Those of the paths (folders with a trailing slash) that git's ignore rules match, tracked or not."""
    return {os.fsencode(path) for path in reader.ignored([os.fsdecode(path) for path in paths])}
