"""Putting the hooks into a repository, and taking them out again.

A guest: whatever hooks are there run on as before, and taking ours out gives back byte for byte what was there.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from autosync.common import locks
from autosync.common.errors import Problem
from autosync.common.repository import Repository

from . import layout, names, target
from .layout import Places
from .script import Kind, Standalone, quoted
from .status import HookStatus, inspect
from .target import Target
from .work import Report, Work

__all__ = ["HookStatus", "Report", "inspect", "install", "uninstall"]

#: git config: the configuration file of the instance that the repository belongs to.
_CONFIG_KEY = "autosync.config"
_HOOKS_PATH = "core.hooksPath"
_RELAY = "autosync-relay"
#: What hooks, and runs of the relay that they start, leave in autosync's folder.
_OF_RUNS = frozenset({"notes", "lock", "push-lock", "once.lock", "once-again", "announced.json"})


def install(repository: Repository, *, standalone: bool, config: Path | None, dry_run: bool = False) -> Report:
    """Put the hooks in. Twice is the same as once.

    ``standalone``: the hooks start `autosync-relay --once` themselves. ``config`` is the configuration file
    where it is not the default. Raises Problem when nothing can be done; what concerns one hook alone
    is in the report.
    """
    _refuse_for_others(repository)
    try:
        return _install(repository, standalone, config and Path(os.path.abspath(config)), dry_run)  # noqa: PTH100
    except OSError as error:
        raise _not_writable(repository, error) from error


def uninstall(repository: Repository, *, dry_run: bool = False) -> Report:
    """Take the hooks out, and put back what was there. Raises Problem when nothing can be done."""
    try:
        return _uninstall(repository, dry_run)
    except OSError as error:
        raise _not_writable(repository, error) from error


def _install(repository: Repository, standalone: bool, config: Path | None, dry_run: bool) -> Report:
    places, work = Places(repository), Work(repository, dry_run)
    named = config or _configured(work)
    start = Standalone(_relay_program(), named) if standalone else None
    wanted = target.build(places, layout.survey(repository, work.state.replaced(_HOOKS_PATH)), start)
    if not dry_run:
        new = not repository.own_dir.is_dir()
        repository.make_own_folders()
        if new:
            work.made(repository.own_dir)
        _remember_branches(repository, work, standalone)
    for path, data in wanted.files.items():
        try:
            if path in wanted.moves:
                work.put_aside(path, wanted.moves[path])
            _refuse_changed(path)
            work.write(path, data)
        except Problem as problem:
            work.problem(problem.what, problem.remedy or "")
    for path, text in wanted.links.items():
        work.link(path, text)
    for key, value in wanted.settings.items():
        work.set(key, value)
    if config is not None:
        work.set(_CONFIG_KEY, str(config))
    _take_out(places, work, wanted)
    work.write(places.fallback, _fallback(work.state.replaced(_HOOKS_PATH)))
    _refuse_overruled(repository, places, wanted, dry_run)
    return work.report()


def _remember_branches(repository: Repository, work: Work, standalone: bool) -> None:
    """The runs that hooks start in a bare repository announce what has moved since: from now on, at first."""
    if not standalone or not repository.bare:
        repository.announced.unlink(missing_ok=True)
    elif not repository.announced.exists():
        branches = repository.git.run("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads").text
        seen = dict(line.split(" ") for line in branches.splitlines())
        work.write_data(repository.announced, json.dumps({"seen": seen, "base": {}}).encode())


def _uninstall(repository: Repository, dry_run: bool) -> Report:
    places, work = Places(repository), Work(repository, dry_run)
    work.undo_settings(keep=())
    _take_out(places, work, Target(layout.Way.FOLDER))
    work.remove(places.fallback)
    if not dry_run and not work.state.edits:
        _forget(repository, places, work)
    return work.report()


def _forget(repository: Repository, places: Places, work: Work) -> None:
    """Remove what is left of an installation, when nothing of it is in use."""
    for note in _entries(repository.notes_dir):
        note.unlink(missing_ok=True)
    mine = os.fspath(repository.own_dir.relative_to(repository.common_dir)) in work.state.made
    places.state.unlink(missing_ok=True)
    if mine:
        for folder in (*repository.common_dir.glob("worktrees/*/autosync"), repository.own_dir):
            _forget_runs(folder)


def _forget_runs(folder: Path) -> None:
    """Remove what the runs leave that hooks have started, unless a service keeps its own files there."""
    found = _entries(folder)
    if any(path.name not in _OF_RUNS and not path.name.startswith("state-") for path in found):
        return
    with contextlib.suppress(locks.Held), locks.locked(folder / "lock"):
        for path in {*found, folder / "lock"}:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        folder.rmdir()


def _take_out(places: Places, work: Work, keep: Target) -> None:
    """Remove everything of ours that is not in ``keep``, and put back the hooks that it stood before."""
    work.undo_settings(keep={*keep.settings, _CONFIG_KEY} if keep.files else ())
    for key in _keys(places, work):
        if key not in keep.settings:
            work.unset(key)
    for path in _places_of_files(places):
        if path not in keep.files and path not in keep.links:
            _remove_ours(places, work, path)
    for aside in _entries(places.guests):
        hook = places.folder / aside.name
        if aside in keep.links or hook in keep.files:
            continue
        if aside.is_symlink() and os.readlink(aside) == f"../{places.folder.name}/{aside.name}":  # noqa: PTH115
            work.remove(aside)
        elif layout.kind(hook) in (None, Kind.OURS):
            work.put_back(aside, hook)
        elif layout.kind(hook) is Kind.FOREIGN:
            work.problem(
                f"{hook} was put in since autosync's was, and the one from before is still kept as {aside}",
                f"keep the one you need: mv {quoted(aside)} {quoted(hook)}, or rm {quoted(aside)}",
            )
    for folder in (places.guests, places.own_folder, places.folder):
        work.remove_made_folder(folder)


def _remove_ours(places: Places, work: Work, path: Path) -> None:
    kind = layout.kind(path)
    aside = places.guests / path.name
    if kind is Kind.CHANGED:
        back = f", then: mv {quoted(aside)} {quoted(path)}" if os.path.lexists(aside) else ""
        work.problem(
            f"{path} was changed since autosync installed it, and is left as it is",
            f"move your own lines elsewhere and remove it: rm {quoted(path)}{back}",
        )
    elif path.parent == places.own_folder and kind is Kind.FOREIGN:
        if path.is_symlink():
            work.remove(path)
        else:
            work.problem(
                f"{path} was put in by somebody else, and is left where git does not look for it any more",
                f"move it to {places.folder} if it is needed",
            )
    elif kind is Kind.OURS and not (path.parent == places.folder and os.path.lexists(aside)):
        # one that stands before another hook is replaced by that in one step
        work.remove(path)


def _places_of_files(places: Places) -> Iterator[Path]:
    """Everywhere a file of ours may be."""
    for name in names.CLIENT + names.SERVER:
        yield places.folder / name
        # where pre-commit moves a hook that it finds
        yield places.folder / f"{name}.legacy"
    yield places.dispatched
    yield places.shared_part
    yield from _entries(places.own_folder)


def _keys(places: Places, work: Work) -> Iterator[str]:
    for name in names.CLIENT + names.SERVER:
        yield target.hook_key(name, "event")
        yield target.hook_key(name, "command")
    value = work.local(_HOOKS_PATH)
    if value is not None and layout.is_ours(places, value):
        yield _HOOKS_PATH


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _refuse_changed(path: Path) -> None:
    if layout.kind(path) is Kind.CHANGED:
        raise Problem(
            f"{path} was changed since autosync installed it, and is left as it is",
            f"move your own lines to a file of their own and remove it (rm {quoted(path)}); then install again",
        )


def _refuse_overruled(repository: Repository, places: Places, wanted: Target, dry_run: bool) -> None:
    if dry_run or _HOOKS_PATH not in wanted.settings:
        return
    in_force = layout.values(repository)[-1]
    if not layout.is_ours(places, in_force.value):
        raise Problem(
            f"core.hooksPath is {in_force.value} for this work tree alone, and so autosync's hooks do not run in it",
            f"git -C {quoted(repository.path)} config --worktree --unset core.hooksPath",
        )


def _refuse_for_others(repository: Repository) -> None:
    owner = repository.common_dir.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"'#{owner}'"
        raise Problem(
            f"{repository.path} belongs to {name}, who could not change hooks that root installs",
            f"sudo -u {name} autosync-install-hooks {quoted(repository.path)}",
        )


def _not_writable(repository: Repository, error: OSError) -> Problem:
    where = error.filename or repository.common_dir
    return Problem(
        f"cannot change the hooks of {repository.path} ({error.strerror}: {where})",
        "let it be writable, and try again: what was done so far is kept or taken up again",
    )


def _configured(work: Work) -> Path | None:
    named = work.local(_CONFIG_KEY)
    return Path(named) if named else None


def _relay_program() -> Path:
    """The program that hooks start. Raises Problem."""
    beside = Path(sys.executable).parent / _RELAY
    # by the name that outlives an upgrade: an installation keeps each version in a folder of its own behind a link
    named = [shutil.which(_RELAY), Path(sys.argv[0]).parent / _RELAY]
    lasting = [Path(name).absolute() for name in named if name and _same(Path(name), beside)]
    found = next(iter(lasting), beside if os.access(beside, os.X_OK) else shutil.which(_RELAY))
    if found is None:
        raise Problem(f"there is no {_RELAY} for the hooks to start", "install autosync whole, with ./install.sh")
    return Path(found).absolute()


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _fallback(replaced: str | None) -> bytes:
    body = resources.files(__package__).joinpath("uninstall.sh").read_text(encoding="ascii")
    return os.fsencode(body.replace("autosync_replaced=\n", f"autosync_replaced={quoted(replaced or '')}\n"))
