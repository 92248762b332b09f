"""What the watcher tells a person on the desktop: files that are held back, a mass deletion that waits for a word,
trouble with committing, and its end. It may speak to the session bus, which is no network."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from autosync.common import buttons
from autosync.common.desktop import Button, Desktop, Notice
from autosync.common.git import Git
from autosync.common.troubles import Trouble, Troubles

from . import message
from .quarantine import Held, release_pattern

#: So many names are shown.
_MOST = 4


class Notices:
    """Tells each thing once. ``file`` is the configuration file, for commands behind buttons."""

    def __init__(self, desktop: Desktop, file: Path) -> None:
        self.desktop = desktop
        self._file = file
        self._troubles = Troubles(desktop, file, lambda name: f"{name} is watched again")
        self._held: dict[Path, dict[bytes, Held]] = {}
        self._braked: set[Path] = set()

    def condition(self, path: Path, state: str, reason: str | None, remedy: str | None) -> None:
        """How a repository is, whenever that has changed."""
        if state == "error":
            self._troubles.begin(path, Trouble(reason or "it cannot be watched", remedy, "critical"))
        elif state == "paused":
            self._troubles.forget(path)
        elif reason is None or state == "polling":
            self._troubles.end(path)

    def deletions(self, path: Path, reason: str | None, confirm: Callable[[], None]) -> None:
        """A mass deletion waits (``reason`` says how many), or does not any more (None)."""
        key = f"deletions {path}"
        if reason is None:
            if path in self._braked:
                self._braked.discard(path)
                self.desktop.withdraw(key)
            return
        if path in self._braked:
            return
        self._braked.add(path)
        text = "Nothing of it is committed until you say that it was meant. Is a disk not mounted?"
        offered = (
            Button("Confirm deletions", _told(confirm)),
            buttons.open_folder(self.desktop, path),
            buttons.pause(self._file, path),
        )
        # a click beside the buttons must not confirm anything
        notice = Notice(f"{path.name}: {reason}", text, "critical", offered, click=offered[1])
        self.desktop.show(key, notice)

    def held(self, path: Path, held: Mapping[bytes, Held]) -> None:
        """The files that are held back now."""
        waiting = {name: why for name, why in held.items() if not why.tried_again}
        known = self._held.get(path, {})
        if waiting == known:
            return
        self._held[path] = waiting
        key = f"held {path}"
        if not waiting:
            self.desktop.withdraw(key)
        elif waiting.keys() - known.keys():
            self.desktop.show(key, self._held_notice(path, waiting))

    def gone(self, path: Path) -> None:
        """The repository is not watched any more."""
        self._troubles.forget(path)
        self.deletions(path, None, lambda: None)
        self.held(path, {})

    def _held_notice(self, path: Path, waiting: Mapping[bytes, Held]) -> Notice:
        names = sorted(waiting)
        show = buttons.show_files(self.desktop, [path / os.fsdecode(name) for name in names[:_MOST]])
        if len(names) == 1:
            text = f"{message.escaped(names[0])}: {waiting[names[0]].reason}. Everything else goes on."
            let_pass = Button("Let this file pass", partial(_let_pass, path, names[0]))
            return Notice(f"{path.name}: 1 file is held back", text, "normal", (show, let_pass))
        lines = [f"{message.escaped(name)}: {waiting[name].reason}" for name in names[:_MOST]]
        if len(names) > _MOST:
            lines.append(f"and {len(names) - _MOST} more")
        lines.append("→ autosync status tells what lets them pass")
        return Notice(f"{path.name}: {len(names)} files are held back", "\n".join(lines), "normal", (show,))


async def _let_pass(path: Path, name: bytes) -> None:
    """What the status says to type. The watcher notices that git's configuration changes, whoever changes it."""
    await Git(path).call("config", "--add", "autosync.allow", release_pattern(name))


def _told(what: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def press() -> None:
        what()

    return press
