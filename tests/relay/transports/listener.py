"""A listener that remembers what it was told."""

from __future__ import annotations

from autosync.relay.announcement import Announcement


class Recorder:
    """What a transport said, in order."""

    def __init__(self) -> None:
        self.announcements: list[Announcement] = []
        self.looks: list[str | None] = []
        self.connects = 0

    def heard(self, announcement: Announcement, transport: str) -> None:
        self.announcements.append(announcement)

    def look(self, transport: str, repository: str | None = None) -> None:
        self.looks.append(repository)

    def connected(self, transport: str) -> None:
        self.connects += 1
