"""Reading configuration files: all problems at once, each with file, key path and what was expected."""

from __future__ import annotations

import contextlib
import difflib
import glob
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tomli
from pydantic import BaseModel, ValidationError

from ..errors import Problem
from ..shell import typed
from .model import Config, OneReflector, OneXmpp, Reflector, RepositoryEntry, Settings, Shared, Xmpp, explicit

#: A file at a repository's root, committed and so shared by all machines.
SHARED_FILE = ".autosync.toml"
#: A repository's file comes from other people: it may not make us read without end. In bytes.
SHARED_LIMIT = 64 * 1024
# bytes
_SECRET_LIMIT = 4096

_NOTHING_SHARED = Shared()

_Model = TypeVar("_Model", bound=BaseModel)
_Section = TypeVar("_Section", Xmpp, Reflector, OneXmpp | OneReflector)


@dataclass(frozen=True, slots=True)
class Repo:
    """One configured repository: where it is and what the machine's file says of it."""

    path: Path
    settings: Settings
    given: frozenset[str]


#: As the kernel has it (path_resolution(7)).
_MOST_LINKS = 40


def load(path: Path) -> tuple[Config, list[Repo]]:
    """Read the machine's configuration. Raises Problem that names every mistake in the file.

    Paths in the result are absolute.
    """
    data = _parse(_content(path, limit=None), path)
    config = _validate(Config, data, path)
    base = path.parent
    config = config.model_copy(
        update={
            "xmpp": config.xmpp and _absolute_section(config.xmpp, base),
            "reflector": config.reflector and _absolute_section(config.reflector, base),
            "transport": [_absolute_section(section, base) for section in config.transport],
        }
    )
    repositories = [_repo(config, entry, base) for entry in config.repository]
    _refuse_doubles(path, repositories)
    return config, _expanded(repositories)


def places(path: Path) -> list[Path]:
    """Where a change of the configuration file ``path`` may be made: itself, and what it leads to, link by link (it may
    live among other settings, in a repository even)."""
    found = [path]
    with contextlib.suppress(OSError):  # no link
        while len(found) < _MOST_LINKS:
            found.append(Path(os.path.normpath(found[-1].parent / found[-1].readlink())))
    return found


def pattern_folders(config: Config, path: Path) -> list[Path]:
    """The folders in which a new repository may begin to match a pattern like `/srv/git/*.git`; ``path`` is the
    configuration file."""
    folders = set()
    for entry in config.repository:
        wanted = _absolute_path(entry.path, path.parent)
        if _is_pattern(wanted):
            folders.update(_matching(wanted.parent) if _is_pattern(wanted.parent) else [wanted.parent])
    return sorted(folders)


def effective(repo: Repo, shared: Shared) -> Settings:
    """The settings in force: built-in, then the repository's own file, then the machine's file."""
    machine = {name: getattr(repo.settings, name) for name in repo.given}
    return Settings.model_construct(**(dict(Settings()) | explicit(shared) | machine))


def load_shared(root: Path) -> Shared:
    """Read `.autosync.toml` in the work tree ``root``; an absent one is an empty one.

    Raises Problem. A symbolic link is not followed.
    """
    path = root / SHARED_FILE
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise Problem(f"{path} is not a plain file", "replace it by one, or remove it")
    except (FileNotFoundError, NotADirectoryError):
        return _NOTHING_SHARED
    except OSError as error:
        raise Problem(f"cannot read {path} ({error.strerror})", "make it readable") from error
    return parse_shared(_content(path, SHARED_LIMIT), path)


def parse_shared(data: bytes, path: Path) -> Shared:
    """The settings in a version of the file ``path``. Raises Problem."""
    return _validate(Shared, _parse(data, path), path)


def read_secret(path: Path) -> str:
    """The first line of a file that nobody else may read. Raises Problem."""
    try:
        # a pipe must not make us wait for its writer
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise Problem(f"{path} is not a plain file", "write the secret into one, with mode 600")
            if found.st_mode & 0o077:
                raise Problem(f"{path} can be read by others", f"chmod 600 {typed(path)}")
            if found.st_uid not in (os.geteuid(), 0):
                raise Problem(f"{path} belongs to somebody else (user {found.st_uid})", "make a file of your own")
            line = file.readline(_SECRET_LIMIT + 2).rstrip(b"\r\n")
    except OSError as error:
        raise Problem(f"cannot read {path} ({error.strerror})", "make it, with mode 600") from error
    if len(line) > _SECRET_LIMIT:
        raise Problem(f"the first line of {path} is longer than {_SECRET_LIMIT} bytes", "write the secret into it")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Problem(f"{path} is not UTF-8 text", "write the secret as text in its first line") from None
    if not text:
        raise Problem(f"{path} is empty", "write the secret into its first line")
    return text


def _content(path: Path, limit: int | None) -> bytes:
    try:
        return path.read_bytes() if limit is None else _head(path, limit)
    except FileNotFoundError:
        raise Problem(f"there is no configuration file {path}", "make one with: autosync init PATH") from None
    except OSError as error:
        raise Problem(f"cannot read {path} ({error.strerror})", "make it readable") from error


