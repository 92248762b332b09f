"""The status as people read it: one line for what is well, the reason and the remedy below what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autosync.common.folding import columns
from autosync.common.repository import PAUSED_BY_HAND
from autosync.common.shell import typed

from . import copies, wording
from .survey import kind
from .terminal import hanging

# Colours from the terminal's own sixteen, for words none that vanishes on a dark or a light background: yellow and cyan
# do on a white one, blue on a black one.
_GOOD, _WAITING, _BAD, _QUIET = "green", "magenta", "bold red", "dim"
_ARROW = "cyan"
#: Columns from which on there is room for branches.
_WITH_BRANCH = 60

#: Conflict copies that are named one by one.
_COPIES = 3
#: For each kind of state its symbol, the symbol where only ASCII fits, and its colour.
_MARKS = {
    "good": ("✓", "+", _GOOD),
    "moving": ("↕", "~", ""),
    "paused": ("‖", "=", _QUIET),
    "offline": ("○", "o", _WAITING),
    "conflict": ("≠", "#", _WAITING),
    "needs you": ("!", "!", _BAD),
}


class StatusTable:
    """Makes the picture of a survey. ``now`` is in seconds since the epoch, ``width`` in columns."""

    def __init__(self, width: int, now: float, home: Path | None, unicode: bool = True, copied: bool = True) -> None:
        """``copied``: commands may run over, as they are to be pasted."""
        self._width = width
        self._now = now
        self._home = home
        self._copied = copied
        self._symbol = 0 if unicode else 1
        self._arrow = "→ " if unicode else "-> "

    def render(self, data: dict[str, Any]) -> RenderableType:
        """Everything, for a rich console."""
        parts = [*self._services(data), Text()]
        if data["config_error"]:
            parts += [*self._trouble(data["config_error"], "correct it; what runs goes on with what it had"), Text()]
        if not data["repositories"]:
            parts += list(self._trouble("no repository is configured yet", "autosync init PATH --remote URL"))
        for row, repository in zip(self._rows(data["repositories"]), data["repositories"], strict=True):
            parts += [row, *self._details(repository)]
        if data["transports"]:
            parts += [Text(), *self._transports(data)]
        if data["repositories"]:
            parts += [Text(), self._summary(data)]
        return Group(*parts)

    # what runs --------------------------------------------------------------------------------------

    def _services(self, data: dict[str, Any]) -> Iterator[RenderableType]:
        line = Text(wording.plain(data["name"]), "bold")
        for service in ("watcher", "relay"):
            line.append("   ")
            if data[service]["alive"]:
                line.append_text(self._mark("good")).append(f" {service} running")
            elif data[service]["wanted"]:
                line.append_text(self._mark("needs you")).append(f" {service} not running", _BAD)
            else:
                line.append_text(self._mark("paused")).append(f" {service} not needed", _QUIET)
        yield line
        for service in ("watcher", "relay"):
            if data[service]["wanted"] and not data[service]["alive"]:
                yield from self._trouble(None, data[service]["remedy"])

    # repositories -----------------------------------------------------------------------------------

    def _rows(self, repositories: list[dict[str, Any]]) -> Iterator[RenderableType]:
        names = [wording.path(r["path"], self._home) for r in repositories]
        room = 16 if self._width >= _WITH_BRANCH else 0
        branches = [wording.shortened(wording.plain(r["branch"] or ""), room) for r in repositories]
        states = [self._state(r) for r in repositories]
        branch_width = max(map(columns, branches), default=0)
        beside = 8 + branch_width + max((s.cell_len for s in states), default=0)
        longest = min(max(16, self._width - beside), max(map(columns, names), default=0))
        for repository, name, branch, state in zip(repositories, names, branches, states, strict=True):
            row = Table.grid(padding=(0, 2))
            row.add_column(width=1)
            row.add_column(width=longest, no_wrap=True)
            cells: list[Text | str] = [self._mark(kind(repository)), wording.shortened(name, longest)]
            if branch_width:
                row.add_column(width=branch_width, no_wrap=True)
                cells.append(Text(branch, _QUIET))
            row.add_column()
            row.add_row(*cells, state)
            yield row

    def _state(self, repository: dict[str, Any]) -> Text:
        # the colour is that of what it tells
        of_state = repository | {"quarantined": [], "conflicts": []}
        notes = [(self._word(repository), _MARKS[kind(of_state)][2])]
        if repository["dirty"]:
            notes.append((wording.count(repository["dirty"], "changed file"), _QUIET))
        if repository["quarantined"]:
            notes.append((f"{wording.count(len(repository['quarantined']), 'file')} held back", _BAD))
        if repository["conflicts"]:
            copied = wording.count(len(repository["conflicts"]), "conflict copy", "conflict copies")
            notes.append((copied, _WAITING))
        if len(notes) == 1 and repository["state"] == "in sync" and repository["last_sync"]:
            notes.append((wording.ago(repository["last_sync"], self._now), _QUIET))
        return Text(", ").join(Text(note, colour) for note, colour in notes)

    @staticmethod
    def _word(repository: dict[str, Any]) -> str:
        ahead, behind = repository["ahead"], repository["behind"]
        counts = []
        if ahead:
            counts.append(f"{ahead:,} to push")
        if behind:
            counts.append(f"{behind:,} to pull")
        state: str = repository["state"]
        if state in ("ahead", "behind") and counts:
            return ", ".join(counts)
        return ", ".join([state, *counts])

    def _details(self, repository: dict[str, Any]) -> Iterator[RenderableType]:
        state = repository["state"]
        if repository["progress"]:
            line = wording.plain(repository["progress"])
            yield Text(f"   {line[: self._width - 3]}", _QUIET)
        if state == "paused" and repository["reason"] == PAUSED_BY_HAND:
            yield from self._trouble(None, repository["remedy"])
        elif not state.endswith("not running") and repository["reason"]:
            since = repository["last_error_since"] if repository["last_error"] == repository["reason"] else None
            yield from self._trouble(repository["reason"], repository["remedy"], since)
        elif state != repository["relay_state"] and repository["last_error"]:
            yield from self._trouble(repository["last_error"], None, repository["last_error_since"])
        for held in repository["quarantined"]:
            yield from self._trouble(f"{wording.plain(held['path'])}: {held['reason']}", held["remedy"])
        for copy in repository["conflicts"][:_COPIES]:
            told = f"{wording.plain(copy['path'])} is another version of {wording.plain(copy['of'])}"
            yield from self._trouble(told, copies.remedy(repository["path"], copy))
        if more := repository["conflicts"][_COPIES:]:
            command = f"git -C {typed(repository['path'])} ls-files '*.conflict-*'"
            yield from self._trouble(f"and {len(more):,} more, see: {command}", None)

    # connections ------------------------------------------------------------------------------------

    def _transports(self, data: dict[str, Any]) -> Iterator[RenderableType]:
        for transport in data["transports"]:
            state = transport["state"]
            which = {"online": "good", "connecting": "moving", "offline": "offline"}.get(state, "needs you")
            line = Text.assemble(self._mark(which), f"  {transport['name']}  ", (state, _MARKS[which][2]))
            if transport["since"]:
                line.append(f" since {wording.clock(transport['since'], self._now)}", _QUIET)
            peers = ", ".join(self._peer(p) for p in data["peers"] if p["transport"] == transport["name"])
            if peers and line.cell_len + 2 + columns(peers) <= self._width:
                line.append(f", {peers}", _QUIET)
                peers = ""
            yield line
            if peers:
                yield hanging("", "", peers, 3, self._width)
            if transport["error"] and state != "off":
                yield from self._trouble(transport["error"], transport["remedy"])

    def _peer(self, peer: dict[str, Any]) -> str:
        words = [wording.plain(peer["version"])] if peer.get("version") else []
        common = len(peer.get("repositories", ()))
        words += [wording.count(common, "repository", "repositories") + " in common"] if common else []
        words += [wording.ago(peer["last_heard"], self._now)] if peer["last_heard"] else []
        return wording.plain(peer["name"]) + (f" ({', '.join(words)})" if words else "")

    # pieces -----------------------------------------------------------------------------------------

    def _summary(self, data: dict[str, Any]) -> Text:
        repositories = data["repositories"]
        needing = sum(kind(r) == "needs you" for r in repositories)
        wrong = []
        if needing:
            of = f" of {len(repositories)}" if len(repositories) > 1 else ""
            wrong.append(f"{needing}{of} {'needs' if needing == 1 else 'need'} you")
        if data["config_error"]:
            wrong.append("the configuration has to be corrected")
        broken = [t["name"] for t in data["transports"] if t["state"] == "failed"]
        if broken:
            wrong.append(f"{wording.listed(broken)} {'needs' if len(broken) == 1 else 'need'} you")
        silent = sorted({word["machine"] for word in data["fleet"] if word["silent"]})
        if silent:
            wrong.append(
                f"{wording.listed(silent)} {'is' if len(silent) == 1 else 'are'} silent (autosync status --peers)"
            )
        if wrong:
            return Text(", ".join(wrong), _BAD)
        copied = sum(len(r["conflicts"]) for r in repositories)
        if copied:
            return Text(f"{wording.count(copied, 'conflict copy', 'conflict copies')} to look through", _WAITING)
        if all(r["state"] == "in sync" and not r["dirty"] for r in repositories):
            return Text("all in sync", _GOOD)
        return Text("nothing needs you", _GOOD)

    def _mark(self, which: str) -> Text:
        mark = _MARKS[which]
        return Text(mark[self._symbol], mark[2])

    def _trouble(self, what: str | None, remedy: str | None, since: float | None = None) -> Iterator[RenderableType]:
        if what:
            when = f" (since {wording.clock(since, self._now)})" if since else ""
            yield hanging("", "", self._readable(what) + when, 3, self._width, self._copied)
        if remedy:
            yield hanging(self._arrow, _ARROW, self._readable(remedy), 3, self._width, self._copied)

    def _readable(self, text: str) -> str:
        """Printable, keeping the lines of a message of several."""
        return "\n".join(wording.homely(wording.plain(line), self._home) for line in text.splitlines())
