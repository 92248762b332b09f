"""What every long-running service does alike: one per instance, stop on SIGTERM, tell systemd."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from . import locks
from .errors import EXIT_BUG, EXIT_OK, EXIT_PROBLEM, Problem
from .instance import Instance
from .systemd import ServiceManager

_log = logging.getLogger(__name__)
_STANDARD_ERROR = 2
_THREADS, _THREAD_NAME = 32, "looking"
#: Seconds that threads may go on when everything else has ended.
_LAST_GRACE = 1.0


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


def run_until_stopped(
    body: Callable[[], Awaitable[None]], manager: ServiceManager, on_reload: Callable[[], None] | None = None
) -> int:
    """Run ``body`` in a new event loop until it ends, or SIGTERM or SIGINT cancels it; returns 0.

    ``on_reload`` is called on SIGHUP. ``manager`` gets signs of life meanwhile, and hears of the end; that the service
    is ready is for the body to say.
    """
    # a service that hangs is ended by SIGABRT (WatchdogSignal=): say where it hung
    faulthandler.enable(_STANDARD_ERROR)

    async def supervise() -> None:
        loop = asyncio.get_running_loop()
        # each repository on a file system that hangs takes one for as long as that lasts
        threads = ThreadPoolExecutor(_THREADS, _THREAD_NAME)
        loop.set_default_executor(threads)
        task = asyncio.ensure_future(body())
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True
            manager.stopping()
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        if on_reload is not None:
            loop.add_signal_handler(signal.SIGHUP, on_reload)
        watchdog = asyncio.create_task(manager.watchdog(), name="watchdog")
        failed: Exception | None = None
        try:
            await task
        except asyncio.CancelledError:
            if not stopped:
                raise
        except Exception as error:
            failed = error
            raise
        finally:
            watchdog.cancel()
            await asyncio.gather(watchdog, return_exceptions=True)
            threads.shutdown(wait=False, cancel_futures=True)
            end = loop.time() + _LAST_GRACE
            while any(thread.name.startswith(_THREAD_NAME) for thread in threading.enumerate()):
                if loop.time() > end:
                    # Python itself would wait for them, and the file system that they wait for may never answer. All
                    # else has ended in order, and locks go with the process.
                    if failed is None:
                        os._exit(EXIT_OK)
                    _log.critical("the service ends", exc_info=failed)
                    os._exit(EXIT_PROBLEM if isinstance(failed, Problem) else EXIT_BUG)
                await asyncio.sleep(0.01)

    asyncio.run(supervise())
    return 0
