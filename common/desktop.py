"""What is shown on the desktop (org.freedesktop.Notifications), where there is one: what, when and how often.

A notice never delays work and never fails it: it is shown by a task of its own, under a time limit, and
a desktop that is not there is worth one line in the log. The bus is held only while a notice of ours is on the
screen, so a service with nothing to say is never woken by what others show.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .session import session_bus

if TYPE_CHECKING:
    from .notifications import NotificationServer, Shown

_log = logging.getLogger(__name__)
#: Seconds a notification server may take.
_LIMIT = 5.0
#: At most so many notices in so many seconds, and a few more for critical ones and questions; the others wait.
_MOST, _MOST_CRITICAL, _WINDOW = 4, 8, 60.0
#: Seconds that the last things may take when a service stops.
_LAST_WORDS = 1.0
_ICON = Path(__file__).with_name("icon.svg")

#: `critical` stays until it is dealt with, `low` may be missed.
Urgency = Literal["low", "normal", "critical"]
_LEVELS: dict[Urgency, int] = {"low": 0, "normal": 1, "critical": 2}


@dataclass(frozen=True, slots=True)
class Button:
    """A button; a press runs ``press`` in the event loop."""

    label: str
    press: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell a person. ``click`` is what a click beside the buttons does, the first button if not given.
    ``reply``, where the server has a field for it, gets what the person types;
    ``closed`` is called when the person is done with the notice in any way, a press and a reply included;
    ``waits``: it stays until then, as a critical one does, and does not vanish after some seconds."""

    title: str
    text: str = ""
    urgency: Urgency = "normal"
    buttons: tuple[Button, ...] = ()
    reply: Callable[[str], None] | None = None
    closed: Callable[[], None] | None = None
    click: Button | None = None
    waits: bool = False

    @property
    def clicked(self) -> Button | None:
        """What a click beside the buttons does."""
        return self.click or (self.buttons[0] if self.buttons else None)


