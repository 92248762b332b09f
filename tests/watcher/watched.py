"""A repository with a real watcher process on it, driven and asked as a person would."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from autosync.common.control import NotRunning, ask
from autosync.common.instance import Instance
from tests.support.git import git
from tests.support.wait import until

WATCHER = [sys.executable, "-c", "import sys; from autosync.watcher.main import main; sys.exit(main())"]


class Watched:
    """``settings`` are lines for `[[repository]]`; ``prefix`` is a command to start the watcher by."""

    def __init__(self, folder: Path, settings: str = "settle = 0.1", prefix: tuple[str, ...] = ()) -> None:
        self.root = folder / "work tree"
        self.settings = settings
        self.config = folder / "config.toml"
        self.log = folder / "watcher.log"
        self._prefix = prefix
        self.process: subprocess.Popen[bytes] | None = None
        if not self.root.exists():
            self.root.mkdir()
            git(self.root, "init", "-q")
        self.configure(settings)

    def configure(self, settings: str) -> None:
        self.config.write_text(f'name = "laptop"\n[[repository]]\npath = {json.dumps(str(self.root))}\n{settings}\n')

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Watched:
        with self.log.open("ab") as log:
            argv = [*self._prefix, *WATCHER, "--config", str(self.config), "--verbose"]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._up, "the watcher to watch")
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process = None
        return code

    def _up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.status()["reason"] != "starting"
        except NotRunning:
            return False

    @property
    def socket(self) -> Path:
        return Instance.of(self.config).socket("watcher")

    def ask(self, command: str, **arguments: Any) -> Any:
        return asyncio.run(ask(self.socket, command, limit=60, **arguments))

    def status(self) -> dict[str, Any]:
        return dict(self.ask("status")["repositories"][0])

    def commit(self) -> dict[str, Any]:
        return dict(self.ask("commit", paths=None)["repositories"][0])

    def git(self, *args: str, **how: Any) -> str:
        return git(self.root, *args, **how)

    def commits(self) -> list[str]:
        """Subjects, oldest first."""
        out = git(self.root, "log", "--reverse", "--format=%s", check=False)
        return out.split("\n") if out else []

    def committed(self, path: str) -> bytes | None:
        """What HEAD holds at a path."""
        done = subprocess.run(["git", "cat-file", "blob", f"HEAD:{path}"], cwd=self.root, capture_output=True)
        return done.stdout if done.returncode == 0 else None

    def files(self) -> set[str]:
        """The paths in HEAD."""
        out = git(self.root, "ls-tree", "-r", "-z", "--name-only", "HEAD", check=False)
        return {path for path in out.split("\0") if path}

    def ever(self) -> set[str]:
        """Every path that any commit ever held."""
        out = git(self.root, "log", "--all", "-z", "--name-only", "--format=", "--no-renames", check=False)
        return {path for path in out.split("\0") if path}

    def until_committed(self, path: str, content: bytes) -> None:
        until(lambda: self.committed(path) == content, f"{path} to be committed")

    def until_clean(self) -> None:
        """Wait until git sees no change and the watcher has nothing marked."""
        until(
            lambda: not self.git("status", "--porcelain") and not self.status()["dirty"], "everything to be committed"
        )

    def until_state(self, state: str) -> dict[str, Any]:
        return until(lambda: (s := self.status())["state"] == state and s, f"the state {state}")

    def write(self, path: str | bytes, content: bytes | str = b"x\n") -> Path:
        target = Path(os.fsdecode(os.fsencode(self.root) + b"/" + os.fsencode(path)))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target
