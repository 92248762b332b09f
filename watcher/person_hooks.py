"""The hooks of the person's own, run on automatic commits as `git commit` would.

`git hook run` does the running: without a terminal, with a time limit. It costs a process even when there is no
hook, so where that can be known the question is answered here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from autosync.common.git import GitError, GitTimeout
from autosync.common.repository import Repository

from .gitconfig import GitConfig


class Rejected(Exception):
    """A hook said no, or did not end in time. ``hook`` is its name, ``said`` what it printed."""

    def __init__(self, hook: str, said: str) -> None:
        super().__init__(hook, said)
        self.hook = hook
        self.said = said


class PersonHooks:
    """The hooks of one repository; made anew for each commit."""

    def __init__(self, repository: Repository, config: GitConfig, limit: float) -> None:
        """``limit`` in seconds, for each hook."""
        self._git = repository.git
        self._limit = limit
        self._folder = hooks_folder(repository, config)
        # from git 2.54 on hooks can be in the configuration: hook.<name>.event
        self._configured = {
            event
            for key in config.keys
            if key.startswith("hook.") and key.endswith(".event")
            for event in config.all(key)
        }

    def exists(self, name: str) -> bool:
        """Whether there may be such a hook."""
        return name in self._configured or os.access(self._folder / name, os.X_OK)

    async def run(self, name: str, *arguments: str, env: Mapping[str, str], fds: tuple[int, ...] = ()) -> None:
        """Run the hook if there is one. Raises Rejected."""
        if not self.exists(name):
            return
        try:
            await self._git.call(
                "hook", "run", "--ignore-missing", name, "--", *arguments, env=env, limit=self._limit, pass_fds=fds
            )
        except GitTimeout:
            raise Rejected(name, f"it did not end within {self._limit:g} seconds") from None
        except GitError as error:
            raise Rejected(name, error.message or f"it ended with {error.code}") from error


def hooks_folder(repository: Repository, config: GitConfig) -> Path:
    """Where the repository's hooks are (githooks(5))."""
    configured = config.get("core.hookspath")
    if not configured:
        return repository.common_dir / "hooks"
    # a relative one is relative to where hooks run
    return (repository.work_tree or repository.git_dir) / Path(configured).expanduser()
