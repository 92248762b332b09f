"""A real notification server on a screen that nobody sees."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from tests.support.programs import need
from tests.support.wait import until


class Dunst:
    """dunst(1) on an Xvfb(1) of its own. Use as a context manager, with the session bus in the environment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Dunst:
        need("Xvfb", "xvfb")
        need("dunst")
        need("dbus-send", "dbus")
        with self._stack:
            reader, writer = os.pipe()
            argv = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
            self._start(argv, os.environ, pass_fds=[writer])
            os.close(writer)
            with open(reader, "rb") as told:
                number = told.readline().decode().strip()
            self._environment = os.environ | {"DISPLAY": f":{number}"}
            self._start(["dunst", "-config", os.devnull], self._environment)
            until(lambda: self.count() == 0, "dunst to answer")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, argv: list[str], env, **how) -> None:
        log = self._stack.enter_context(self._folder.joinpath(f"{argv[0]}.log").open("wb"))
        process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)

    def count(self) -> int | None:
        """How many notifications are on the screen; None while it does not answer."""
        done = self._control("count", "displayed")
        return int(done.stdout) if done.returncode == 0 else None

    def click(self) -> None:
        """Do what a click on the topmost notification does."""
        assert self._control("action", "0").returncode == 0

    def dismiss(self) -> None:
        """Close the topmost notification."""
        assert self._control("close").returncode == 0

    def _control(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["dunstctl", *words], env=self._environment, capture_output=True, text=True)
