"""Two pieces of work side by side, neither of which outlives the other's end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")
_U = TypeVar("_U")


@contextlib.asynccontextmanager
async def alongside(work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Run ``work`` while the block runs, and wait for its end after it. What either raises ends both."""
    task = asyncio.create_task(work)
    try:
        yield
        await task
    finally:
        await _end(task)


async def overlapped(
    things: Iterable[_T], prepare: Callable[[_T], Awaitable[_U]], act: Callable[[_U], Coroutine[Any, Any, None]]
) -> None:
    """``act`` on each prepared thing, one after the other; meanwhile the next one is prepared."""
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
        if acting is not None:
            await _end(acting)


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # looked at: what ended the other one is what counts
