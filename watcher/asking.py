"""Asking the person for a commit message (`ask-message`).

One question at a time for a repository. Whoever does not answer within `ask-timeout` gets the default message: a
question never keeps a commit back for longer, and where nobody can be asked there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from autosync.common.desktop import Button, Desktop, Notice
from autosync.common.shell import typed

_log = logging.getLogger(__name__)
_MOST_CHARACTERS = 10_000


class Asking:
    """The question of one repository. ``wake`` is called when it is over; ``clock`` is in monotonic seconds."""

    def __init__(
        self, path: Path, desktop: Desktop, wake: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._desktop = desktop
        self._wake = wake
        self._clock = clock
        self._timeout: float | None = None
        self._deadline: float | None = None
        self._over = False
        self._task: asyncio.Task[None] | None = None
        #: What the person wrote for the next commit.
        self.given: str | None = None

    def use(self, timeout: float | None) -> None:
        """Ask, and wait for so many seconds; None: do not ask."""
        self._timeout = timeout

    @property
    def wanted(self) -> bool:
        """Whether what is ready to be committed is to be asked about first."""
        return self._timeout is not None and not self._over and self._desktop.there and self._in_time()

    @property
    def waits_until(self) -> float | None:
        """When the question that is open is over at the latest; None when there is none."""
        return self._deadline if self._deadline is not None and not self._over and self._in_time() else None

    @property
    def progress(self) -> str | None:
        """What the status says meanwhile."""
        until = self.waits_until
        if until is None:
            return None
        return f"waiting {until - self._clock():.0f} s for a message: {self._command}"

    def ask(self, summary: str) -> None:
        """Put the question for a commit that would say ``summary``."""
        if self._deadline is None and self._timeout is not None:
            self._deadline = self._clock() + self._timeout
            self._begin(self._show(summary))

    def describe(self, message: str) -> bool:
        """The person's message; whether a commit waits for one. An empty one means the default."""
        if self.waits_until is None:
            return False
        self.given = message.replace("\0", "").strip()[:_MOST_CHARACTERS] or None
        self._end()
        return True

    def done(self) -> None:
        """The commit is made, or is not needed any more: the next one gets a question of its own."""
        self._end()
        self._deadline, self._over, self.given = None, False, None

    def _in_time(self) -> bool:
        return self._deadline is None or self._clock() < self._deadline

    @property
    def _command(self) -> str:
        return f'autosync describe {typed(self._path)} "message"'

    @property
    def _key(self) -> str:
        return f"message {self._path}"

    def _end(self) -> None:
        if self._deadline is None or self._over:
            return
        self._over = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._desktop.withdraw(self._key)
        self._wake()

    def _declined(self) -> None:
        """The notice was closed. With its button that is the beginning of an answer."""
        if self._task is None or self._task.done():
            self.describe("")

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    async def _show(self, summary: str) -> None:
        capabilities = await self._desktop.capabilities()
        if capabilities is None:
            self.describe("")
            return
        rest = f"{summary}\nWithout a message it is committed like this in {self._timeout:.0f} seconds."
        title = f"{self._path.name}: what is this about?"
        if "inline-reply" in capabilities:
            notice = Notice(title, rest, reply=self._replied, closed=self._declined, waits=True)
        elif "actions" in capabilities and (dialog := _dialog()) is not None:
            button = Button("Write a message", lambda: self._open(dialog, summary))
            notice = Notice(title, rest, buttons=(button,), closed=self._closed_or_pressed, waits=True)
        else:
            notice = Notice(title, f"{rest}\n→ {self._command}", waits=True)
        self._desktop.show(self._key, notice)

    def _replied(self, text: str) -> None:
        self.describe(text)

    def _closed_or_pressed(self) -> None:
        # a press is heard of just before; what it starts, a moment after
        asyncio.get_running_loop().call_soon(self._declined)

    async def _open(self, dialog: Dialog, summary: str) -> None:
        self._begin(self._ask_by(dialog, summary))

    async def _ask_by(self, dialog: Dialog, summary: str) -> None:
        """Let the person type into a small dialog; closing it is an answer, too."""
        argv = dialog(f"{self._path.name}: what is this about?", summary)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            _log.warning("%s cannot be started (%s)", argv[0], error.strerror)
            self.describe("")
            return
        try:
            said, _ = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self.describe(said.decode(errors="replace"))


#: Makes the command line of a dialog from its title and a line of text; what it prints is the answer.
Dialog = Callable[[str, str], list[str]]


def _dialog() -> Dialog | None:
    """A program that lets the person type a line, where there is one and a screen to show it on."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return None
    if shutil.which("zenity"):
        return lambda title, text: [
            "zenity",
            "--entry",
            "--width=420",
            f"--title={title}",
            f"--text={_for_zenity(text)}",
        ]
    if shutil.which("kdialog"):
        return lambda title, text: ["kdialog", "--title", title, "--inputbox", text]
    return None


def _for_zenity(text: str) -> str:
    """A text in which zenity finds neither escapes nor a letter to be underlined."""
    return text.replace("\\", "\\\\").replace("_", "__")
