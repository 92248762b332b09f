"""One run of the person's ssh, and the lines that come and go through it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from types import TracebackType

from autosync.common.git import clean_environment

from .. import ssh_protocol
from ..failures import Kind
from ..remote import Place
from ..ssh_protocol import Hello, Ping, Pong, Refused, Report, Unwatch, Watch
from .bounded_file import bounded_file

#: Seconds for the login and the far side's first line.
LOGIN = 30.0
# Seconds for ssh to end when it is asked to.
_FAREWELL = 1.0
# Lines that a far side's shell may print before ours begins.
_CHATTER = 100
# Bytes of ssh's words that are kept, the first ones.
_WORDS = 16 * 1024

# The connection is ours alone: a master that the person's other ssh runs share must not end with it. 15 + 15 seconds
# without a sign of life end it.
_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=1",
    "ControlMaster=no",
    "ControlPath=none",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RequestTTY=no",
    "LogLevel=ERROR",
)
# Works in whatever login shell; install.sh puts commands where a login that is not interactive does not look.
_FAR_SIDE = "sh -c 'PATH=\"$PATH:$HOME/.local/bin\"; export PATH; exec autosync-relay --listen-refs'"
# ssh's own failures end with this code (ssh(1)); a far side's with others.
_SSH_FAILED = 255
_REFUSED = ("permission denied", "host key verification failed", "too many authentication failures")


class Trouble(Exception):
    """Why there is no connection. ``absent``: the server is there, and has no autosync."""

    def __init__(
        self, what: str, remedy: str = "tried again by itself", kind: Kind = Kind.OFFLINE, absent: bool = False
    ) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.kind = kind
        self.absent = absent


def argv(place: Place) -> list[str]:
    """The command line, as git makes it (connect.c): the person's command is the shell's to read."""
    options = [word for option in _OPTIONS for word in ("-o", option)]
    if place.port is not None:
        options += ["-p", str(place.port)]
    words = [*options, place.destination, _FAR_SIDE]
    if place.command is not None:
        return ["sh", "-c", f'{place.command} "$@"', place.command, *words]
    return [os.environ.get("GIT_SSH") or "ssh", *words]


class Line:
    """A running ssh. Use as an async context manager: nothing of it is left afterwards. Entering raises Trouble."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._words = bounded_file(_WORDS)
        self._killed: str | None = None
        #: Set when a ping is answered.
        self.answered = asyncio.Event()

    async def __aenter__(self) -> Line:
        # a pair of sockets rather than pipes: ours can be closed whoever ssh leaves behind
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *argv(self._place),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._words.fileno(),
                env=clean_environment(),
                start_new_session=True,
            )
            try:
                self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=ssh_protocol.LINE_LIMIT)
            except BaseException:
                self._signal(signal.SIGKILL)
                await self._process.wait()
                raise
        except BaseException as error:
            ours.close()
            self._words.close()
            if isinstance(error, OSError):
                raise Trouble(f"ssh cannot be started ({error.strerror})", kind=Kind.MISSING) from None
            raise
        finally:
            theirs.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._words.close()
        self._writer.transport.abort()
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    async def hello(self) -> Hello:
        """Wait for the far side's first line. Raises Trouble."""
        try:
            async with asyncio.timeout(LOGIN):
                for _ in range(_CHATTER):
                    answer = ssh_protocol.parse_answer(await self._line())
                    if isinstance(answer, Hello):
                        return answer
        except TimeoutError:
            raise Trouble(f"{self._place} did not answer in {LOGIN:g} seconds") from None
        raise Trouble(f"{self._place} says something else", absent=True)

    async def answer(self) -> Hello | Report | Refused | Pong | None:
        """The next line, None for one that means nothing. Raises Trouble when there will be none."""
        return ssh_protocol.parse_answer(await self._line())

    def send(self, said: Watch | Unwatch | Ping) -> None:
        """Send a line."""
        if not self._writer.is_closing():
            self._writer.write(ssh_protocol.write(said))

    def kill(self, reason: str) -> None:
        """Give the connection up."""
        self._killed = reason
        self._signal(signal.SIGKILL)

    async def _line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            raise await self._reason() from None
        except asyncio.LimitOverrunError:
            raise Trouble(f"{self._place} sends lines that are too long", absent=True) from None

    async def _reason(self) -> Trouble:
        """Why ssh has ended, or has closed what we read."""
        if self._killed is not None:
            return Trouble(self._killed)
        try:
            async with asyncio.timeout(_FAREWELL):
                code = await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            code = await self._process.wait()
        self._words.seek(0)
        words = self._words.read(_WORDS).partition(b"\0")[0].decode(errors="replace").strip().splitlines()
        said = _telling(words)
        if code != _SSH_FAILED:
            return Trouble(f"{self._place} has no autosync that listens ({said})", absent=True)
        if refusal := _refusal(words):
            return Trouble(
                f"{self._place} does not let us in ({refusal})",
                f"check that this works without a question: ssh -o BatchMode=yes {self._place.destination}",
                Kind.AUTH,
            )
        if not words:  # what is silent for too long is given up so
            return Trouble(f"the ssh connection to {self._place} was lost")
        return Trouble(f"{self._place} cannot be reached by ssh ({said})")

    def _signal(self, number: int) -> None:
        # it leads a session of its own, and may have started a proxy
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _refusal(words: Sequence[str]) -> str | None:
    """Why we are not let in. A host in between that does not let us in (ProxyJump) is not the last to say something."""
    refused = [line for line in words if any(sign in line.lower() for sign in _REFUSED)]
    return _telling(refused) if refused else None


def _telling(words: Sequence[str]) -> str:
    """The last of ssh's lines, printable; what it says before may be the server's banner."""
    line = words[-1].strip() if words else "no reason given"
    return "".join(c if c.isprintable() else "?" for c in line)[:200]
