"""What has to be where, for each way of putting the hooks in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from . import layout, names, script
from .layout import Places, Surroundings, Way
from .script import Kind, Standalone


@dataclass(slots=True)
class Target:
    """Files with their content, symbolic links with their text, hooks to move aside (from, to), and
    settings in the repository's configuration."""

    way: Way
    files: dict[Path, bytes] = field(default_factory=dict)
    links: dict[Path, str] = field(default_factory=dict)
    moves: dict[Path, Path] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


def hook_key(name: str, part: str) -> str:
    """The key of a configured hook. Its name must not be that of an event."""
    return f"hook.autosync-{name}.{part}"


def build(places: Places, found: Surroundings, start: Standalone | None) -> Target:
    """What ``layout.choose`` comes to for this repository. Reads the disk, changes nothing."""
    way = layout.choose(found)
    target = Target(way)
    wanted = names.wanted(places.repository.bare)
    if way is Way.CONFIGURED:
        target.files[places.shared_part] = script.shared_part(start)
        for name in wanted:
            target.settings[hook_key(name, "event")] = name
            target.settings[hook_key(name, "command")] = script.configured_command(name)
    elif way is Way.DISPATCHER:
        target.files[places.dispatched] = script.hook(names.SERVER[0], None, start)
    elif way is Way.FOLDER:
        for name in wanted:
            _into_folder(target, places, name, start)
        _add_neighbours(target, places)
    else:
        _redirect(target, places, origin(places, found), start)
    return target


def origin(places: Places, found: Surroundings) -> str:
    """The folder that `Way.REDIRECT` hands on to, as git's configuration names it."""
    return found.hooks_path.value if found.hooks_path else str(places.folder)


def aside_expression(places: Places, name: str) -> str:
    """Where a hook in the hooks folder finds the one that was moved aside, wherever the repository is."""
    return f'"${{0%hooks/*}}{places.guests.name}/{name}"'


def _into_folder(target: Target, places: Places, name: str, start: Standalone | None) -> None:
    path, aside = places.folder / name, places.guests / name
    guest = None
    if layout.kind(path) is Kind.FOREIGN:
        target.moves[path] = aside
    if path in target.moves or os.path.lexists(aside):
        guest = aside_expression(places, name)
    target.files[path] = script.hook(name, guest, start)


def _add_neighbours(target: Target, places: Places) -> None:
    """A hook that was moved aside finds beside it what was beside it before."""
    kept = set(target.moves.values()) | {path for path in target.files if os.path.lexists(places.guests / path.name)}
    if not kept:
        return
    for entry in sorted(places.folder.iterdir()):
        if entry in target.files or entry.suffix == ".sample" or layout.kind(entry) is not Kind.FOREIGN:
            continue
        target.links[places.guests / entry.name] = f"../{places.folder.name}/{entry.name}"


def _redirect(target: Target, places: Places, folder: str, start: Standalone | None) -> None:
    resolved = layout.resolve(places.repository, folder)
    wanted = names.wanted(places.repository.bare)
    for name in wanted:
        target.files[places.own_folder / name] = script.hook(name, script.quoted(Path(folder) / name), start)
    for name in names.KNOWN:
        path = places.own_folder / name
        if name in wanted:
            continue
        if os.path.lexists(resolved / name) or (not Path(folder).is_absolute() and name in names.HARMLESS):
            target.files[path] = script.forwarder(script.quoted(Path(folder) / name))
        elif Path(folder).is_absolute():
            # leads nowhere, and so is no hook, until somebody adds one there
            target.links[path] = str(resolved / name)
    target.settings["core.hooksPath"] = str(places.own_folder)
