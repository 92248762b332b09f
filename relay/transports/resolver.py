"""The addresses of a host, by the system's resolver."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading


async def addresses(host: str, limit: float) -> list[str]:
    """Each once, in the resolver's order. Raises TimeoutError after ``limit`` seconds, OSError for a name that is none
    or that nobody knows.

    In a thread of its own and not the loop's: that one would be waited for at the end, and without a network a name
    server's silence takes long.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def look_up() -> None:
        found: list[str] | OSError
        try:
            found = list(dict.fromkeys(str(a[4][0]) for a in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)))
        except UnicodeError:  # a label of the name is empty or too long
            found = OSError(0, "not a host name")
        except OSError as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=look_up, name="autosync-resolve", daemon=True).start()
    async with asyncio.timeout(limit):
        return await answer
