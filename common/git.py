"""The one place that runs git.

Every child runs without a terminal and without prompts, in a session of its
own, with a time limit, and is ended (SIGTERM, then SIGKILL to its whole group)
and waited for when it is cancelled or too slow. `Git.run` waits; `Git.call` is its twin
for asyncio. Paths and output are bytes or surrogate-escaped text: file names need not be UTF-8.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .masking import masked, masked_bytes

#: Seconds a git command may take unless the caller knows better.
LOCAL_LIMIT = 120.0
#: Seconds for commands that use the network or run the person's own hooks.
NETWORK_LIMIT = 3600.0
#: Seconds that a command may take before its progress is looked at, and between two looks.
PROGRESS_AFTER, PROGRESS_EVERY = 1.0, 0.5
_LONGEST_LINE = 1024
_WITHOUT_EVENT = 0.01
#: Seconds between SIGTERM and SIGKILL.
GRACE = 2.0

# A service started from a hook, or a person's shell, must not carry its GIT_DIR, GIT_INDEX_FILE or
# GIT_AUTHOR_DATE into other repositories; `git rev-parse --local-env-vars` does not name them all,
# so everything goes but settings of how to reach servers and which configuration to read.
_KEPT = frozenset(
    {
        b"GIT_SSH",
        b"GIT_SSH_COMMAND",
        b"GIT_SSH_VARIANT",
        b"GIT_SSL_CAINFO",
        b"GIT_SSL_CAPATH",
        b"GIT_SSL_CERT",
        b"GIT_SSL_KEY",
        b"GIT_SSL_NO_VERIFY",
        b"GIT_PROXY_COMMAND",
        b"GIT_CONFIG_GLOBAL",
        b"GIT_CONFIG_SYSTEM",
        b"GIT_CONFIG_NOSYSTEM",
        b"GIT_EXEC_PATH",
        b"GIT_ALLOW_PROTOCOL",
    }
)
_FIXED = {
    b"GIT_TERMINAL_PROMPT": b"0",
    b"GIT_ASKPASS": b"",  # empty and set: git asks no helper, not core.askPass either
    b"SSH_ASKPASS_REQUIRE": b"never",
    b"GIT_EDITOR": b":",
    b"GIT_OPTIONAL_LOCKS": b"0",  # looking never takes index.lock away from a person
    b"LC_ALL": b"C.UTF-8",  # messages are read by rules
    b"LANGUAGE": b"",
}


class GitError(Exception):
    """A git command that failed: shows command, exit code and both streams, without logins in URLs."""

    def __init__(self, args: Sequence[str], code: int, stdout: bytes, stderr: bytes) -> None:
        self.args_run = tuple(map(masked, args))
        self.code = code
        self.stdout = masked_bytes(stdout)
        self.stderr = masked_bytes(stderr)
        super().__init__(self.args_run, code)

    @property
    def message(self) -> str:
        """What git said on standard error, as text."""
        return os.fsdecode(self.stderr).strip()

    def __str__(self) -> str:
        said = "; ".join(filter(None, (os.fsdecode(self.stdout).strip()[-500:], self.message[-2000:])))
        return f"git {shlex.join(self.args_run)} ended with {self.code}: {said or 'no message'}"


class GitTimeout(GitError):
    """A git command that was ended because its time was over."""

    def __init__(self, args: Sequence[str], limit: float) -> None:
        super().__init__(args, -signal.SIGKILL, b"", f"ended after {limit:g} seconds".encode())
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Result:
    """How a git command ended: exit code and both streams, as bytes."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output without its last newline, undecodable bytes surrogate-escaped."""
        return os.fsdecode(self.stdout).removesuffix("\n")


