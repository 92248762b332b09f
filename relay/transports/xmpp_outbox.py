"""What has been said, and may have to be said again; time is an argument (seconds, monotonic)."""

from __future__ import annotations

from collections import deque

from ..announcement import Announcement

#: Announcements are said again to who turns up within so many seconds. A connection that died unnoticed is noticed,
#: and replaced, within that time.
SAID_AGAIN = 60.0
# Branches that are remembered, and messages to persons that wait for a connection.
_BRANCHES = 256
_LETTERS = 20


class Outbox:
    """The newest announcement of each branch, for a while, and messages to persons that wait."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str, str], tuple[float, Announcement]] = {}
        #: Address and text, the oldest first.
        self.letters: deque[tuple[str, str]] = deque(maxlen=_LETTERS)

    def add(self, announcement: Announcement, now: float) -> None:
        """It is said now."""
        key = (announcement.repository, announcement.ref, announcement.kind)
        self._said.pop(key, None)
        self._said[key] = (now, announcement)
        if len(self._said) > _BRANCHES:
            del self._said[next(iter(self._said))]

    def recent(self, now: float) -> list[Announcement]:
        """What was said a moment ago, oldest first: who was not there, or not known to be there, has missed it."""
        self._said = {key: said for key, said in self._said.items() if now - said[0] < SAID_AGAIN}
        return [announcement for _, announcement in self._said.values()]

    def has_said(self, announcement: Announcement) -> bool:
        """Whether it is one of ours, come back."""
        key = (announcement.repository, announcement.ref, announcement.kind)
        return key in self._said and self._said[key][1] == announcement
