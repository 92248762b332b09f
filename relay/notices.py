"""What the relay tells a person: files that came, conflicts that were kept, trouble that needs a hand, and its end.

A machine that is merely offline is daily life, and told of in `status` only; so is what a person is in the
middle of.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autosync.common import buttons
from autosync.common.config import Notify
from autosync.common.desktop import Desktop, Notice, Urgency
from autosync.common.repository import PAUSED_BY_HAND
from autosync.common.shell import command_line, typed
from autosync.common.troubles import Trouble, Troubles

from . import arrivals
from .arrivals import Arrival, named
from .conflict import Conflict
from .state import Status

_log = logging.getLogger(__name__)
_NEEDS_A_HAND = ("held", "error", "diverged", "no upstream")
#: Files that come within so many seconds of each other are told of in one notice, which grows.
_TOGETHER = 600.0
#: So many files are shown in the file manager at once.
_MOST_SHOWN = 20
#: Sends a text to persons, given their addresses.
Tell = Callable[[Sequence[str], str], None]


@dataclass(frozen=True, slots=True)
class Ways:
    """How persons are reached. ``file`` is the configuration file, for commands behind buttons."""

    config: Notify
    machine: str
    desktop: Desktop
    tell: Tell
    file: Path


class Notices:
    """Turns events of repositories into notices; each trouble is told once, and its end once.

    ``clock`` is in monotonic seconds.
    """

    def __init__(self, ways: Ways, clock: Callable[[], float] = time.monotonic) -> None:
        self._ways = ways
        self._clock = clock
        self._troubles = Troubles(ways.desktop, ways.file, _over)
        self._waiting: set[Path] = set()
        self._arrived: dict[Path, tuple[float, Arrival]] = {}

    def reached_by(self, ways: Ways) -> None:
        """Persons are reached otherwise from now on."""
        self._ways = ways

    @property
    def tells_of_files(self) -> bool:
        """Whether somebody may want to know what came: a headless machine need not find out."""
        return self._ways.config.files and self._ways.desktop.there

    def arrived(self, path: Path, arrival: Arrival) -> None:
        """Files came from other machines."""
        if not arrival.files:
            return
        now = self._clock()
        before = self._arrived.get(path)
        if before is not None and now - before[0] < _TOGETHER:
            arrival = before[1].with_later(arrival)
        self._arrived[path] = now, arrival
        present = [path / name for name, there in arrival.files.items() if there][:_MOST_SHOWN]
        desktop = self._ways.desktop
        show = (buttons.show_files(desktop, present),) if present else ()
        text = f"{path.name}: {arrivals.text(arrival)}"
        notice = Notice(
            arrivals.title(arrival),
            text,
            "low",
            (*show, buttons.open_folder(desktop, path)),
            closed=partial(self._seen, path),
        )
        desktop.show(f"files {path}", notice)

    def _seen(self, path: Path) -> None:
        self._arrived.pop(path, None)

    def conflicts(self, path: Path, conflicts: Sequence[Conflict]) -> None:
        """Both versions of some files were kept."""
        copies = [(c.path, c.copy) for c in conflicts if c.copy]
        if not copies:
            return
        title = f"{path.name}: both versions kept"
        what = f"Edited on two machines: {named([name for name, _ in copies], 3)}."
        others = f"The other {'version is' if len(copies) == 1 else 'versions are'} {named([c for _, c in copies], 3)}."
        shown = [path / name for pair in copies for name in pair][:_MOST_SHOWN]
        desktop = self._ways.desktop
        offered = (buttons.show_files(desktop, shown), buttons.open_folder(desktop, path))
        desktop.show(f"conflict {path}", Notice(title, f"{what}\n{others}", "normal", offered))
        compare = f"{command_line('git', '-C', path, 'diff', '--no-index', '--', *copies[0])}"
        self._tell_persons(title, f"{what} {others}\nCompare: {compare}")

    def status(self, path: Path, status: Status, *, by_hand: bool = False, told: bool = False) -> None:
        """A repository's status, whenever it has changed. ``by_hand``: a person is in the middle of something there;
        ``told``: the person wants to know of commits that wait (`pull = "notify"`)."""
        stopped = status.name == "paused" and status.reason != PAUSED_BY_HAND
        if (status.name in _NEEDS_A_HAND or stopped) and not by_hand:
            # an error waits for a person and goes on getting worse; the others are choices to be made
            urgency: Urgency = "critical" if status.name == "error" else "normal"
            trouble = Trouble(status.reason or status.name, status.remedy, urgency)
            if self._troubles.begin(path, trouble):
                self._tell_persons(f"{path.name} needs you", trouble.text)
        elif status.name == "in sync":
            if self._troubles.end(path):
                self._tell_persons(_over(path.name), "The trouble is over.")
        elif status.name == "paused":
            self._troubles.forget(path)
        if status.name == "behind" and told:
            self._waiting.add(path)
            offered = (buttons.open_folder(self._ways.desktop, path),)
            text = Trouble(status.reason or "", status.remedy).text
            notice = Notice(f"{path.name}: there is something new", text, "low", offered)
            self._ways.desktop.show(f"behind {path}", notice)
        elif path in self._waiting and status.name in ("in sync", "ahead"):
            self._waiting.discard(path)
            self._ways.desktop.withdraw(f"behind {path}")

    def silent(self, machine: str, last: float | None) -> None:
        """A machine is silent for longer than `silent-after`, since ``last`` (seconds since the epoch); None: it has
        spoken again."""
        if last is None:
            title = f"{machine} is back"
            text = f"{machine} is heard again"
            notice = Notice(text, "", "low")
            _log.info("%s", text)
        else:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last))
            title = f"{machine} is silent"
            what = f"{machine} has not been heard since {when}"
            remedy = f"see that it runs and is online; if it is gone for good: autosync peers forget {typed(machine)}"
            text = Trouble(what, remedy).text
            notice = Notice(title, text, "normal")
            _log.warning("%s", what)
        self._ways.desktop.show(f"silent {machine}", notice)
        self._tell_persons(title, text)

    def gone(self, path: Path) -> None:
        """The repository is not configured any more."""
        self._troubles.forget(path)

    def _tell_persons(self, title: str, text: str) -> None:
        if self._ways.config.xmpp:
            self._ways.tell(self._ways.config.xmpp, f"{self._ways.machine}: {title}\n{text}")


def _over(name: str) -> str:
    return f"{name} is in sync again"
