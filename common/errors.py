"""What can go wrong, and the one place that turns it into an exit code.

Exit codes of every command: 0 done, 1 a problem the person can act on, 2 wrong
usage, 3 a bug (details go to a report file), 130 interrupted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import select
import shutil
import signal
import sys
import termios
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from .masking import masked

EXIT_OK = 0
EXIT_PROBLEM = 1
EXIT_BUG = 3
EXIT_INTERRUPTED = 130
#: As the shell shows what the end of its terminal has ended.
EXIT_HUNG_UP = 128 + signal.SIGHUP
# how many reports of bugs are kept
_REPORTS = 20


class Problem(Exception):
    """Something the person can act on. Never shown with a traceback.

    ``what`` says what happened and where, ``remedy`` what to do now; both are
    plain sentences without a trailing newline. Passwords in their URLs are left out.
    """

    def __init__(self, what: str, remedy: str | None = None) -> None:
        self.what = masked(what)
        self.remedy = masked(remedy) if remedy else remedy
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


def bug(error: BaseException, folder: Path) -> Problem:
    """An exception that nobody expected, as a problem of the part that goes on: report it, with the file below
    ``folder`` that has the details."""
    what = masked(f"a bug in autosync ({type(error).__name__}: {error})")
    try:
        return Problem(what, f"please report it; the details are in {write_report(error, folder)}")
    except OSError as unwritten:
        return Problem(what, f"please report it; the details could not be written ({unwritten.strerror})")


def write_report(error: BaseException, folder: Path) -> Path:
    """Write what is needed to report a bug to a file below ``folder`` and return its path: one file for each bug,
    however often it is met. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = "".join(f"{frame.filename}:{frame.lineno}\n" for frame in traceback.extract_tb(error.__traceback__))
    digest = hashlib.sha256(f"{type(error).__name__}\n{place}".encode(errors="replace")).hexdigest()
    path = folder / f"bug-{digest[:12]}.txt"
    others = sorted((old for old in folder.glob("bug-*.txt") if old != path), key=lambda old: old.stat().st_mtime)
    for old in others[: 1 - _REPORTS]:
        old.unlink(missing_ok=True)
    text = "\n".join(
        [
            f"autosync bug report, {time.strftime('%Y-%m-%dT%H:%M:%S%z')}",
            f"command: {Path(sys.argv[0]).name}",
            f"python: {sys.version}",
            f"system: {platform.platform()}",
            "",
            masked("".join(traceback.format_exception(error))),
        ]
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    return path


def to_standard_error(text: str) -> None:
    """Say it to who started this."""
    print(text, file=sys.stderr)


def exit_code(
    program: str,
    body: Callable[[], int | None],
    report_folder: Callable[[], Path],
    say: Callable[[str], None] = to_standard_error,
) -> int:
    """Run ``body`` and turn what it returns or raises into an exit code, saying at most a few lines."""
    try:
        return body() or EXIT_OK
    except Problem as problem:
        say(_laid_out(program, problem))
        return EXIT_PROBLEM
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where bugs end
        if isinstance(error, BrokenPipeError) and _unread():
            # the reader of our output went away (`autosync log | head`): not our problem
            _let_go_of(sys.stdout)
            return EXIT_OK
        if isinstance(error, OSError) and error.errno == errno.EIO and _hung_up():
            _let_go_of(sys.stdout)
            _let_go_of(sys.stderr)
            return EXIT_HUNG_UP
        return _bug(program, error, report_folder, say)


def _let_go_of(stream: TextIO) -> None:
    """Let the interpreter not stumble once more over what cannot be written when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unread() -> bool:
    """Whether nobody reads any more what this prints: another pipe or socket that breaks is no end without trouble."""
    output = select.poll()
    for descriptor in (1, 2):
        output.register(descriptor, 0)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in output.poll(0))


def _hung_up() -> bool:
    """Whether the terminal that this writes to has gone."""
    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            # a file or a pipe says ENOTTY
            if error.args[0] == errno.EIO:
                return True
    return False


def _laid_out(program: str, problem: Problem) -> str:
    """One line where a program reads it; on a terminal the remedy below, and lines that break between words."""
    if not sys.stderr.isatty() or not problem.remedy:
        return f"{program}: {problem}"
    from .folding import folded

    width = shutil.get_terminal_size().columns
    lines = folded(f"{program}: {problem.what}", width, hang=2)
    for line in problem.remedy.split("\n"):
        lines += folded(f"  {line}", width, hang=2)
    return "\n".join(lines)


def _bug(program: str, error: Exception, report_folder: Callable[[], Path], say: Callable[[str], None]) -> int:
    try:
        where = f"The details are in {write_report(error, report_folder())}; please report it."
    except OSError:
        print(masked("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        where = "The details are above; please report it."
    what = masked(f"this is a bug in autosync ({type(error).__name__}: {error})")
    say(f"{program}: {what}. {where}")
    return EXIT_BUG
