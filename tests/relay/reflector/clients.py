"""Plain clients of a reflector, as a person with netcat would be one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.wait import DEADLINE


class Plain:
    """Sends lines as they are and collects what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\n" for line in lines).encode())

    async def line(self) -> str:
        """The next line without its LF; empty at the end."""
        async with asyncio.timeout(DEADLINE):
            return (await self.reader.readline()).decode(errors="replace").removesuffix("\n")

    async def lines(self) -> list[str]:
        """All lines up to the answer to a ping sent now, without it: what the server had to say so far."""
        self.send("ping")
        found = []
        while not (line := await self.line()).isdigit():
            assert line, "the server closed the connection"
            found.append(line)
        return found

    async def ended(self) -> bool:
        """Whether the server ends the connection."""
        try:
            async with asyncio.timeout(DEADLINE):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            pass
        return True


@asynccontextmanager
async def plain(port: int, greeted: bool = True, **options: object) -> AsyncIterator[Plain]:
    """A connection; ``greeted``: the server's first line has been read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    try:
        client = Plain(reader, writer)
        if greeted:
            assert await client.line() == "debug!connected..."
        yield client
    finally:
        writer.transport.abort()
        try:
            await writer.wait_closed()
        except (ConnectionError, OSError):
            pass
