"""Processes that never outlive the demo."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

#: The signals that end the demo.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds from SIGTERM to SIGKILL.
_GRACE = 5.0
_PR_SET_PDEATHSIG = 1  # prctl(2)


class Ended(Exception):
    """A signal asked the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Endings:
    """Notes the signals that end the demo. They interrupt nothing: an exception out of nowhere could leave a process
    just started, or a clearing up half done. Instead the demo looks often (`check`)."""

    def __init__(self) -> None:
        self._number: int | None = None

    def check(self) -> None:
        """Raises Ended when a signal has come."""
        if self._number is not None:
            raise Ended(self._number)

    @contextlib.contextmanager
    def noticed(self) -> Iterator[None]:
        """Inside the block signals are noted."""
        before = {number: signal.signal(number, self._note) for number in ENDING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _: Any) -> None:
        self._number = self._number or number


class Children:
    """Starts commands of autosync as processes, and ends them all. Use as a context manager."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = dict(environment)
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._libc = ctypes.CDLL(None)
        self._pid = os.getpid()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.terminate()
        end = time.monotonic() + _GRACE
        for process in self._running.values():
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, module: str, *arguments: str) -> Path:
        """Start the command of ``module`` as ``name``; returns the file with what it prints."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            self._running[name] = subprocess.Popen(
                command(module, *arguments),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=self._prepare,
            )
        return log

    def dead(self) -> str | None:
        """The name of one that ended by itself, and should not have."""
        return next((name for name, process in self._running.items() if process.poll() is not None), None)

    def _prepare(self) -> None:
        """Runs in the child: even a killed demo takes it along."""
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self._pid:
            os.kill(os.getpid(), signal.SIGTERM)


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs ``module``'s main of this very installation."""
    # -P: what lies in the current folder is not to be imported
    return [sys.executable, "-P", "-c", f"import sys; from {module} import main; sys.exit(main())", *arguments]
