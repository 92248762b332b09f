"""What is installed where, and whether it is in order."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from autosync.common.repository import Repository

from . import layout, names, script, target
from .gitconfig import LocalConfig
from .layout import Places
from .script import Kind, quoted
from .work import State


@dataclass(frozen=True, slots=True)
class HookStatus:
    """One hook. ``state`` is a word: `installed`; `chained` (installed, and runs the hook that was there);
    `missing`; `changed` (edited since); `outdated` (from another version); `shadowed` (there, but git looks
    elsewhere); `disabled` (there, but git will not run it); `broken` (runs, to no effect).

    ``problem`` and ``remedy`` are None for a hook in order.
    """

    name: str
    path: Path
    state: str
    problem: str | None = None
    remedy: str | None = None

    @property
    def in_order(self) -> bool:
        return self.problem is None


def inspect(repository: Repository) -> list[HookStatus]:
    """The state of each hook that the repository should have. Changes nothing. Raises OSError."""
    inspection = _Inspection(repository)
    return [inspection.hook(name) for name in names.wanted(repository.bare)]


class _Inspection:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._places = Places(repository)
        self._config = LocalConfig(repository)
        replaced = State.load(self._places.state).replaced("core.hooksPath")
        self._found = layout.survey(repository, replaced)
        values = layout.values(repository)
        self._hooks_path = values[-1].value if values else None
        self._install = f"autosync-install-hooks {quoted(repository.path)}"

    def hook(self, name: str) -> HookStatus:
        """One hook, looked for in the order in which git comes upon it."""
        places = self._places
        in_force = places.folder if self._hooks_path is None else layout.resolve(self._repository, self._hooks_path)
        if self._config.get(target.hook_key(name, "command")) is not None:
            return self._configured(name)
        for path in (in_force / name, places.dispatched, in_force / f"{name}.legacy"):
            if layout.kind(path) in (Kind.OURS, Kind.CHANGED) and (path != places.dispatched or self._found.dispatcher):
                return self._file(name, path)
        if layout.leads_to_ours(in_force / name):
            return self._file(name, in_force / name)
        for path in (places.folder / name, places.own_folder / name):
            if layout.kind(path) in (Kind.OURS, Kind.CHANGED):
                return HookStatus(
                    name, path, "shadowed", f"git looks for hooks in {in_force}, and not for {path}", self._install
                )
        return HookStatus(name, in_force / name, "missing", f"the hook {name} is not installed", self._install)

    def _configured(self, name: str) -> HookStatus:
        path = self._places.shared_part
        kind = layout.kind(path)
        enabled = self._repository.git.run(
            "config", "--type=bool", "--get", target.hook_key(name, "enabled"), check=False
        ).text
        if not self._found.configurable:
            problem = "the hooks are in git's configuration, and this git is too old to look there"
            return HookStatus(name, path, "shadowed", problem, self._install)
        if kind is None:
            return HookStatus(name, path, "broken", f"{path} is gone", self._install)
        if enabled == "false":
            key = target.hook_key(name, "enabled")
            remedy = f"git -C {quoted(self._repository.path)} config --unset {key}"
            return HookStatus(name, path, "disabled", f"{key} is false", remedy)
        data = layout.read_head(path)
        expected = script.shared_part(script.standalone(data))
        settings = self._config.get(target.hook_key(name, "event")) == name and self._config.get(
            target.hook_key(name, "command")
        ) == script.configured_command(name)
        return self._content(name, path, "installed", kind, data == expected and settings, data)

    def _file(self, name: str, path: Path) -> HookStatus:
        if not os.access(path, os.X_OK):
            return HookStatus(
                name, path, "disabled", f"{path} is not executable, and git passes it over", f"chmod +x {quoted(path)}"
            )
        data = layout.read_head(path)
        guest, runs = self._guest(name, path)
        expected = script.hook(name, guest, script.standalone(data))
        state = "chained" if runs or path.suffix == ".legacy" else "installed"
        return self._content(name, path, state, script.kind(data), data == expected, data)

    def _guest(self, name: str, path: Path) -> tuple[str | None, bool]:
        """The guest that the hook at ``path`` should hand on to, and whether there is one."""
        places = self._places
        if path.parent == places.own_folder:
            origin = target.origin(places, self._found)
            guest = Path(origin) / name
            return script.quoted(guest), os.access(layout.resolve(self._repository, str(guest)), os.X_OK)
        aside = places.guests / name
        if path.parent == places.folder and os.path.lexists(aside):
            return target.aside_expression(places, name), os.access(aside, os.X_OK)
        return None, False

    def _content(self, name: str, path: Path, state: str, kind: Kind, as_expected: bool, data: bytes) -> HookStatus:
        if kind is not Kind.OURS:
            return HookStatus(
                name,
                path,
                "changed",
                f"{path} was changed since autosync installed it",
                f"move your own lines to a file of their own and remove it (rm {quoted(path)}), then: {self._install}",
            )
        if not as_expected:
            return HookStatus(name, path, "outdated", f"{path} is from another version", self._install)
        started = script.standalone(data)
        if started is not None and not os.access(started.relay, os.X_OK):
            return HookStatus(
                name, path, "broken", f"{path} starts {started.relay}, which is gone", f"{self._install} --standalone"
            )
        if not os.access(self._repository.notes_dir, os.W_OK | os.X_OK):
            problem = f"there is no folder {self._repository.notes_dir} that you may write into"
            return HookStatus(name, path, "broken", problem, self._install)
        return HookStatus(name, path, state)
