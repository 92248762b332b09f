"""Where a repository's upstream is: the URLs by which others know it, and the ssh server that may tell of its moves."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from autosync.common.repository import Repository

from .state import Observed

# A host of git's: no option, nothing that a shell or ssh reads otherwise (CVE-2017-1000117).
_HOST = re.compile(r"(?:[A-Za-z0-9._+-]+@)?(?:[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)")
_LONG = re.compile(
    r"(?:ssh|git\+ssh|ssh\+git)://(?:([^@/\[\]]*)@)?(\[[^\]/]*\]|[^:/\[\]]*)(?::(\d{1,5}))?(/.*)", re.DOTALL
)
_SHORT = re.compile(r"(?:([^@/:\[\]]*)@)?(\[[^\]/]*\]|[^:/\[\]]+):(?!:)(.+)", re.DOTALL)
_PATH_LIMIT = 4096
# URLs that nobody rewrites
_HERE = ("/", "./", "../", "file://")


@dataclass(frozen=True, slots=True)
class Place:
    """A login: `host` or `user@host` as the person writes it, and how to get there. ``command`` is what the person
    wants run instead of `ssh` (git-config(1), core.sshCommand), None for nothing special."""

    destination: str
    port: int | None = None
    command: str | None = None

    def __str__(self) -> str:
        return self.destination if self.port is None else f"{self.destination}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tracked:
    """A branch on an ssh server: the path as git would send it, and the full name of the ref."""

    place: Place
    path: str
    ref: str


def parse(url: str) -> tuple[Place, str] | None:
    """The login and the path of an ssh URL (git-clone(1), "GIT URLS"); None for what is none, or looks like a trick."""
    found = _LONG.fullmatch(url)
    if found:
        user, host, port, path = found[1], found[2], found[3], found[4]
        path = path[1:] if path.startswith("/~") else path
    else:
        found = None if "://" in url else _SHORT.fullmatch(url)
        if found is None:
            return None
        user, host, port, path = found[1], found[2], None, found[3]
        inner = re.fullmatch(r"\[([^\]:]+):(\d{1,5})\]", host)
        if inner:
            host, port = inner[1], inner[2]
    destination = f"{user}@{host.strip('[]')}" if user else host.strip("[]")
    if not _HOST.fullmatch(destination) or destination.startswith("-") or "\0" in path or len(path) > _PATH_LIMIT:
        return None
    return Place(destination, None if port is None else int(port)), str(PurePosixPath(path))


class Remote:
    """The upstream of one repository. ``urls``: as configured, and as git rewrites that (`url.<base>.insteadOf`)."""

    def __init__(self) -> None:
        self.urls: tuple[str, ...] = ()
        self.tracked: Tracked | None = None
        self._asked: tuple[str, str, str] | None = None

    def update(self, repository: Repository, seen: Observed) -> bool:
        """Bring it up to date; returns whether it is another. Asks git only when the configuration is another. Raises
        OSError."""
        if seen.upstream is None or seen.url is None:
            changed, self.urls, self.tracked, self._asked = bool(self.urls), (), None, None
            return changed
        asked = (seen.upstream.remote, seen.upstream.ref, seen.url)
        if asked == self._asked:
            return False
        self._asked = asked
        url = seen.url if seen.url.startswith(_HERE) else _rewritten(repository, seen.upstream.remote) or seen.url
        self.urls = tuple(dict.fromkeys((seen.url, url)))
        found = parse(url)
        self.tracked = None
        if found is not None:
            place, path = found
            command = _command(repository)
            self.tracked = Tracked(Place(place.destination, place.port, command), path, seen.upstream.ref)
        return True


def _rewritten(repository: Repository, remote: str) -> str:
    return repository.git.run("ls-remote", "--get-url", "--", remote, check=False).text


def _command(repository: Repository) -> str | None:
    """What git would run for ssh, besides `GIT_SSH_COMMAND`, which stands above it."""
    if os.environ.get("GIT_SSH_COMMAND"):
        return os.environ["GIT_SSH_COMMAND"]
    result = repository.git.run("config", "--get", "core.sshCommand", check=False)
    return result.text if result.code == 0 and result.text else None
