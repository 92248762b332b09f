"""The operation log: every automatic action, with refs before and after, in a bounded file.

One JSON object a line, appended in one write, so that watcher and relay share the file. The
log is for people; nothing is decided from it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

_log = logging.getLogger(__name__)
#: Bytes after which the log is moved aside; the one moved aside before is dropped.
LIMIT = 4_000_000


@dataclass(frozen=True, slots=True)
class Operation:
    """One action. ``action`` is a word (`commit`, `fetch`, `merge`, `push`, `announce`, `hold`, `resolve`),
    ``before`` and ``after`` are object names, ``time`` seconds since the epoch."""

    repository: str
    action: str
    ref: str | None = None
    before: str | None = None
    after: str | None = None
    detail: str = ""
    paths: tuple[str, ...] = ()
    seconds: float | None = None
    time: float = field(default_factory=time.time)


class OperationLog:
    """Appends to and reads the log at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, operation: Operation) -> None:
        """Write one line. A full disk costs the line, not the action."""
        fields = {k: v for k, v in asdict(operation).items() if v not in (None, "", ())}
        line = json.dumps(fields, ensure_ascii=True).encode() + b"\n"
        try:
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_size > LIMIT:
                    self._path.replace(self._path.with_suffix(".1.jsonl"))
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                # a power cut or a full disk has left half a line
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                os.write(descriptor, b"\n" + line if torn else line)
            finally:
                os.close(descriptor)
        except OSError as error:
            _log.warning("cannot write the operation log %s: %s", self._path, error.strerror)

    def read(self) -> Iterator[Operation]:
        """All operations, oldest first. Damaged lines (a power cut) are passed over."""
        for path in (self._path.with_suffix(".1.jsonl"), self._path):
            try:
                lines = path.read_bytes().splitlines()
            except FileNotFoundError:
                continue
            for line in lines:
                with contextlib.suppress(ValueError, TypeError):
                    fields = json.loads(line)
                    yield Operation(**fields | {"paths": tuple(fields.get("paths", ()))})