def clean_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a git child: ``base`` (default: ours) without GIT_*, but for an allow-list."""
    source = os.environb if base is None else {os.fsencode(k): os.fsencode(v) for k, v in base.items()}
    return {os.fsdecode(k): os.fsdecode(v) for k, v in _clean(source).items()}


def _clean(source: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    # in bytes, as the system has it: for every child all of it would be decoded, and encoded again
    kept = {k: v for k, v in source.items() if not k.startswith(b"GIT_") or k in _KEPT}
    kept.pop(b"SSH_ASKPASS", None)
    return kept | _FIXED


def split(data: bytes) -> list[str]:
    """The fields of NUL-terminated output (`-z`), as surrogate-escaped text."""
    return [os.fsdecode(field) for field in data.split(b"\0")[:-1]] if data else []


@dataclass(frozen=True, slots=True)
class Git:
    """git, to be run for one repository: in a work tree (``cwd``) or on a git directory, perhaps with another
    ``work_tree`` than its own."""

    cwd: Path
    git_dir: Path | None = None
    config: tuple[str, ...] = ()
    work_tree: Path | None = None

    def with_config(self, *settings: str) -> Git:
        """The same with more ``key=value`` settings for every command."""
        return replace(self, config=self.config + settings)

    def argv(self, args: Sequence[str]) -> list[str]:
        """The whole command line for ``args``."""
        words = ["git"]
        if self.git_dir is not None:
            words.append(f"--git-dir={self.git_dir}")
        if self.work_tree is not None:
            words.append(f"--work-tree={self.work_tree}")
        for setting in self.config:
            words += ["-c", setting]
        return words + list(args)

    def run(
        self,
        *args: str,
        input: bytes | None = None,
        check: bool = True,
        limit: float = LOCAL_LIMIT,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Result:
        """Run git and wait. Raises GitError (when ``check``), GitTimeout, OSError."""
        with _Child(self, args, input, env, pass_fds) as child:
            try:
                ended = child.wait(limit)
            except BaseException:
                child.end_now()
                raise
            if not ended:
                child.end_now()
                raise GitTimeout(args, limit)
            return child.result(check)

    async def call(
        self,
        *args: str,
        input: bytes | asyncio.Future[bytes] | None = None,
        check: bool = True,
        limit: float = LOCAL_LIMIT,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        progress: Callable[[str], None] | None = None,
    ) -> Result:
        """Run git from asyncio. ``progress`` gets the newest line of standard error now and then, once the
        command has taken a second: a quick one is not looked at. A future ``input`` is given to the command when it is
        there, and git starts meanwhile; one that is cancelled is no input.

        Raises GitError (when ``check``), GitTimeout, OSError; cancelling ends the child first.
        """
        with _Child(self, args, input, env, pass_fds, progress) as child:
            try:
                async with asyncio.timeout(limit):
                    if isinstance(input, asyncio.Future):
                        await child.give(input)
                    await child.exited()
            except BaseException as error:
                # shielded: a second cancellation must not leave the child running
                await asyncio.shield(child.end())
                if isinstance(error, TimeoutError):
                    raise GitTimeout(args, limit) from None
                raise
            return child.result(check)


class _Child:
    """A running git. Its streams are memory files rather than pipes.

    A pipe ends only when its last writer does, and git leaves writers behind (an ssh
    master connection, `gc --auto`): reading to the end would wait for those.
    """

    def __init__(
        self,
        git: Git,
        args: Sequence[str],
        data: bytes | asyncio.Future[bytes] | None,
        env: Mapping[str, str] | None,
        pass_fds: Sequence[int],
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.args_run = args
        self._progress = progress
        self._giver = -1
        with contextlib.ExitStack() as stack:
            self._out = _memory_file(stack, b"")
            self._err = _memory_file(stack, b"")
            given = self._standard_input(stack, data)
            self.process = subprocess.Popen(
                git.argv(args),
                cwd=git.cwd,
                env=_clean(os.environb) | {os.fsencode(k): os.fsencode(v) for k, v in (env or {}).items()},
                stdin=given,
                stdout=self._out.fileno(),
                stderr=self._err.fileno(),
                start_new_session=True,
                pass_fds=pass_fds,
            )
            self._stack = stack.pop_all()

    def __enter__(self) -> _Child:
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

    def result(self, check: bool) -> Result:
        """What the ended child left. Raises GitError for a failure when ``check``."""
        code = self.process.returncode
        result = Result(code, self._out.content(), self._err.content())
        if check and code:
            raise GitError(self.args_run, code, result.stdout, result.stderr)
        return result

    def _signal(self, number: int) -> None:
        # the child leads its own session, so its pid is the group's; hooks and transports belong to it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _MemoryFile:
    def __init__(self, data: bytes) -> None:
        self._descriptor = os.memfd_create("git")
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
