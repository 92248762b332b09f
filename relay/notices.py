"""What the relay tells a person: conflicts that were kept, trouble that needs a hand, and its end.

A machine that is merely offline is daily life, and told of in `status` only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from autosync.common.config import Notify
from autosync.common.desktop import Desktop

from .conflict import Conflict
from .state import Status

_NEEDS_A_HAND = ("held", "error", "diverged", "no upstream")
#: Sends a text to persons, given their addresses.
Tell = Callable[[Sequence[str], str], None]


class Notices:
    """Turns events of repositories into notices; each trouble is told once, and its end once."""

    def __init__(self, config: Notify, machine: str, desktop: Desktop, tell: Tell) -> None:
        self._config = config
        self._machine = machine
        self._desktop = desktop
        self._tell = tell
        self._told: dict[Path, str] = {}

    def conflicts(self, path: Path, conflicts: Sequence[Conflict]) -> None:
        """Both versions of some files were kept."""
        copies = [c for c in conflicts if c.copy]
        if not copies:
            return
        names = ", ".join(c.path for c in copies[:3]) + (f" and {len(copies) - 3} more" if len(copies) > 3 else "")
        first = copies[0]
        lines = [
            f"Edited on two machines: {names}. Both versions are kept.",
            f"Compare: git -C {path} diff --no-index -- '{first.path}' '{first.copy}'",
        ]
        self._say(f"conflict {path}", f"{path.name}: both versions kept", "\n".join(lines))

    def status(self, path: Path, status: Status) -> None:
        """A repository's status, whenever it has changed."""
        reason = status.reason or ""
        if status.name in _NEEDS_A_HAND:
            if self._told.get(path) != reason:
                self._told[path] = reason
                text = f"{reason}\n{status.remedy}" if status.remedy else reason
                self._say(f"trouble {path}", f"{path.name} needs you", text, urgent=True)
        elif status.name == "in sync" and self._told.pop(path, None) is not None:
            self._say(f"trouble {path}", f"{path.name} is in sync again", "The trouble is over.")

    def _say(self, key: str, title: str, text: str, *, urgent: bool = False) -> None:
        if self._config.desktop:
            self._desktop.show(key, title, text, urgent=urgent)
        if self._config.xmpp:
            self._tell(self._config.xmpp, f"{self._machine}: {title}\n{text}")
