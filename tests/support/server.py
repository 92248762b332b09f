"""A real server process for tests: started, killed, frozen and restarted, on ports of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .wait import until


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing(what: str, remedy: str) -> None:
    """A server is not installed: that may be so on a person's machine, never in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed: {remedy}")
    pytest.skip(f"{what} is not installed: {remedy}")


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections on the port."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


class ServerProcess:
    """One process in its own process group; its output goes to ``log``."""

    def __init__(self, argv: list[str], ready: Callable[[], bool], log: Path, environment: dict[str, str]) -> None:
        self._argv = argv
        self._ready = ready
        self._log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready; fails with its output when it ends before."""
        assert self._process is None, "started already"
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        try:
            until(self._up, f"{self._argv[0]} to accept connections")
        except BaseException:
            self.kill()
            raise

    def _up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            text = self._log.read_text(errors="replace")[-4000:]
            raise AssertionError(f"{self._argv[0]} ended with {self._process.returncode} at start:\n{text}")
        return self._ready()

    def stop(self) -> None:
        """End it in good order (SIGTERM); a frozen one as well."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            os.killpg(process.pid, number)
            os.killpg(process.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def freeze(self) -> None:
        """Let it hang (SIGSTOP): connections stay open, nothing answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """End it in good order and start it again on the same ports."""
        self.stop()
        self.start()
