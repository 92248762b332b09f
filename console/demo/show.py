"""What the person sees of the demo."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text

from autosync.common.operations import Operation

from .. import wording
from ..terminal import show, symbols_fit
from .stage import SETTLE, Machine, Stage
from .tour import Moment, Step

_ACTIONS = {
    "commit": "committed what changed",
    "push": "pushed it",
    "merge": "took in what came",
    "resolve": "kept both versions",
    "hold": "waits",
}


class Show:
    """Prints the demo as it goes along: in colour on a terminal, as plain lines elsewhere."""

    def __init__(self) -> None:
        self._tick = "✓" if symbols_fit() else "+"

    @staticmethod
    def _line(*parts: tuple[str, str]) -> None:
        show(Text.assemble(*parts))

    def beginning(self, stage: Stage) -> None:
        self._line(("Two machines, ", ""), ("laptop", "bold"), (" and ", ""), ("desk", "bold"), (", live in", ""))
        self._line((f"  {stage.folder}", ""))
        self._line(("Each is a clone of central.git with a watcher and a relay of its own;", "dim"))
        self._line(("a reflector, which cannot read what it passes on, tells the others. A file is", "dim"))
        self._line((f"saved when it has been quiet for {SETTLE:g} s; that is part of the times below.", "dim"))

    def step(self, number: int, step: Step) -> None:
        self._line()
        self._line((f"{number}. {step.title}", "bold"))
        for typed in step.typed:
            self._line((f"     {typed}", "cyan"))

    def moments(self, moments: Sequence[Moment]) -> None:
        """What happened; the last is what the step is about."""
        width = max(len(moment.what) for moment in moments)
        for moment in moments:
            last = moment is moments[-1]
            mark = (f"   {self._tick} ", "green") if last else ("     ", "")
            self._line(
                mark,
                (f"{moment.what:<{width}}", "" if last else "dim"),
                (f"  {wording.duration(moment.after)}", "bold green" if last else "dim"),
            )

    def invitation(self, stage: Stage) -> None:
        """How to play on."""
        self._line()
        self._line(("All of it happened. It stays live: in another terminal, try", "bold"))
        self._line((f"     echo 'and more' > {stage.laptop.folder}/more.txt", "cyan"))
        self._line((f"     cat {stage.desk.folder}/more.txt", "cyan"))
        self._line((f"     {stage.folder}/laptop-autosync status", "cyan"))
        self._line(("What happens is shown here. Ctrl-C ends it and leaves nothing behind.", "bold"))
        self._line()

    def news(self, machine: Machine, operation: Operation) -> None:
        """Something that a service did while the person plays."""
        if operation.action not in _ACTIONS:
            return
        what = ", ".join(operation.paths) or operation.detail
        self._line(
            (f"{wording.clock(operation.time, time.time())}  ", "dim"),
            (f"{machine.name:<8}", "bold"),
            (f"{_ACTIONS[operation.action]:<24}", ""),
            (wording.plain(what), "dim"),
        )

    def success(self) -> None:
        self._line()
        self._line((f"{self._tick} all of it happened, and nothing of it is left behind", "green"))

    def gone(self) -> None:
        self._line()
        self._line(("Ended; nothing of it is left behind.", ""))
