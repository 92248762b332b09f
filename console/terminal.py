"""What is printed: colours and progress on a terminal only, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Columns of what is no terminal: lines there are for a search or a paste, and not to be folded.
_PLAIN_WIDTH = 2000


def rich_console() -> Console:
    """Standard output for rich. No colours when piped or with NO_COLOR; no markup, no highlighting."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PLAIN_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def show(picture: RenderableType) -> None:
    """Print something of rich's to standard output; without the blanks that fill its lines where it is no terminal."""
    console = rich_console()
    if console.is_terminal:
        console.print(picture)
        return
    with console.capture() as captured:
        console.print(picture)
    for line in captured.get().splitlines():
        say(line.rstrip())


def hanging(mark: str, style: str, text: str, indent: int) -> RenderableType:
    """A text of any length behind a mark, all of its lines indented alike."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    if not mark:
        return Padding(Text(text), (0, 0, 0, indent), expand=False)
    row = Table.grid()
    row.add_column(width=len(mark))
    row.add_column(overflow="fold")
    row.add_row(Text(mark, style), Text(text))
    return Padding(row, (0, 0, 0, indent), expand=False)


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
