"""The control socket: how `autosync` talks to a running watcher or relay on the same machine.

A unix socket (mode 0600, in a folder of mode 0700). The client sends one JSON object on a line,
`{"command": NAME, ...}`; the server answers with lines of JSON: any number of `{"progress": TEXT}`,
then one `{"result": ...}` or `{"error": TEXT, "remedy": TEXT}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import Problem, bug

_log = logging.getLogger(__name__)
#: Longest request, in bytes.
REQUEST_LIMIT = 64 * 1024
#: Longest line of an answer, in bytes.
ANSWER_LIMIT = 64 * 1024 * 1024

#: A command: gets the request and a function that reports progress; its result is sent as JSON.
Handler = Callable[[dict[str, Any], Callable[[str], None]], Awaitable[Any]]


class NotRunning(Problem):
    """Nobody listens on the socket."""


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for ``path`` that fits the 108 bytes of a unix socket address (unix(7))."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class ControlServer:
    """Serves ``handlers`` (by command name) on the socket at ``path``; ``reports`` is the folder for reports of bugs.

    Use as an async context manager, while holding the service's lock: a socket left by a killed process is
    replaced."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler], reports: Path) -> None:
        self._path = path
        self._handlers = handlers
        self._reports = reports
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ControlServer:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            with _short(self._path) as name:
                listener.bind(name)
            self._path.chmod(0o600)
            self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=REQUEST_LIMIT)
        except BaseException:
            listener.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(message: dict[str, Any]) -> None:
            if not writer.is_closing():
                writer.write(json.dumps(message).encode() + b"\n")

        try:
            if _peer_uid(writer) not in (os.getuid(), 0):
                return
            async with asyncio.timeout(10):
                line = await reader.readuntil(b"\n")
            send(await self._answer(line, send))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, line: bytes, send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["command"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {
                "error": "this command is not known here",
                "remedy": "is a newer autosync installed? restart the service",
            }
        try:
            return {"result": await handler(request, lambda text: send({"progress": text}))}
        except Problem as problem:
            return {"error": problem.what, "remedy": problem.remedy}
        except Exception as error:  # noqa: BLE001 - one bad request must not end the service
            found = bug(error, self._reports)
            _log.error("control command %s failed: %s", request["command"], found)
            return {"error": found.what, "remedy": found.remedy}


async def ask(
    path: Path,
    command: str,
    *,
    progress: Callable[[str], None] = lambda _: None,
    limit: float | None = 10.0,
    **arguments: Any,
) -> Any:
    """Send one command and return its result. Raises NotRunning, or Problem with the service's words.

    ``limit`` is in seconds; None waits for as long as the service works.
    """
    try:
        async with asyncio.timeout(limit), _connected(path) as (reader, writer):
            writer.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            await writer.drain()
            while line := await reader.readline():
                answer = json.loads(line)
                if "progress" in answer:
                    progress(answer["progress"])
                elif "error" in answer:
                    raise Problem(answer["error"], answer.get("remedy"))
                else:
                    return answer["result"]
    except TimeoutError:
        raise Problem(f"the service at {path} does not answer", "see its log, or restart it") from None
    except ConnectionError:
        pass
    raise NotRunning(f"the service at {path} ended before it answered", "start it again")


@contextlib.asynccontextmanager
async def _connected(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        with _short(path) as name:
            reader, writer = await asyncio.open_unix_connection(name, limit=ANSWER_LIMIT)
    except OSError:
        raise NotRunning(f"nothing listens on {path}", "start the service") from None
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])
