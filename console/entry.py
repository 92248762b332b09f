"""Adding a `[[repository]]` to the configuration file: as text, so that what the person wrote stays as it is."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from autosync.common import atomic, config, locks
from autosync.common.config import Repo
from autosync.common.config.sample import sample
from autosync.common.errors import Problem
from autosync.common.instance import Instance

#: What a key of the configuration may have as its value.
Value = str | bool | float | list[str]
#: Seconds to wait for another command that adds an entry at this moment.
_LOCK_WAIT = 5.0


def find(repos: list[Repo], path: Path) -> Repo | None:
    """The repository that ``path`` is, under whatever name the configuration has it."""
    return next((repo for repo in repos if repo.path == path or repo.path.resolve() == path.resolve()), None)


def ensure_file(instance: Instance) -> bool:
    """Make the configuration file from the sample when there is none; returns whether it was made. Raises Problem."""
    if instance.config.exists():
        return False
    _write(instance.config, sample())
    return True


def add(instance: Instance, path: Path, settings: Mapping[str, Value] | None = None) -> bool:
    """Have the repository at ``path`` (absolute) in the configuration, with ``settings`` if it is new; returns whether
    it was added.

    The file is made from the sample when there is none. It is replaced only by one that is valid, and
    never gets the same repository twice. Raises Problem.
    """
    with _locked(instance):
        ensure_file(instance)
        _, repos = config.load(instance.config)
        if find(repos, path) is not None:
            return False
        _append(
            instance,
            entry(path, Path.home(), settings),
            lambda _, repos: find(repos, path) is not None,
            f"{path} to {instance.config} as a table at its end",
        )
        return True


def add_table(instance: Instance, name: str, values: Mapping[str, Value]) -> bool:
    """Have a table like `[reflector]` in the configuration; returns whether it was added: one that is there stays.

    Raises Problem.
    """
    with _locked(instance):
        ensure_file(instance)
        settings, _ = config.load(instance.config)
        if _has(settings, name):
            return False
        _append(
            instance,
            table(name, values),
            lambda settings, _: _has(settings, name),
            f"[{name}] to {instance.config}",
        )
        return True


def _has(settings: config.Config, name: str) -> bool:
    return bool(getattr(settings, name) != config.Config.model_fields[name].default)


@contextlib.contextmanager
def _locked(instance: Instance) -> Iterator[None]:
    try:
        with locks.locked(instance.lock("config"), _LOCK_WAIT):
            yield
    except locks.Held as held:
        raise Problem(f"another command is changing {instance.config} ({held})", "try again") from None


def _append(
    instance: Instance, addition: str, is_there: Callable[[config.Config, list[Repo]], bool], what: str
) -> None:
    """Add text at the end of the file, unless that would not give the old configuration and what is to be there."""
    text = instance.config.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        text += "\n"
    trouble = ""
    try:
        # beside the file, as paths in it are relative to where it is
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=instance.config.parent, suffix=".toml") as trial:
            trial.write(text + addition)
            trial.flush()
            added = is_there(*config.load(Path(trial.name)))
    except OSError as error:
        raise Problem(f"cannot write into {instance.config.parent} ({error.strerror})", "make it writable") from error
    except Problem as problem:
        # the lines that name what is wrong, without the trial's name
        trouble = "".join(
            f" ({line.partition('.toml: ')[2]})" for line in problem.what.splitlines() if ".toml: " in line
        )
        added = False
    if not added:
        raise Problem(f"cannot add {what}{trouble}", f"add this by hand:\n{addition.strip()}")
    _write(instance.config, text + addition)


def table(name: str, values: Mapping[str, Value]) -> str:
    """The text of a new table."""
    return f"\n[{name}]\n" + _lines(values)


def entry(path: Path, home: Path, settings: Mapping[str, Value] | None = None) -> str:
    """The text of a new entry. Raises Problem for a path that TOML cannot hold."""
    shown = str(path)
    if home != Path("/") and path.is_relative_to(home) and path != home:
        shown = f"~/{path.relative_to(home)}"
    try:
        shown.encode()
    except UnicodeEncodeError:
        raise Problem(
            f"the name of {shown!a} is not UTF-8, and so cannot stand in a configuration file", "rename the folder"
        ) from None
    return "\n[[repository]]\n" + _lines({"path": shown, **(settings or {})})


def _lines(values: Mapping[str, Value]) -> str:
    # JSON's texts, numbers, lists and truth values are TOML's too, but for one character that TOML wants escaped
    shown = {key: json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") for key, value in values.items()}
    return "".join(f"{key} = {value}\n" for key, value in shown.items())


def _write(file: Path, text: str) -> None:
    # a link to where the person keeps such files stays one
    target = file.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        atomic.write(target, text.encode(), mode)
    except OSError as error:
        raise Problem(f"cannot write {target} ({error.strerror})", "let this user write there") from error
