"""A place through which all are told at once: entered, kept, entered again."""

from __future__ import annotations

import abc
import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ..announcement import Announcement
from ..failures import Backoff
from .xmpp_stanza import error_condition
from .xmpp_trouble import Trouble

if TYPE_CHECKING:
    from .xmpp_client import Connection

_log = logging.getLogger(__name__)

#: Seconds for one answer.
ANSWER = 10.0
#: Seconds between two checks that we are still in.
CHECK = 300.0


class Channel(abc.ABC):
    """``changed`` is called when it opens or closes."""

    def __init__(self, connection: Connection, changed: Callable[[], None]) -> None:
        self.connection = connection
        self._changed = changed
        self._lost = asyncio.Event()
        #: Whether announcements go through it.
        self.open = False
        #: Why it is not open.
        self.trouble: Trouble | None = None

    async def keep(self) -> None:
        """Enter, stay, and enter again when it is lost, until cancelled."""
        pauses = Backoff(random.random)
        while True:
            self._lost.clear()
            try:
                await self.enter()
                pauses.reset()
                self._become(None)
                await self._stay()
            except Trouble as trouble:
                self._become(trouble)
                await asyncio.sleep(pauses.pause(trouble.kind))

    def lose(self) -> None:
        """We are out."""
        self._lost.set()

    async def _stay(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK):
                    await self._lost.wait()
            except TimeoutError:
                await self.check()
            else:
                raise Trouble(f"{self} was left")

    def _become(self, trouble: Trouble | None) -> None:
        if trouble is not None and (self.trouble is None or self.trouble.what != trouble.what):
            _log.warning("xmpp: %s: %s", trouble.what, trouble.remedy)
        self.open = trouble is None
        self.trouble = trouble
        self._changed()

    async def ask(self, stanza: ET.Element) -> str | None:
        """Send a request; None when it was granted, else the error's condition. Raises Trouble without an answer."""
        answer = await self.connection.ask(stanza, ANSWER)
        return error_condition(answer)

    @abc.abstractmethod
    async def enter(self) -> None:
        """Get in. Raises Trouble."""

    @abc.abstractmethod
    async def check(self) -> None:
        """Find out whether we are still in. Raises Trouble when not."""

    @abc.abstractmethod
    def is_from(self, sender: str) -> bool:
        """Whether a stanza from that address comes through this channel."""

    @abc.abstractmethod
    def announcement(self, announcement: Announcement) -> ET.Element:
        """The stanza that tells all. Raises Malformed."""

    @abc.abstractmethod
    def read(self, stanza: ET.Element) -> Announcement | None:
        """Take in a stanza that came through it; returns what another machine announced. Raises Malformed."""
