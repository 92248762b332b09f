"""The one place that runs git.

Every child (`child.py`) runs without a terminal and without prompts, with a time limit, and is ended
and waited for when it is cancelled or too slow. `Git.run` waits; `Git.call` is its twin
for asyncio. Paths and output are bytes or surrogate-escaped text: file names need not be UTF-8.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .child import Child, Result
from .masking import masked, masked_bytes

#: What to do where there is none.
HOW_TO_GET_GIT = "install git 2.38 or newer"
#: Seconds a git command may take unless the caller knows better.
LOCAL_LIMIT = 120.0
#: Seconds for commands that use the network or run the person's own hooks.
NETWORK_LIMIT = 3600.0

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
        with self._child(args, input, env, pass_fds) as child:
            try:
                ended = child.wait(limit)
            except BaseException:
                child.end_now()
                raise
            if not ended:
                child.end_now()
                raise GitTimeout(args, limit)
            return _checked(args, child.result(), check)

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
        with self._child(args, input, env, pass_fds, progress) as child:
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
            return _checked(args, child.result(), check)

    def _child(
        self,
        args: Sequence[str],
        data: bytes | asyncio.Future[bytes] | None,
        env: Mapping[str, str] | None,
        pass_fds: Sequence[int],
        progress: Callable[[str], None] | None = None,
    ) -> Child:
        given = _clean(os.environb) | {os.fsencode(k): os.fsencode(v) for k, v in (env or {}).items()}
        return Child(self.argv(args), self.cwd, given, data, pass_fds, progress)


def _checked(args: Sequence[str], result: Result, check: bool) -> Result:
    if check and result.code:
        raise GitError(args, result.code, result.stdout, result.stderr)
    return result
