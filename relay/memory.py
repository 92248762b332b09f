"""What the relay remembers of a repository over restarts. Losing it costs a look, never a version."""

from __future__ import annotations

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
    """``seen``: where each ref that others care for was at the last look. ``base``: the last commit of the upstream
    that our branch contained; None before the first look."""

    def __init__(self, folder: Path, git_dir: Path) -> None:
        digest = hashlib.sha256(os.fsencode(git_dir)).hexdigest()[:24]
        self._path = folder / f"{digest}.json"
        self.seen: dict[str, str] | None = None
        self.base: dict[str, str] = {}
        self._read()

    def _read(self) -> None:
        try:
            fields = json.loads(self._path.read_bytes())
            self.seen = _oids(fields["seen"])
            self.base = _oids(fields["base"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("%s is damaged and is made anew (%s)", self._path, error)

    def save(self) -> None:
        """Swap the file. A full disk costs the memory, nothing else."""
        data = json.dumps({"seen": self.seen or {}, "base": self.base}).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(self._path, data)
        except OSError as error:
            _log.warning("cannot write %s: %s", self._path, error.strerror)


def _oids(table: dict[str, str]) -> dict[str, str]:
    return {str(ref): oid for ref, oid in table.items() if isinstance(oid, str) and _OID.fullmatch(oid)}
