"""Desktop notifications (org.freedesktop.Notifications), where there is a desktop.

A notice never delays work and never fails it: it is shown by a task of its own, under a time limit, and
a desktop that is not there is worth one line in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
# it logs each failure with a traceback; ours is one line, once
logging.getLogger("desktop_notifier").setLevel(logging.CRITICAL)
#: Seconds a notification server may take.
_LIMIT = 5.0
#: At most so many notices in so many seconds; more is noise.
_MOST, _WINDOW = 6, 60.0


def session_bus() -> bool:
    """Whether there is a session bus to talk to."""
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if address:
        return True
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        return bool(folder) and stat.S_ISSOCK(Path(folder, "bus").stat().st_mode)
    except OSError:
        return False


class Desktop:
    """Shows notices. ``clock`` is in monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._notifier: Any = None
        self._current: dict[str, str] = {}
        self._complained = False
        self._turn = asyncio.Lock()

    def show(self, key: str, title: str, text: str, *, urgent: bool = False) -> None:
        """Show a notice, in place of an earlier one with the same ``key``. Returns at once; call it in a running
        loop. Without a session bus it does nothing; one that is not urgent is dropped when there were many."""
        now = self._clock()
        while self._shown and now - self._shown[0] > _WINDOW:
            self._shown.popleft()
        if not session_bus() or (len(self._shown) >= _MOST and not urgent):
            return
        self._shown.append(now)
        task = asyncio.get_running_loop().create_task(self._show(key, title, text, urgent))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is being shown, and let go of the bus."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for task in self._tasks:
            task.cancel()
        await self._let_go()

    async def _show(self, key: str, title: str, text: str, urgent: bool) -> None:
        try:
            # imported when first needed: it takes a quarter of a second, and servers never need it
            from desktop_notifier import DesktopNotifier, Icon, Urgency

            # one after the other: the library would open a connection for each
            async with self._turn, asyncio.timeout(_LIMIT):
                if self._notifier is None:
                    self._notifier = DesktopNotifier("autosync", Icon(name="folder-sync"))
                with contextlib.suppress(KeyError):
                    await self._notifier.clear(self._current.pop(key))
                urgency = Urgency.Critical if urgent else Urgency.Normal
                shown = await self._notifier.send(_one_line(title), text, urgency=urgency)
                # the library logs what went wrong and goes on
                if shown not in await self._notifier.get_current_notifications():
                    raise OSError("the notification server did not take it")  # noqa: TRY301
                self._current[key] = shown
            self._complained = False
        except Exception as error:  # noqa: BLE001 - whatever a desktop does, the work goes on
            if not self._complained:
                _log.warning("no desktop notification could be shown (%s: %s)", type(error).__name__, error)
                self._complained = True
            # the bus may be another one after the next log-in
            await self._let_go()

    async def _let_go(self) -> None:
        notifier, self._notifier = self._notifier, None
        self._current.clear()
        bus = getattr(getattr(notifier, "_backend", None), "bus", None)
        if bus is not None:
            bus.disconnect()
            with contextlib.suppress(TimeoutError, OSError, EOFError):
                async with asyncio.timeout(1.0):
                    await bus.wait_for_disconnect()


def _one_line(text: str) -> str:
    return " ".join(text.split())
