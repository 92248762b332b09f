"""What every long-running service does alike: one per instance, stop on SIGTERM, logs on standard error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator

from . import locks
from .errors import Problem
from .instance import Instance

# sd-daemon(3): the journal reads a line's priority from such a prefix
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def set_up_logging(verbose: bool = False) -> None:
    """Log to standard error: with priorities for the journal where it reads, with times elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    if os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # slixmpp logs each stanza, with what is in it, at debug level
    logging.getLogger("slixmpp").setLevel(logging.ERROR)


@contextlib.contextmanager
def only_one(instance: Instance, service: str) -> Iterator[None]:
    """Hold the lock that makes this the only ``service`` of the instance. Raises Problem.

    A Problem that comes from within says that the service does not run for it.
    """
    try:
        descriptor = locks.acquire(instance.lock(service))
    except locks.Held as held:
        who = f", as process {held.pid}" if held.pid else ""
        raise Problem(
            f"autosync-{service} is running already for {instance.config}{who}",
            "stop that one first, or name another file with --config",
        ) from None
    try:
        yield
    except Problem as problem:
        raise Problem(f"the {service} does not run: {problem.what}", problem.remedy) from problem
    finally:
        locks.release(descriptor)


def run_until_stopped(body: Callable[[], Awaitable[None]], on_reload: Callable[[], None] | None = None) -> int:
    """Run ``body`` in a new event loop until it ends, or SIGTERM or SIGINT cancels it; returns 0.

    ``on_reload`` is called on SIGHUP.
    """

    async def supervise() -> None:
        task = asyncio.ensure_future(body())
        loop = asyncio.get_running_loop()
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        if on_reload is not None:
            loop.add_signal_handler(signal.SIGHUP, on_reload)
        try:
            await task
        except asyncio.CancelledError:
            if not stopped:
                raise

    asyncio.run(supervise())
    return 0
