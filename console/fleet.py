"""`autosync status --peers`: each machine and repository, which commit it has, and when it was last heard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import wording
from .terminal import hanging

_GOOD, _BEHIND, _BAD, _QUIET = "green", "magenta", "bold red", "dim"
_HEADINGS = ("machine", "has", "", "last word", "save to visible")
#: What is left out where there are fewer columns than that.
_NARROW = {"save to visible": 80, "has": 62}

#: A mark, and a cell for each heading.
_Row = tuple[Text | str, tuple[Text | str, ...]]


class FleetTable:
    """Makes the picture of a survey's machines. ``now`` is in seconds since the epoch, ``width`` in columns."""

    def __init__(self, width: int, now: float, home: Path | None, unicode: bool = True) -> None:
        self._width = width
        self._now = now
        self._home = home
        self._columns = [number for number, name in enumerate(_HEADINGS) if width >= _NARROW.get(name, 0)]
        self._name_width = 24 if width >= max(_NARROW.values()) else 16
        self._marks = ("✓", "↓", "!") if unicode else ("+", "v", "!")

    def render(self, data: dict[str, Any]) -> RenderableType:
        """Everything, for a rich console."""
        parts: list[RenderableType] = []
        for repository in data["repositories"]:
            if not repository["bare"]:
                parts += [*self._repository(repository, data), Text()]
        if not data["relay"]["alive"]:
            parts += [
                hanging("! ", _BAD, f"{data['relay']['error']}: {data['relay']['remedy']}", 0, self._width),
                Text(),
            ]
        if data["fleet"]:
            parts.append(self._summary(data))
        return Group(*parts)

    def _repository(self, repository: dict[str, Any], data: dict[str, Any]) -> Iterator[RenderableType]:
        title = Text(wording.path(repository["path"], self._home), "bold")
        yield title.append(f"  {wording.plain(repository['branch'] or '')}", _QUIET)
        words = [word for word in data["fleet"] if word["path"] == repository["path"]]
        table = Table.grid(padding=(0, 2))
        table.add_column(width=1)
        for _ in self._columns:
            table.add_column(no_wrap=True)
        rows: list[_Row] = [
            ("", tuple(Text(heading, _QUIET) for heading in _HEADINGS)),
            self._own(repository, data["name"]),
        ]
        rows += [self._row(word, repository) for word in words]
        for mark, cells in rows:
            table.add_row(mark, *(cells[number] for number in self._columns))
        yield table
        if not words:
            yield Text("   no other machine has been heard of yet", _QUIET)

    def _own(self, repository: dict[str, Any], name: str) -> _Row:
        behind = repository["behind"]
        which = 1 if behind else 0
        where = Text(f"{behind:,} behind" if behind else "this machine", (_GOOD, _BEHIND)[which] if behind else _QUIET)
        return self._mark(which), (self._name(name), (repository["head"] or "")[:7], where, "", "")

    def _row(self, word: dict[str, Any], repository: dict[str, Any]) -> _Row:
        behind = word["behind"]
        if word["silent"]:
            which, where = 2, "silent"
        elif behind:
            which, where = 1, f"{behind:,} behind"
        elif behind is None and word["head"] != repository["head"]:
            # it was fetched by nobody here yet
            which, where = 1, "newer than here"
        else:
            which, where = 0, "up to date"
        seconds = wording.duration(word["seconds"]) if word["seconds"] is not None else ""
        style = (_GOOD, _BEHIND, _BAD)[which]
        heard = wording.ago(word["last_heard"], self._now)
        return self._mark(which), (self._name(word["machine"]), word["head"][:7], Text(where, style), heard, seconds)

    def _name(self, name: str) -> str:
        return wording.shortened(wording.plain(name), self._name_width)

    def _mark(self, which: int) -> Text:
        return Text(self._marks[which], (_GOOD, _BEHIND, _BAD)[which])

    def _summary(self, data: dict[str, Any]) -> RenderableType:
        silent = sorted({word["machine"] for word in data["fleet"] if word["silent"]})
        if silent:
            text = (
                f"{wording.listed(silent)} {'has' if len(silent) == 1 else 'have'} been silent for longer than "
                "silent-after: see that it runs; one that is gone for good: autosync peers forget NAME"
            )
            return hanging("", "", text, 0, self._width)
        behind = {word["machine"] for word in data["fleet"] if word["behind"]}
        if behind:
            return Text(f"{wording.listed(sorted(behind))} behind", _BEHIND)
        machines = {word["machine"] for word in data["fleet"]}
        return Text(f"{wording.count(len(machines) + 1, 'machine')}, none behind" if machines else "", _GOOD)
