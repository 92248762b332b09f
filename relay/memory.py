"""What the relay remembers of a repository over restarts. Losing it costs a look, never a version."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from pathlib import Path

from autosync.common import atomic

_log = logging.getLogger(__name__)
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Memory:
    """``seen``: where each ref that others care for was at the last look; None before the first. ``base``: the last
    commit of the upstream that our branch contained. ``root``: the repository's oldest first commit. ``pushing``: the
    commit that a push, whose end nobody has seen yet, was to put at each ref of the remote."""

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        """What is in the file ``path``, which gets the permissions ``mode``."""
        self._path = path
        self._mode = mode
        # a file of its own, which is written before each push: nobody waits for the disk there
        self._pushing_path = path.with_suffix(".pushing")
        self.seen: dict[str, str] | None = None
        self.base: dict[str, str] = {}
        self.root: str | None = None
        self.pushing: dict[str, str] = {}
        self._read()
        self._read_pushing()

    @classmethod
    def of(cls, folder: Path, git_dir: Path) -> Memory:
        """The memory of the repository ``git_dir`` among those of others in ``folder``."""
        return cls(folder / f"{hashlib.sha256(os.fsencode(git_dir)).hexdigest()[:24]}.json")

    def push_begins(self, ref: str, commit: str) -> None:
        """A push is about to begin; whoever is killed while the answer is under way knows of it at the next start."""
        self.pushing[ref] = commit
        with contextlib.suppress(OSError):
            self._pushing_path.parent.mkdir(parents=True, exist_ok=True)
            self._pushing_path.write_text(json.dumps(self.pushing))

    def pushes_ended(self) -> None:
        """It is known how all of them ended."""
        if self.pushing:
            self.pushing = {}
            with contextlib.suppress(OSError):
                self._pushing_path.unlink()

    def _read_pushing(self) -> None:
        # a power cut may have left anything there: then the poll tells the others
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self.pushing = _oids(json.loads(self._pushing_path.read_bytes()))

    def _read(self) -> None:
        try:
            fields = json.loads(self._path.read_bytes())
            self.seen = _oids(fields["seen"])
            self.base = _oids(fields["base"])
            self.root = _oids({"root": fields.get("root", "")}).get("root")
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("%s is damaged and is made anew (%s)", self._path, error)

    def save(self) -> None:
        """Swap the file. A full disk costs the memory, nothing else."""
        data = json.dumps({"seen": self.seen or {}, "base": self.base, "root": self.root}).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(self._path, data, self._mode)
        except OSError as error:
            _log.warning("cannot write %s: %s", self._path, error.strerror)


def _oids(table: dict[str, str]) -> dict[str, str]:
    return {str(ref): oid for ref, oid in table.items() if isinstance(oid, str) and _OID.fullmatch(oid)}