def _parse(data: bytes, path: Path) -> dict[str, Any]:
    try:
        # some editors begin a file with a byte order mark
        return tomli.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Problem(f"{path} is not UTF-8 at byte {error.start}", "save it as UTF-8") from None
    except (tomli.TOMLDecodeError, RecursionError) as error:
        raise Problem(f"{path} is not valid TOML ({error})", "mend the line it names") from None


def _head(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Problem(f"{path} is larger than {limit} bytes", "shorten it")
    return data


def _validate(model: type[_Model], data: dict[str, Any], path: Path) -> _Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = [_sentence(model, dict(e)) for e in error.errors(include_url=False)]
    lines = "".join(f"\n  {path}: {line}" for line in found)
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    raise Problem(f"{count} in the configuration{lines}", "correct the file, and try again")


def _sentence(model: type[BaseModel], error: dict[str, Any]) -> str:
    location: Sequence[str | int] = error["loc"]
    # after a table's number comes the type that was chosen for it, which is no key
    key = _key_path((*location[:2], *location[3:]) if location[:1] == ("transport",) else location)
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        known = _keys_at(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, 1)
        if near:
            return f"{key}: unknown key; did you mean '{near[0]}'?"
        if model is Config and location[-1] in _keys_at(model, ("repository",)):
            return f"{key}: it belongs below [defaults], for all repositories, or below the [[repository]] it is for"
        return f"{key}: unknown key; known are {', '.join(known)}"
    if kind == "missing":
        return f"{key}: is required"
    if kind == "value_error":
        expected = str(error["ctx"]["error"])
    else:
        expected = _EXPECTED.get(kind, "").format(**error.get("ctx", {})) or error["msg"]
    shown = "" if isinstance(given, dict) else f", got {_shown(given)}"
    return f"{key or 'file'}: {expected}{shown}"


_EXPECTED = {
    "bool_type": "expected true or false",
    "string_type": "expected a text in quotes",
    "float_type": "expected a number",
    "int_type": "expected a whole number",
    "list_type": "expected a list",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
    "literal_error": "expected {expected}",
    "greater_than_equal": "expected {ge} or more",
    "less_than_equal": "expected {le} or less",
    "finite_number": "expected a finite number",
    "string_too_short": "expected a text that is not empty",
    "string_too_long": "expected at most {max_length} characters",
    "too_short": "expected a list that is not empty",
    "union_tag_not_found": "expected type = 'xmpp' or type = 'reflector'",
    "union_tag_invalid": "expected type = 'xmpp' or type = 'reflector'",
    "is_instance_of": "expected a path in quotes",
    "path_type": "expected a path in quotes",
}


def _shown(value: object) -> str:
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    text = text or repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _key_path(location: Sequence[str | int]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys of the table at ``location``, by following the declaration down to it."""
    tables: dict[str, type[BaseModel]] = {}
    if model is Config:
        from .model import Notify

        tables = {
            "xmpp": Xmpp,
            "reflector": Reflector,
            "notify": Notify,
            "defaults": Settings,
            "repository": RepositoryEntry,
            "transport": OneXmpp if "xmpp" in location else OneReflector,
        }
    table = tables.get(str(location[0]), model) if location else model
    return [field.alias or name for name, field in table.model_fields.items()]


def _repo(config: Config, entry: RepositoryEntry, base: Path) -> Repo:
    layers = explicit(config.defaults) | explicit(entry)
    path = layers.pop("path")
    settings = Settings.model_construct(**(dict(Settings()) | layers))
    return Repo(_absolute_path(path, base), settings, frozenset(layers))


def _is_pattern(path: Path) -> bool:
    return bool({"*", "?"} & set(os.fspath(path))) and not path.exists()


def _matching(pattern: Path) -> list[Path]:
    found = glob.glob(os.fspath(pattern))  # noqa: PTH207 - the pattern may be absolute
    return [path for path in map(Path, sorted(found)) if path.is_dir()]


def _expanded(repositories: Sequence[Repo]) -> list[Repo]:
    """Every repository that a pattern stands for now; one that is named by itself keeps its own settings."""
    named = {repo.path: repo for repo in repositories if not _is_pattern(repo.path)}
    for repo in repositories:
        if _is_pattern(repo.path):
            for path in _matching(repo.path):
                named.setdefault(path, Repo(path, repo.settings, repo.given))
    return list(named.values())


def _refuse_doubles(file: Path, repositories: Sequence[Repo]) -> None:
    seen: dict[Path, int] = {}
    for number, repo in enumerate(repositories):
        # links are not followed: a file system that hangs would keep the service from starting
        first = seen.setdefault(repo.path, number)
        if first != number:
            raise Problem(
                f"1 problem in the configuration\n  {file}: repository[{number}].path: "
                f"{repo.path} is repository[{first}] already",
                "remove one of the two",
            )


def _absolute(model: _Model, base: Path, *names: str) -> _Model:
    update = {n: _absolute_path(getattr(model, n), base) for n in names if getattr(model, n) is not None}
    return model.model_copy(update=update)


def _absolute_section(section: _Section, base: Path) -> _Section:
    return _absolute(section, base, "password_file" if isinstance(section, Xmpp) else "secret_file", "ca_file")


def _absolute_path(path: Path, base: Path) -> Path:
    try:
        return Path(os.path.normpath(base / path.expanduser()))
    except RuntimeError:
        raise Problem(f"there is no home folder to put for ~ in {path}", "write the whole path") from None
