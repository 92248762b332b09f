"""Two kinds of work on a row of things, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

_T = TypeVar("_T")
_U = TypeVar("_U")


async def overlapped(
    things: Iterable[_T], prepare: Callable[[_T], Awaitable[_U]], act: Callable[[_U], Coroutine[Any, Any, None]]
) -> None:
    """``act`` on each prepared thing, one after the other; meanwhile the next one is prepared.

    What either raises ends it all; nothing is left running.
    """
    acting: asyncio.Task[None] | None = None
    try:
        for thing in things:
            prepared = await prepare(thing)
            if acting is not None:
                await acting
            acting = asyncio.create_task(act(prepared))
        if acting is not None:
            await acting
    finally:
        if acting is not None and not acting.done():
            acting.cancel()
            with suppress(asyncio.CancelledError):
                await acting
