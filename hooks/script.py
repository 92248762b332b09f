"""What the installed files say, and how to know one's own again.

A file of ours carries a mark in its second line, with a checksum over everything after that line: so any
version of the program, or a person, can tell an untouched file from one that was changed since.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from pathlib import Path

_FIRST = "#!/bin/sh\n"
_MARK = re.compile(rb"^# autosync hook ([0-9]+) ([0-9a-f]{16})$", re.MULTILINE)
_STANDALONE = re.compile(rb"^autosync_relay=(.*?)\nautosync_config=(.*?)\n\n", re.MULTILINE | re.DOTALL)
_VERSION = 1
_ABOUT = "# Leaves a note for autosync-relay. Remove it with: autosync-install-hooks --uninstall\n"
#: Bytes of a file in which the mark has to be.
_HEAD = 256


@dataclass(frozen=True, slots=True)
class Standalone:
    """The program that a hook starts where no relay runs: its absolute path, and its configuration file's."""

    relay: Path
    config: Path | None


class Kind(Enum):
    """Whose file it is."""

    OURS = "ours"
    CHANGED = "changed"  # ours once, edited since
    FOREIGN = "foreign"


def hook(name: str, guest: str | None, start: Standalone | None) -> bytes:
    """A hook for a hooks folder. ``guest`` is a shell expression for the hook that it hands on to."""
    return _marked(_settings(start, name=name, guest=guest) + _part("locate.sh") + "\n" + _part("note.sh"))


def shared_part(start: Standalone | None) -> bytes:
    """The file that the commands of `configured_command` read."""
    return _marked(_settings(start, name=None, guest=None) + _part("note.sh"))


def forwarder(guest: str) -> bytes:
    """A hook that does nothing but run another one. ``guest`` is a shell expression."""
    return _marked(f'[ -x {guest} ] || exit 0\nexec {guest} "$@"\n')


def configured_command(name: str) -> str:
    """The command for git's configuration: finds the repository's folder and runs the shared part there.

    It names no path, so that it holds when the repository is moved. git adds `"$@"` to it.
    """
    locate = "".join(line + "\n" for line in _part("locate.sh").splitlines() if not line.startswith("#"))
    shared = '"$autosync_git/autosync/hook"'
    return f"autosync_hook={name}\n{locate}[ ! -r {shared} ] || . {shared}"


def kind(data: bytes) -> Kind:
    """Whose file has this content."""
    found = _MARK.search(data[:_HEAD])
    if found is None:
        return Kind.FOREIGN
    return Kind.OURS if _sum(data[found.end() + 1 :]) == found[2] else Kind.CHANGED


def standalone(data: bytes) -> Standalone | None:
    """What a file of ours starts."""
    found = _STANDALONE.search(data)
    if found is None:
        return None
    relay, config = (shlex.split(os.fsdecode(word)) for word in found.groups())
    return Standalone(Path(relay[0]), Path(config[0]) if config else None) if relay else None


def quoted(path: Path | str) -> str:
    """A path as a word of the shell."""
    return shlex.quote(os.fspath(path))


def _settings(start: Standalone | None, name: str | None, guest: str | None) -> str:
    relay = quoted(start.relay) if start else ""
    config = quoted(start.config) if start and start.config else ""
    lines = [f"autosync_hook={name}"] if name else []
    lines += [f"autosync_guest={guest or ''}", f"autosync_relay={relay}", f"autosync_config={config}"]
    return "".join(line + "\n" for line in lines) + "\n"


def _marked(body: str) -> bytes:
    rest = os.fsencode(_ABOUT + body)
    return _FIRST.encode() + b"# autosync hook %d %s\n" % (_VERSION, _sum(rest)) + rest


def _sum(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest()[:16].encode()


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="ascii")
