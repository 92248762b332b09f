"""Reading dvcs-autosync's configuration file: what of it there is here, and what is not carried over.

The format is that of Python 2's ConfigParser, with the sections `autosync`, `dvcs`, `xmpp` and `autosync-server`.
"""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass
from pathlib import Path

from autosync.common.errors import Problem

# Folders that git, or autosync, leaves out anyway.
_NEVER = {".git", ".svn", ".hg", ".bzr"}
# The commands of its own example, which do what autosync does.
_USUAL = re.compile(r"git (status|add|rm|mv|commit|push|pull|config --get remote\.origin\.url)\b")
_ACCOUNT = re.compile(r"([^\s@/\"&'<>:]+@[^\s@/]+)(/.*)?")


@dataclass(frozen=True, slots=True)
class Found:
    """What one file says. ``path`` is as it stands there; ``exclude`` are folders below it; seconds."""

    path: str
    pidfile: str | None
    push_delay: float | None
    exclude: tuple[str, ...]
    jid: str | None
    password: str | None
    tell: str | None
    desktop: bool
    #: What is not carried over, in sentences.
    left_out: tuple[str, ...]


def read(file: Path) -> Found:
    """Read a configuration file of dvcs-autosync. Raises Problem."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        # Python 2 read bytes: what is not UTF-8 was Latin 1, most likely
        data = file.read_bytes()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        parser.read_string(text)
    except FileNotFoundError:
        raise Problem(f"there is no file {file}", "name dvcs-autosync's configuration file") from None
    except OSError as error:
        raise Problem(f"cannot read {file} ({error.strerror})", "make it readable") from error
    except configparser.Error as error:
        reason = " ".join(str(error).split())
        raise Problem(
            f"{file} is not a configuration file of dvcs-autosync ({reason})", "name the right file, or mend the line"
        ) from None

    def value(section: str, key: str) -> str | None:
        return parser.get(section, key, fallback="").strip() or None

    path = value("autosync", "path")
    if path is None:
        raise Problem(f"{file} has no path in a section [autosync]", "name dvcs-autosync's configuration file")
    left_out = _other_commands(parser)
    if any(line.startswith("it runs") and " hg" in line for line in left_out):
        raise Problem(f"{path} in {file} is kept by Mercurial", "autosync knows git only: convert the repository first")
    delay = value("autosync", "readfrequency")
    if value("autosync", "syncmethod") == "autosync-server":
        left_out.append("autosync-server: tell the machines by XMPP or a reflector instead")
    account, tell = _jid(value("xmpp", "username")), _jid(value("xmpp", "alsonotify"))
    return Found(
        path=path,
        pidfile=value("autosync", "pidfile"),
        push_delay=float(delay) if delay is not None and delay.replace(".", "", 1).isdigit() else None,
        exclude=tuple(name for name in (value("autosync", "ignorepath") or "").split() if name not in _NEVER),
        jid=account,
        password=value("xmpp", "password") if account else None,
        tell=tell,
        desktop=value("autosync", "notifymethod") not in ("none", "xmpp"),
        left_out=tuple(left_out),
    )


def _other_commands(parser: configparser.RawConfigParser) -> list[str]:
    found = []
    for key, text in parser.items("dvcs") if parser.has_section("dvcs") else []:
        for line in text.strip().splitlines():
            if line.strip() and not _USUAL.match(line.strip()):
                found.append(f"it runs its own {key}: {line.strip()}")
    return found


def _jid(text: str | None) -> str | None:
    """The bare account; None for none, and for the words that its example has there."""
    found = _ACCOUNT.fullmatch(text or "")
    return found[1] if found else None
