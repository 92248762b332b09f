"""A TCP proxy that can be cut, and that can fall silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Proxy:
    """Passes connections to ``port`` on 127.0.0.1, as an async context manager; ``self.port`` is its own.

    ``delay`` gives the seconds that the next piece of data takes.
    """

    def __init__(self, port: int, delay: Callable[[], float] = lambda: 0.0) -> None:
        self._target = port
        self._delay = delay
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        #: Everything that clients sent.
        self.seen = b""

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset all connections; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Nothing passes any more, in both directions, on old and new connections; none is closed."""
        self._flowing.clear()

    def flow(self) -> None:
        """Everything passes again, what waited too."""
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="proxy")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, back}
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, back, True), name="proxy")
                    group.create_task(self._pass(there, writer, False), name="proxy")
            finally:
                self._writers -= {writer, back}
                back.transport.abort()
        except* OSError:
            pass
        finally:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, from_client: bool) -> None:
        while data := await reader.read(65536):
            if from_client:
                self.seen += data
            await self._flowing.wait()
            await asyncio.sleep(self._delay())
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
