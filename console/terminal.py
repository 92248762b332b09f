"""What is printed: colours and progress on a terminal only, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Where the edge of a subcommand leaves the configuration file for us, if it is not the usual one (click.Context.meta).
CONFIG = "autosync.config"
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
        console.print(picture, crop=False)
        return
    with console.capture() as captured:
        console.print(picture, crop=False)
    for line in captured.get().splitlines():
        say(line.rstrip())


def hanging(
    mark: str, style: str, text: str, indent: int, width: int | None = None, copied: bool = True
) -> RenderableType:
    """A text of any length behind a mark, all of its lines indented alike. ``width`` is the console's, in columns;
    ``copied``: commands in it may run over (see `folding.folded`)."""
    from rich.text import Text

    from autosync.common.folding import folded

    from .wording import of_instance

    text = of_instance(text, _config())
    room = (width or shown_width()) - indent - len(mark)
    lines = folded(text, max(20, room), copied=copied)
    shown = Text(overflow="ignore", no_wrap=True)
    for number, line in enumerate(lines):
        shown.append("\n" if number else "")
        shown.append(" " * indent)
        shown.append(mark if number == 0 else " " * len(mark), style)
        shown.append(line)
    return shown


def shown_width() -> int:
    """The columns of standard output."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _PLAIN_WIDTH


def symbols_fit() -> bool:
    """Whether standard output can show ticks and arrows."""
    try:
        "✓→…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def say(text: str = "") -> None:
    """Print a line; what standard output cannot show is replaced."""
    _print(text, sys.stdout)


def complain(text: str) -> None:
    """Print a line to standard error."""
    _print(text, sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    from autosync.common.folding import folded

    from .wording import of_instance

    text = of_instance(text, _config())
    if stream.isatty():
        text = "\n".join(folded(text, shutil.get_terminal_size().columns, hang=2))
    encoding = stream.encoding or "ascii"
    print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)


def _config() -> Path | None:
    """The configuration file that commands have to name, as this one did."""
    context = click.get_current_context(silent=True)
    return context.meta.get(CONFIG) if context is not None else None


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
