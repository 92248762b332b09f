"""Watching the git directory, so that holding back ends by an event and not by polling."""

from __future__ import annotations

import contextlib
import os

from autosync.common import checkout, inotify
from autosync.common.inotify import Event, Inotify
from autosync.common.repository import Repository

_MASK = (
    inotify.CREATE | inotify.DELETE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CLOSE_WRITE | inotify.DONT_FOLLOW
)
_WENT = inotify.DELETE | inotify.MOVED_FROM
_RULES = {b"exclude", b"config", b"config.worktree"}
_STATE = {
    b"index.lock",
    b"index",
    b"HEAD",
    b"HEAD.lock",  # goes when a branch has moved: after the index, with `git commit`
    b"MERGE_HEAD",
    b"CHERRY_PICK_HEAD",
    b"REVERT_HEAD",
    b"BISECT_LOG",
    b"rebase-merge",
    b"rebase-apply",
    b"sequencer",
}


class GitDirectory:
    """Watches on the few folders of a git directory that tell about work in progress and ignore rules."""

    def __init__(self, repository: Repository, watches: Inotify) -> None:
        self._own: dict[int, frozenset[bytes]] = {}
        #: The git directory, or a folder of it, is not the one that is watched any more.
        self.lost = False
        #: Something moved: what held a commit back may be over.
        self.moved = False
        #: The ignore rules or the configuration changed.
        self.rules_changed = False
        ours = (checkout.journal_path(repository), repository.pause_mark)
        folders = [
            (repository.git_dir, _STATE | _RULES),
            (repository.common_dir, _STATE | _RULES),
            (repository.common_dir / "info", _RULES),
            (
                repository.tree_dir,
                {os.fsencode(path.name) for path in ours},
            ),
        ]
        for folder, names in folders:
            with contextlib.suppress(OSError):  # a missing one; without watches the tree says what is wrong
                watch = watches.watch(os.fsencode(folder), _MASK)
                self._own[watch] = self._own.get(watch, frozenset()) | names

    def handle(self, event: Event) -> None:
        """Take note of an event; one of another watch does nothing."""
        names = self._own.get(event.watch)
        if names is None:
            return
        self.lost |= bool(event.mask & inotify.IGNORED)
        if event.name not in names:
            return
        if event.name in _RULES:
            self.rules_changed |= bool(event.mask & (_WENT | inotify.MOVED_TO | inotify.CLOSE_WRITE))
        # a beginning is seen when a commit is tried; only an end has to wake somebody
        elif event.mask & (_WENT | inotify.MOVED_TO):
            self.moved = True

    def __contains__(self, watch: int) -> bool:
        return watch in self._own