class Desktop:
    """Shows notices. ``clock`` is in monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        #: Whether the person wants notices at all.
        self.wanted = True
        self._clock = clock
        self._shown_at: deque[float] = deque()
        self._waiting: dict[str, Notice | None] = {}
        self._open: dict[str, tuple[int, Notice]] = {}
        self._server: NotificationServer | None = None
        self._work: asyncio.Task[None] | None = None
        self._pressed: set[asyncio.Task[None]] = set()
        self._complained = False
        self._early: list[Shown] | None = None
        self._news = asyncio.Event()
        self._connecting = asyncio.Lock()

    def show(self, key: str, notice: Notice) -> None:
        """Show a notice, in the place of an earlier one with the same ``key``. Returns at once; call it in a running
        loop. Without a session bus it does nothing; when there were many just now, the newest of each key
        is shown later."""
        if not self.there:
            return
        self._waiting.pop(key, None)
        self._waiting[key] = notice
        self._begin()

    def withdraw(self, key: str) -> None:
        """Take a notice away: what it told is not the case any more."""
        self._waiting.pop(key, None)
        if key in self._open:
            self._waiting[key] = None
            self._begin()

    @property
    def there(self) -> bool:
        """Whether there is somebody to show anything to: notices are wanted, and there is a session bus."""
        return self.wanted and session_bus() is not None

    async def capabilities(self) -> frozenset[str] | None:
        """What the server can do (`actions`, `inline-reply` ...); None where no server answers."""
        try:
            async with asyncio.timeout(_LIMIT):
                found = (await self._connected()).capabilities
        except Exception as error:  # noqa: BLE001 - whatever a desktop does, the work goes on
            await self._failed(error)
            return None
        await self._let_go_when_idle()
        return found

    async def show_files(self, paths: Sequence[Path]) -> None:
        """Let the file manager show files in their folder."""
        await self._manage(paths, folders=False)

    async def open_folder(self, path: Path) -> None:
        """Let the file manager show a folder."""
        await self._manage([path], folders=True)

    async def close(self) -> None:
        """Take away what has buttons that nobody would serve any more, and let go of the bus."""
        for task in (self._work, *self._pressed):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        self._waiting.clear()
        with contextlib.suppress(Exception):  # the bus may have gone with the session
            async with asyncio.timeout(_LAST_WORDS):
                for number, notice in list(self._open.values()):
                    if self._server is not None and (notice.buttons or notice.reply):
                        await self._server.close_notification(number)
        await self._let_go()

    # showing -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._news.set()
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._show_all(), name="desktop")

    async def _show_all(self) -> None:
        while self._waiting:
            pause, key = self._next()
            if pause > 0:
                # what comes meanwhile may be more urgent
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()
                continue
            notice = self._waiting.pop(key)
            try:
                async with asyncio.timeout(_LIMIT):
                    await self._show(key, notice)
                self._complained = False
            except Exception as error:  # noqa: BLE001 - whatever a desktop does, the work goes on
                await self._failed(error)
        await self._let_go_when_idle()

    def _next(self) -> tuple[float, str]:
        """What is to be shown next, and the seconds until it may be."""
        now = self._clock()
        while self._shown_at and now - self._shown_at[0] > _WINDOW:
            self._shown_at.popleft()
        best = float("inf"), ""
        for key, notice in self._waiting.items():
            # somebody waits for an answer to a question
            pressing = notice is not None and (notice.urgency == "critical" or notice.waits)
            most = _MOST_CRITICAL if pressing else _MOST
            # taking away is no noise
            free = notice is None or len(self._shown_at) < most
            pause = 0.0 if free else self._shown_at[len(self._shown_at) - most] + _WINDOW - now
            best = min(best, (max(pause, 0.0), key), key=lambda found: found[0])
        return best

    async def _show(self, key: str, notice: Notice | None) -> None:
        server = await self._connected()
        number, _ = self._open.get(key, (0, None))
        if notice is None:
            self._open.pop(key, None)
            await server.close_notification(number)
            return
        self._shown_at.append(self._clock())
        from dbus_fast import Variant

        hints = {"urgency": Variant("y", _LEVELS[notice.urgency])}
        actions: list[tuple[str, str]] = []
        if "actions" in server.capabilities:
            actions += [(str(n), button.label) for n, button in enumerate(notice.buttons)]
            if notice.clicked is not None and server.clickable:
                actions.insert(0, ("default", notice.clicked.label))
        if notice.reply is not None and "inline-reply" in server.capabilities:
            actions.append(("inline-reply", "Reply"))
            hints["x-kde-reply-submit-button-text"] = Variant("s", "OK")
            hints["x-kde-reply-placeholder-text"] = Variant("s", "A message for this commit")
        title = _printable(" ".join(notice.title.split()))
        self._early = []
        stays = notice.waits or notice.urgency == "critical"
        shown = await server.notify(number, _ICON.as_uri(), title, _printable(notice.text), actions, hints, stays)
        self._open[key] = shown, notice
        # a server may close it at once, and says so before this task goes on
        early, self._early = self._early, None
        for event in early:
            self._heard(event)

    async def _connected(self) -> NotificationServer:
        async with self._connecting:
            if self._server is None or not self._server.connected:
                # imported when first needed: it takes time, and servers never need it
                from .notifications import NotificationServer

                address = session_bus()
                if address is None:
                    raise ConnectionError("there is no session bus")
                await self._let_go()
                self._server = await NotificationServer.connect(address, self._heard)
            return self._server

    async def _failed(self, error: Exception) -> None:
        if not self._complained:
            _log.warning("no desktop notification could be shown (%s: %s)", type(error).__name__, error)
            self._complained = True
        # the bus may be another one after the next log-in
        await self._let_go()

    async def _let_go_when_idle(self) -> None:
        if not self._open and not self._waiting and not self._pressed:
            await self._let_go()

    async def _let_go(self) -> None:
        server, self._server = self._server, None
        self._open.clear()
        if server is not None:
            await server.disconnect()

    # what persons do ---------------------------------------------------------------------------------

    def _heard(self, shown: Shown) -> None:
        if shown.number == 0:
            self._open.clear()
            self._begin()
        key = next((key for key, (number, _) in self._open.items() if number == shown.number), None)
        if key is None:
            if self._early is not None:
                self._early.append(shown)
            return
        # what is acted upon is dealt with
        _, notice = self._open.pop(key)
        if shown.reply is not None and notice.reply is not None:
            notice.reply(shown.reply)
        button = _button(notice, shown.action)
        if button is not None:
            self._pressed.add(asyncio.get_running_loop().create_task(self._press(button, shown.number)))
        if notice.closed is not None:
            notice.closed()
        self._begin()

    async def _press(self, button: Button, number: int) -> None:
        try:
            await button.press()
            # most servers have taken it away themselves, not all
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_LIMIT):
                    await (await self._connected()).close_notification(number)
        except Exception as error:  # noqa: BLE001 - a button that fails must not end the service
            _log.warning("%s: %s", button.label, error)
        finally:
            self._pressed = {task for task in self._pressed if task is not asyncio.current_task()}
        self._begin()

    async def _manage(self, paths: Sequence[Path], *, folders: bool) -> None:
        from .notifications import ERRORS

        try:
            async with asyncio.timeout(_LIMIT):
                await (await self._connected()).show_files(paths, folders=folders)
        except ERRORS as error:
            folder = paths[0] if folders else paths[0].parent
            # no file manager on the bus: what the desktop has for folders; setsid(1) forks, so that it outlives us
            process = await asyncio.create_subprocess_exec(
                "setsid",
                "--fork",
                "xdg-open",
                folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            if await process.wait():
                _log.warning("%s cannot be shown (%s)", folder, error)


def _button(notice: Notice, action: str | None) -> Button | None:
    if action == "default":
        return notice.clicked
    if action is None or not action.isdecimal() or int(action) >= len(notice.buttons):
        return None
    return notice.buttons[int(action)]


def _printable(text: str) -> str:
    """Text for D-Bus, which takes UTF-8 only: other bytes of file names as escapes."""
    return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="backslashreplace").replace("\0", "")
