"""Makes commits as the watcher does, each in a child that kills itself at a given step.

Reads lines `STEP PATH...` and answers each with `whole` or `killed`. A step is any moment before, while or after a
git command runs, or around a change of the file system. Children are forked: importing takes longer than a commit.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from autosync.common import child, locks
from autosync.common.config import Settings
from autosync.common.desktop import Desktop
from autosync.common.repository import Repository
from autosync.watcher.asking import Asking
from autosync.watcher.commit import Committer
from autosync.watcher.identity import Identity

steps = last = 0


def step() -> None:
    global steps
    steps += 1
    if steps > last:
        os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str) -> None:
    original = getattr(owner, name)

    def replaced(*args: Any, **kwargs: Any) -> Any:
        step()
        result = original(*args, **kwargs)
        step()
        return result

    setattr(owner, name, replaced)


def acquired(repository: Repository) -> int:
    """The lock, which children of a killed process may still hold."""
    while True:
        try:
            return locks.acquire(repository.lock)
        except locks.Held:
            pass


async def commit(root: Path, paths: list[str]) -> None:
    repository = Repository.open(root)
    repository.make_own_folders()
    committer = Committer(repository, Settings(), Identity("laptop", "person"), Asking(root, Desktop(), lambda: None))
    around(child.Child, "__init__")  # before a command, and while it runs
    around(child.Child, "result")  # after it
    for name in ("link", "unlink"):
        around(os, name)
    for name in ("replace", "unlink", "write_text"):
        around(Path, name)
    lock = acquired(repository)
    committer.recover()
    outcome = await committer.commit([os.fsencode(path) for path in paths], (), lock, ask=False)
    assert outcome.hold is None, outcome.hold
    await committer.post_commit()


def main() -> None:
    global last
    root = Path(sys.argv[1])
    for line in sys.stdin:
        words = line.split()
        child = os.fork()
        if not child:
            last = int(words[0])
            asyncio.run(commit(root, words[1:]))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print({0: "whole", -signal.SIGKILL: "killed"}.get(status, f"failed with {status}"), flush=True)


main()
