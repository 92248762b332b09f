"""`autosync-relay --listen-refs`: the far side of an ssh connection, which says when branches move.

Started by the connection and ended with it; no daemon, no port, no configuration. It can tell of what the account that
logged in can read, and of nothing else. Requests may be hostile: what is not well-formed is ignored, all is bounded.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autosync.common import inotify
from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.inotify import Inotify
from autosync.common.reader import GitReader, Unreadable
from autosync.common.repository import Repository
from autosync.common.version import version

from . import ssh_protocol
from .ssh_protocol import Hello, Ping, Pong, Refused, Report, Unwatch, Watch

#: Seconds after which a client that says nothing counts as gone; it says something every five minutes.
SILENCE = 1200.0
# Seconds between two looks at branches, however often they move.
_INTERVAL = 0.1
_MASK = (
    inotify.CREATE
    | inotify.MOVED_TO
    | inotify.MOVED_FROM
    | inotify.DELETE
    | inotify.DELETE_SELF
    | inotify.MOVE_SELF
    | inotify.ONLYDIR
)
# What changes in the common directory of a repository when refs do.
_TELLING = (b"packed-refs", b"refs", b"reftable")


@dataclass(slots=True)
class _Branch:
    repository: Repository
    ref: str
    commit: str | None


class Listener:
    """Which branches are asked for, and where they were when that was last said. ``say`` sends a line."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._inotify = Inotify()
        self._branches: dict[int, _Branch] = {}
        self._watches: dict[int, set[int]] = {}
        self._common: set[int] = set()
        self._dirty: set[int] = set()

    def fileno(self) -> int:
        return self._inotify.fileno()

    def close(self) -> None:
        self._inotify.close()

    @property
    def dirty(self) -> bool:
        """Whether a branch may have moved."""
        return bool(self._dirty)

    def say(self, said: Hello | Report | Refused | Pong) -> None:
        """Raises OSError when nobody hears us any more."""
        data = ssh_protocol.write(said)
        while data:
            data = data[os.write(self._output, data) :]

    def take(self, line: bytes) -> None:
        """Do what a line asks for."""
        match ssh_protocol.parse_request(line):
            case Watch(number, path, ref):
                self._forget(number)
                if len(self._branches) >= ssh_protocol.MOST:
                    self.say(Refused(number, "too many"))
                    return
                try:
                    branch = _Branch(_find(path), ref, None)
                    self._branches[number] = branch
                    self._place(number, branch)
                    branch.commit = GitReader(branch.repository.git).resolve(ref)
                except (Problem, GitError, Unreadable, OSError, ValueError, RuntimeError) as error:
                    self._forget(number)
                    self.say(Refused(number, str(error)))
                    return
                self.say(Report(number, branch.commit))
            case Unwatch(number):
                self._forget(number)
            case Ping():
                self.say(Pong())

    def note(self) -> None:
        """Take in what inotify tells."""
        for event in self._inotify.read():
            if event.mask & inotify.Q_OVERFLOW:
                self._dirty |= self._branches.keys()
            elif event.name.endswith(b".lock") or (event.watch in self._common and event.name not in (b"", *_TELLING)):
                continue
            elif event.mask & inotify.IGNORED:
                self._common.discard(event.watch)
                self._dirty |= self._watches.pop(event.watch, set())
            else:
                self._dirty |= self._watches.get(event.watch, set())

    def look(self) -> None:
        """Say which of the branches that may have moved did."""
        dirty, self._dirty = self._dirty, set()
        for number in dirty & self._branches.keys():
            branch = self._branches[number]
            try:
                self._place(number, branch)
                commit = GitReader(branch.repository.git).resolve(branch.ref)
            except (GitError, Unreadable, OSError) as error:
                self._forget(number)
                self.say(Refused(number, str(error)))
                continue
            if commit != branch.commit:
                branch.commit = commit
                self.say(Report(number, commit))

    def _place(self, number: int, branch: _Branch) -> None:
        """Watch where the branch's ref may change: its file, packed-refs, or a table of refs."""
        common = branch.repository.common_dir
        wd = self._inotify.watch(os.fsencode(common), _MASK)
        self._common.add(wd)
        self._watches.setdefault(wd, set()).add(number)
        folders = [common / "reftable", common / "refs"]
        for part in branch.ref.split("/")[1:-1]:
            folders.append(folders[-1] / part)
        for folder in folders:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._watches.setdefault(self._inotify.watch(os.fsencode(folder), _MASK), set()).add(number)

    def _forget(self, number: int) -> None:
        if self._branches.pop(number, None) is None:
            return
        for wd, numbers in list(self._watches.items()):
            numbers.discard(number)
            if not numbers:
                del self._watches[wd]
                self._common.discard(wd)
                self._inotify.unwatch(wd)


def _find(path: str) -> Repository:
    """The repository that git would serve for a path (git-upload-pack(1)). Raises Problem, GitError, OSError."""
    place = Path.home() / Path(path).expanduser()
    for candidate in (place, place.with_name(place.name + ".git")):
        if candidate.is_dir():
            return Repository.open(candidate)
    raise Problem("there is no such repository")


def serve(source: int = 0, output: int = 1, silence: float = SILENCE) -> None:
    """Serve the client on descriptor ``source``, until it is gone, or silent for ``silence`` seconds."""
    listener = Listener(output)
    poll = select.poll()
    poll.register(source, select.POLLIN)
    poll.register(listener, select.POLLIN)
    lines = _Lines()
    heard_at = looked_at = time.monotonic()
    try:
        listener.say(Hello(socket.gethostname(), version()))
        while True:
            now = time.monotonic()
            due = looked_at + _INTERVAL if listener.dirty else heard_at + silence
            ready = {number for number, _ in poll.poll(max(0.0, due - now) * 1000)}
            now = time.monotonic()
            if source in ready:
                heard_at = now
                data = os.read(source, 65536)
                if not data:
                    return
                for line in lines.cut(data):
                    listener.take(line)
            if listener.fileno() in ready:
                listener.note()
            if listener.dirty and now >= looked_at + _INTERVAL:
                looked_at = now
                listener.look()
            if now >= heard_at + silence:
                return
    except (BrokenPipeError, ConnectionError):
        return
    finally:
        listener.close()


class _Lines:
    """Cuts what comes into lines. One that is too long is left out, whatever its length."""

    def __init__(self) -> None:
        self._held = b""
        self._skipping = False

    def cut(self, data: bytes) -> Iterator[bytes]:
        *whole, rest = (self._held + data).split(b"\n")
        for line in whole:
            if self._skipping:
                self._skipping = False
            elif len(line) < ssh_protocol.LINE_LIMIT:
                yield line
        if len(rest) >= ssh_protocol.LINE_LIMIT:
            self._skipping, rest = True, b""
        self._held = rest


def main() -> int:
    """The body of the command; returns its exit code."""
    try:
        serve()
    except OSError as error:
        print(f"autosync-relay --listen-refs: {error}", file=sys.stderr)
        return 1
    return 0
