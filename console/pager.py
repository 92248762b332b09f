"""Long output through a pager, on a terminal only."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from autosync.common.folding import columns

from .terminal import say


def page(lines: Sequence[str]) -> None:
    """Print the lines; through `$PAGER` (else less, from its end) where they are more than a terminal shows."""
    size = shutil.get_terminal_size()
    rows = sum(max(1, -(-columns(line) // size.columns)) for line in lines)
    command = _command()
    if not sys.stdout.isatty() or rows < size.lines or not command:
        for line in lines:
            say(line)
        return
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
    except OSError:
        for line in lines:
            say(line)
        return
    try:
        process.communicate("".join(f"{line}\n" for line in lines).encode(errors="replace"))
    except KeyboardInterrupt:
        # less takes Ctrl-C for itself
        process.wait()


def _command() -> list[str]:
    configured = os.environ.get("PAGER")
    if configured is not None:
        # as git has it: empty, or cat, is none
        try:
            return [] if configured in ("", "cat") else shlex.split(configured)
        except ValueError:  # a quotation mark that nothing closes
            return []
    return ["less", "-RX", "+G"] if shutil.which("less") else []
