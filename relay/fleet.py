"""What is known of the other machines: which commit each has of which repository, since when, and how long ours took
to be seen there.

A machine says where it is when it has come to rest in sync (`has`), and by every push. That is for people: nothing
is decided from it. With `silent-after`, machines also say it now and then, and one that says nothing for longer is an
alarm.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autosync.common import atomic
from autosync.common.git import GitError, split
from autosync.common.repository import Repository

from .announcement import Announcement, is_branch, is_commit

_log = logging.getLogger(__name__)
#: Machines of a repository up to which each says at once where it is: all tell all, which grows with the square.
MANY = 20
#: Machines that are remembered of one repository.
_MOST = 1000
#: Seconds between two writes of what is remembered.
_WRITE = 60.0
#: Own pushes whose way to the others is timed, and the seconds that a file may have been at rest before its commit.
_TIMED, _RESTED = 50, 3600.0


@dataclass(frozen=True, slots=True)
class Word:
    """The last that a machine said of a repository: the ``commit`` that it has on ``ref``, and when that was heard
    (seconds since the epoch).

    ``seconds``: how long a file saved here took to be visible there, when last measured. ``steady``: it has said
    `has`, as machines with a work tree do; a central server only passes pushes on, and its silence means nothing.
    """

    ref: str
    commit: str
    heard: float
    seconds: float | None = None
    steady: bool = False


class Fleet:
    """Takes in what machines say. ``clock`` is in seconds since the epoch."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._words: dict[Path, dict[str, Word]] = _read(file)
        self._pushed: dict[tuple[Path, str], float] = {}
        self._said: dict[Path, tuple[str, str]] = {}
        self._met: set[tuple[Path, str]] = set()
        self._timed: set[tuple[str, str]] = set()
        self._written = 0.0
        self._unwritten = False

    # what this machine says --------------------------------------------------------------------------

    def pushed(self, path: Path, ref: str, commit: str) -> None:
        """A push from here was announced, which says where this machine is."""
        self._said[path] = ref, commit
        self._pushed[path, commit] = self._clock()
        while len(self._pushed) > _TIMED:
            del self._pushed[next(iter(self._pushed))]

    def to_say(self, path: Path, ref: str, commit: str, *, again: bool = False) -> bool:
        """Whether the others are to be told that this machine has ``commit``; ``again``: also when they were."""
        if not again and (self._said.get(path) == (ref, commit) or len(self._words.get(path, ())) > MANY):
            return False
        self._said[path] = ref, commit
        return True

    # what others say ---------------------------------------------------------------------------------

    def heard(self, path: Path, announcement: Announcement) -> bool:
        """Take in a machine's word; returns whether it is the first of that machine since this relay began, which
        may not know yet where this machine is."""
        machine = announcement.machine
        words = self._words.setdefault(path, {})
        known = words.pop(machine, None)
        while len(words) >= _MOST:
            del words[next(iter(words))]
        words[machine] = Word(
            announcement.ref,
            announcement.commit,
            self._clock(),
            known.seconds if known is not None else None,
            announcement.kind == "has" or (known is not None and known.steady),
        )
        self._unwritten = True
        if self._clock() - self._written >= _WRITE:
            self.save()
        first = (path, machine) not in self._met
        self._met.add((path, machine))
        return first

    async def time(self, repository: Repository, announcement: Announcement) -> None:
        """Measure how long the commit took to be visible at the machine that says `has`, if it was pushed here."""
        path, now = repository.path, self._clock()
        pushed = self._pushed.get((path, announcement.commit))
        timed = (announcement.machine, announcement.commit)
        # the same word may come over several transports
        if pushed is None or announcement.kind != "has" or timed in self._timed:
            return
        if len(self._timed) >= _TIMED * MANY:
            self._timed.clear()
        self._timed.add(timed)
        saved = await _saved(repository, announcement.commit, pushed)
        word = self._words.get(path, {}).get(announcement.machine)
        if saved is not None and word is not None:
            self._words[path][announcement.machine] = replace(word, seconds=round(now - saved, 3))
            self._unwritten = True

    def forget(self, machine: str) -> bool:
        """Leave a machine out from now on, until it speaks again; returns whether it was known."""
        known = [words.pop(machine) for words in self._words.values() if machine in words]
        self._unwritten = True
        self.save()
        return bool(known)

    # what is known -----------------------------------------------------------------------------------

    def last_heard(self, machine: str) -> float:
        """When the machine last spoke, of any repository."""
        return max((words[machine].heard for words in self._words.values() if machine in words), default=0.0)

    def silent(self, limits: Mapping[Path, float], since: float) -> dict[str, float]:
        """The machines that are silent for longer than the limit (seconds; 0: none) of one of their repositories, each
        with when it last spoke. ``since``: what was said before was not listened for."""
        now, found = self._clock(), {}
        for path, limit in limits.items():
            for machine, word in self._words.get(path, {}).items():
                last = self.last_heard(machine)
                if limit and word.steady and now - max(last, since) > limit:
                    found[machine] = last
        return found

    def report(self, paths: Mapping[Path, object], silent: Mapping[str, float]) -> list[dict[str, Any]]:
        """All words about the repositories, as in `status`."""
        return [
            {
                "machine": machine,
                "path": str(path),
                "ref": word.ref,
                "head": word.commit,
                "last_heard": self.last_heard(machine),
                "seconds": word.seconds,
                "silent": machine in silent,
            }
            for path in paths
            for machine, word in sorted(self._words.get(path, {}).items())
        ]

    def save(self) -> None:
        """Write what is remembered. A full disk costs the memory, nothing else."""
        if not self._unwritten:
            return
        self._unwritten, self._written = False, self._clock()
        table = {
            os.fspath(path): {m: [w.ref, w.commit, w.heard, w.seconds, w.steady] for m, w in words.items()}
            for path, words in self._words.items()
        }
        try:
            atomic.write(self._file, json.dumps(table).encode())
        except OSError as error:
            _log.warning("cannot write %s: %s", self._file, error.strerror)


def _read(file: Path) -> dict[Path, dict[str, Word]]:
    found: dict[Path, dict[str, Word]] = {}
    with contextlib.suppress(FileNotFoundError):
        try:
            for path, words in json.loads(file.read_bytes()).items():
                for machine, (ref, commit, heard, seconds, steady) in words.items():
                    if is_branch(ref) and is_commit(commit):
                        known = None if seconds is None else float(seconds)
                        word = Word(ref, commit, float(heard), known, bool(steady))
                        found.setdefault(Path(path), {})[str(machine)] = word
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError, AttributeError) as error:
            _log.warning("%s is damaged and is made anew (%s)", file, error)
    return found


async def _saved(repository: Repository, commit: str, pushed: float) -> float | None:
    """When the newest of the commit's files was saved, by the file's time; None when that cannot be told any more."""
    if repository.work_tree is None:
        return None
    try:
        listed = await repository.git.call(
            "diff-tree", "--root", "-r", "-z", "--no-commit-id", "--name-only", "--diff-filter=AM", commit, "--"
        )
    except (GitError, OSError):
        return None
    names = split(listed.stdout)
    return await asyncio.to_thread(_newest, repository.work_tree, names, pushed)


def _newest(root: Path, names: list[str], pushed: float) -> float | None:
    times = []
    for name in names:
        with contextlib.suppress(OSError):
            times.append((root / name).lstat().st_mtime)
    # one that was saved again meanwhile, or was moved here with an old time, tells nothing
    times = [at for at in times if pushed - _RESTED <= at <= pushed]
    return max(times, default=None)
