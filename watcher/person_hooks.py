"""The hooks of the person's own, run on automatic commits as `git commit` would.

`git hook run` does the running: without a terminal, with a time limit. It costs a process even when there is no
hook, so where that can be known the question is answered here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from autosync.common.git import Git, GitError, GitTimeout
from autosync.common.reader import Reader
from autosync.common.repository import Repository


class Rejected(Exception):
    """A hook said no, or did not end in time. ``hook`` is its name, ``said`` what it printed."""

    def __init__(self, hook: str, said: str) -> None:
        super().__init__(hook, said)
        self.hook = hook
        self.said = said


class PersonHooks:
    """The hooks of one repository; made anew for each commit."""

    def __init__(self, repository: Repository, git: Git, reader: Reader, limit: float, config_hooks: bool) -> None:
        """``config_hooks``: this git knows hooks in its configuration (`hook.<name>.event`), so that
        the folder does not tell."""
        self._git = git
        self._limit = limit
        self._config_hooks = config_hooks
        configured = reader.config("core.hooksPath")
        base = repository.work_tree or repository.git_dir
        self._folder = base / Path(configured).expanduser() if configured else repository.common_dir / "hooks"

    def exists(self, name: str) -> bool:
        """Whether there may be such a hook."""
        return self._config_hooks or os.access(self._folder / name, os.X_OK)

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


async def knows_config_hooks(git: Git) -> bool:
    """Whether this git runs hooks from its configuration (from 2.54 on)."""
    words = (await git.call("version")).text.split()
    numbers = words[2].split(".") if len(words) > 2 else []
    try:
        return (int(numbers[0]), int(numbers[1])) >= (2, 54)
    except (IndexError, ValueError):
        return True
