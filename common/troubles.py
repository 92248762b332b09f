"""Trouble of repositories, as a person is told of it: one notice for all that is wrong now, since what keeps one
repository from its work (a full disk, a refused key) often keeps all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import buttons
from .desktop import Desktop, Notice, Urgency

#: So many repositories are named.
_MOST = 5


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with one repository and what to do; ``urgency`` is `critical` where waiting makes it worse."""

    what: str
    remedy: str | None = None
    urgency: Urgency = "normal"

    @property
    def text(self) -> str:
        """Both, as lines."""
        return f"{self.what}\n→ {self.remedy}" if self.remedy else self.what


class Troubles:
    """What is wrong now. ``over`` makes the title that tells of the end from a repository's name, ``file`` is the
    configuration file."""

    def __init__(self, desktop: Desktop, file: Path, over: Callable[[str], str]) -> None:
        self._desktop = desktop
        self._file = file
        self._over = over
        self._now: dict[Path, Trouble] = {}

    def begin(self, path: Path, trouble: Trouble) -> bool:
        """Something is wrong; returns whether that is new."""
        known = self._now.get(path)
        self._now[path] = trouble
        if known is not None and known.what == trouble.what:
            return False
        self._show()
        return True

    def end(self, path: Path) -> bool:
        """Nothing is wrong any more; returns whether something was."""
        if path not in self._now:
            return False
        if len(self._now) > 1:
            self.forget(path)
        else:
            del self._now[path]
            self._desktop.show("trouble", Notice(self._over(path.name), "The trouble is over.", "low"))
        return True

    def forget(self, path: Path) -> None:
        """It does not matter any more: the person has paused the repository, or removed it."""
        if self._now.pop(path, None) is not None:
            self._show()

    def _show(self) -> None:
        if not self._now:
            self._desktop.withdraw("trouble")
            return
        urgency: Urgency = "critical" if any(t.urgency == "critical" for t in self._now.values()) else "normal"
        if len(self._now) == 1:
            ((path, trouble),) = self._now.items()
            offered = (buttons.open_folder(self._desktop, path), buttons.pause(self._file, path))
            self._desktop.show("trouble", Notice(f"{path.name} needs you", trouble.text, urgency, offered))
            return
        lines = [f"{path.name}: {trouble.what}" for path, trouble in self._now.items()]
        rest = [f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
        text = "\n".join([*lines[:_MOST], *rest, "→ autosync status"])
        self._desktop.show("trouble", Notice(f"{len(lines)} repositories need you", text, urgency))
