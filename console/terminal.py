"""What is printed: colours and progress on a terminal only, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of what is no terminal: a log, a mail, a file.
PLAIN_WIDTH = 100


def rich_console(width: int | None = None) -> Console:
    """Standard output for rich. No colours when piped or with NO_COLOR; no markup, no highlighting."""
    from rich.console import Console

    if width is None and not sys.stdout.isatty():
        width = PLAIN_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def symbols_fit() -> bool:
    """Whether standard output can show ticks and arrows."""
    try:
        "✓→…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def say(text: str = "") -> None:
    """Print a line; what standard output cannot show is replaced."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def complain(text: str) -> None:
    """Print a line to standard error."""
    encoding = sys.stderr.encoding or "ascii"
    print(text.encode(encoding, "replace").decode(encoding), file=sys.stderr, flush=True)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Yields a function that shows a line of progress, each over the one before; it does nothing when
    standard error is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    def show(text: str) -> None:
        from .wording import plain

        width = shutil.get_terminal_size().columns
        sys.stderr.write(f"\r\x1b[K{plain(text)[: width - 1]}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
