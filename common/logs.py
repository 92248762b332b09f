"""Where a service logs to: the journal with fields, where systemd connected it to standard error; a file; or standard
error."""

from __future__ import annotations

import contextvars
import logging
import logging.handlers
import os
import socket
import sys
from collections.abc import Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from .errors import Problem, to_standard_error

#: Where journald takes entries (systemd's "Native Journal Protocol").
JOURNAL = Path("/run/systemd/journal/socket")
_STANDARD_ERROR = 2
# bytes of a log file
_LARGEST = 10_000_000
# syslog(3)
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_repository: contextvars.ContextVar[str] = contextvars.ContextVar("repository")


def about(repository: Path) -> contextvars.Context:
    """A context for a task: what is logged in it, and in what it starts, is about this repository."""
    context = contextvars.copy_context()
    context.run(_repository.set, os.fspath(repository))
    return context


def set_up(program: str, verbose: bool = False, file: Path | None = None) -> None:
    """Log to ``file``, or to the journal or standard error. Raises Problem when the file cannot be written."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler(program, file)], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # slixmpp logs each stanza, with what is in it, at debug level
    logging.getLogger("slixmpp").setLevel(logging.ERROR)


def handler(program: str, file: Path | None, environment: Mapping[str, str] = os.environ) -> logging.Handler:
    """The handler that `set_up` sets up."""
    if file is not None:
        return _to_file(file)
    if _journal_reads(_STANDARD_ERROR, environment):
        return JournalHandler(program, JOURNAL) if JOURNAL.exists() else _PrefixHandler()
    plain = logging.StreamHandler(sys.stderr)
    plain.setFormatter(logging.Formatter(_FORMAT))
    return plain


_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def last_words(text: str) -> None:
    """Say why the service ends: in its log, and to who started it where that is not the log already."""
    kinds = {type(handler) for handler in logging.getLogger().handlers}
    if kinds & {JournalHandler, _LogFile, _PrefixHandler}:
        logging.getLogger(__name__).error("%s", text)
    if not kinds & {JournalHandler, _PrefixHandler}:
        to_standard_error(text)


def _to_file(file: Path) -> logging.Handler:
    target = file.expanduser().absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = _LogFile(target, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise Problem(
            f"cannot write the log {target} ({error.strerror})", "name a file that this user can write"
        ) from error
    found.setFormatter(logging.Formatter(_FORMAT))
    return found


class _LogFile(logging.handlers.WatchedFileHandler):
    """For its owner only: names of files are the person's own business. Opened again when logrotate has moved it away;
    where nothing does, it is moved to `FILE.1` when it has grown large, so that there are never more than the two."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        try:
            if self.stream is not None and os.fstat(self.stream.fileno()).st_size > _LARGEST:
                # the next record finds it gone, and begins a new one
                Path(self.baseFilename).replace(f"{self.baseFilename}.1")
        except OSError:
            self.handleError(record)

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _journal_reads(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Whether ``descriptor`` is the journal's, as systemd.exec(5) has it ($JOURNAL_STREAM)."""
    named = environment.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return named == f"{found.st_dev}:{found.st_ino}"


class _PrefixFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class _PrefixHandler(logging.StreamHandler[TextIO]):
    """Lines on standard error with their priority in front, which the journal reads, too: sd-daemon(3)."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(_PrefixFormatter("%(message)s"))


class JournalHandler(logging.Handler):
    """Sends each record as one entry: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, CODE_*, AUTOSYNC_MODULE, and
    AUTOSYNC_REPOSITORY for what is about one."""

    def __init__(self, program: str, path: Path) -> None:
        super().__init__()
        self._program = program
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._fallback = _PrefixHandler()
        # logging.basicConfig would give it one that repeats what the fields say
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record; to standard error, which the journal reads, when it does not fit into a datagram."""
        try:
            self._socket.sendto(self._entry(record), self._path)
        except OSError:
            self._fallback.emit(record)
        except Exception:  # noqa: BLE001 - logging's own rule: a record that cannot be formatted ends nothing
            self.handleError(record)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        super().close()

    def _entry(self, record: logging.LogRecord) -> bytes:
        fields = {
            "MESSAGE": self.format(record),
            "PRIORITY": str(_PRIORITIES.get(record.levelno, 6)),
            "SYSLOG_IDENTIFIER": self._program,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
            "AUTOSYNC_MODULE": record.name,
        }
        repository = _repository.get(None)
        if repository is not None:
            fields["AUTOSYNC_REPOSITORY"] = repository
        return b"".join(_field(name, value.encode(errors="surrogateescape")) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
