"""What events say of one repository, kept until somebody acts on it: which paths and rules may be others now.

Nothing here asks git or the disk about a file: what is committed is decided when it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from autosync.common.config import SHARED_FILE

from .settle import Kind, Settling


class Hints:
    """Where the tree tells (`tree.Sink`). ``leaves_alone``: whether nobody is interested in a path."""

    def __init__(self, settling: Settling, leaves_alone: Callable[[bytes], bool]) -> None:
        self._settling = settling
        self._leaves_alone = leaves_alone
        #: Folders below which others may have to be watched now: by other ignore rules, or another repository.
        self.rules: set[bytes] = set()
        #: The settings that come with the repository may be others.
        self.settings = False

    def mark(self, path: bytes, kind: Kind) -> None:
        """An event came for ``path``."""
        if kind is not Kind.WRITTEN and kind is not Kind.CREATED:
            if path.endswith(b".gitignore") and path[-11:-10] in (b"", b"/"):
                self.rules.add(path[:-11])
            elif path == SHARED_FILE.encode():
                self.settings = True
        if not self._leaves_alone(path):
            self._settling.mark(path, kind, time.monotonic())

    def moved(self, old: bytes, new: bytes) -> None:
        """``old`` was moved to ``new``, inside the tree."""
        if not self._leaves_alone(new):
            self._settling.moved(old, new)

    def renew(self, path: bytes) -> None:
        """Another repository came or went at ``path``."""
        self.rules.add(path)

    def take_rules(self) -> set[bytes]:
        """The folders of `rules`, which are noted no more."""
        taken, self.rules = self.rules, set()
        return taken

    def take_settings(self) -> bool:
        """`settings`, which is noted no more."""
        taken, self.settings = self.settings, False
        return taken
