"""A child process in a session of its own: awaited, and ended with all that it started.

It is ended by SIGTERM, then SIGKILL to its whole group, and always waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds that a command may take before its progress is looked at, and between two looks.
PROGRESS_AFTER, PROGRESS_EVERY = 1.0, 0.5
_LONGEST_LINE = 1024
_WITHOUT_EVENT = 0.01
#: Seconds between SIGTERM and SIGKILL.
GRACE = 2.0


class Missing(FileNotFoundError):
    """The program itself is not there."""

    def __str__(self) -> str:
        return str(self.strerror)


@dataclass(frozen=True, slots=True)
class Result:
    """How a program ended: exit code and both streams, as bytes."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output without its last newline, undecodable bytes surrogate-escaped."""
        return os.fsdecode(self.stdout).removesuffix("\n")


class Child:
    """A running program. Its streams are memory files rather than pipes.

    A pipe ends only when its last writer does, and git leaves writers behind (an ssh
    master connection, `gc --auto`): reading to the end would wait for those.
    """

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[bytes, bytes],
        data: bytes | asyncio.Future[bytes] | None,
        pass_fds: Sequence[int],
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._progress = progress
        self._giver = -1
        with contextlib.ExitStack() as stack:
            self._out = _memory_file(stack, b"")
            self._err = _memory_file(stack, b"")
            given = self._standard_input(stack, data)
            try:
                self.process = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=env,
                    stdin=given,
                    stdout=self._out.fileno(),
                    stderr=self._err.fileno(),
                    start_new_session=True,
                    pass_fds=pass_fds,
                )
            except FileNotFoundError as error:
                # the same is raised for a working directory that is not there
                if error.filename != argv[0]:
                    raise
                raise Missing(error.errno, f"{argv[0]} is not installed, or not in the PATH", argv[0]) from None
            self._stack = stack.pop_all()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _standard_input(self, stack: contextlib.ExitStack, data: bytes | asyncio.Future[bytes] | None) -> int:
        if data is None:
            return subprocess.DEVNULL
        if isinstance(data, bytes):
            return _memory_file(stack, data).fileno()
        ours, self._giver = os.pipe()
        stack.callback(self._stop_giving)
        stack.callback(os.close, ours)
        return ours

    async def give(self, data: asyncio.Future[bytes]) -> None:
        """Pass ``data`` on when it is there, and then the end of input: a few lines, which the pipe has room for.

        Our own end for reading is open: a command that has ended already breaks no pipe.
        """
        await asyncio.wait([data])
        if not data.cancelled():
            os.write(self._giver, data.result())
        self._stop_giving()

    def _stop_giving(self) -> None:
        if self._giver >= 0:
            os.close(self._giver)
            self._giver = -1

    def wait(self, limit: float) -> bool:
        """Wait for the child's end, ``limit`` seconds at the most; returns whether it came.

        By its descriptor (pidfd_open(2)): Popen.wait with a limit sleeps for milliseconds between looks.
        """
        try:
            handle = os.pidfd_open(self.process.pid)
        except OSError:  # no descriptor is left
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(limit)
            return self.process.returncode is not None
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            ended = bool(poll.poll(limit * 1000))
        finally:
            os.close(handle)
        if ended:
            self.process.wait()
        return ended

    def end_now(self) -> None:
        """SIGTERM, after GRACE seconds SIGKILL, and wait."""
        self.terminate()
        self.wait(GRACE)
        self.kill()
        self.process.wait()

    async def exited(self) -> None:
        """Wait for the child's end, passing its progress on meanwhile."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        try:
            handle = os.pidfd_open(self.process.pid)
        except OSError:  # no descriptor is left
            while self.process.poll() is None:  # noqa: ASYNC110
                await asyncio.sleep(_WITHOUT_EVENT)
            return
        loop.add_reader(handle, _settle, done)
        ticks = loop.call_later(PROGRESS_AFTER, self._tick, loop, done) if self._progress is not None else None
        try:
            await done
        finally:
            loop.remove_reader(handle)
            os.close(handle)
            if ticks is not None:
                ticks.cancel()
        self.process.wait()

    def _tick(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
        if done.done():
            return
        lines = self._err.tail(_LONGEST_LINE).replace(b"\r", b"\n").split(b"\n")
        line = next((line for line in reversed(lines) if line.strip()), None)
        if line is not None and self._progress is not None:
            self._progress(os.fsdecode(line).strip())
        loop.call_later(PROGRESS_EVERY, self._tick, loop, done)

    async def end(self) -> None:
        """SIGTERM, after GRACE seconds SIGKILL, and wait."""
        if self.process.returncode is None:
            self.terminate()
            try:
                async with asyncio.timeout(GRACE):
                    await self.exited()
            except TimeoutError:
                self.kill()
                await self.exited()
        self.kill()

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def result(self) -> Result:
        """How the child, which has ended, did so."""
        return Result(self.process.returncode, self._out.content(), self._err.content())

    def _signal(self, number: int) -> None:
        # the child leads its own session, so its pid is the group's; hooks and transports belong to it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _MemoryFile:
    def __init__(self, data: bytes) -> None:
        self._descriptor = os.memfd_create("stream")
        if data:
            with os.fdopen(os.dup(self._descriptor), "wb") as file:
                file.write(data)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        # a hook that opens /dev/stderr anew writes from the beginning: what git says after it must not go over that
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, os.O_APPEND)

    def fileno(self) -> int:
        return self._descriptor

    def content(self) -> bytes:
        size = os.fstat(self._descriptor).st_size
        parts = bytearray()
        # a process that was left behind may empty it meanwhile: `echo > /dev/stderr` does
        while chunk := os.pread(self._descriptor, size - len(parts), len(parts)):
            parts += chunk
        return bytes(parts)

    def tail(self, length: int) -> bytes:
        """The last bytes."""
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, length, max(0, size - length))

    def close(self) -> None:
        os.close(self._descriptor)


def _memory_file(stack: contextlib.ExitStack, data: bytes) -> _MemoryFile:
    file = _MemoryFile(data)
    stack.callback(file.close)
    return file
