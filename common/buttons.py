"""Buttons of notices that several services have. Each runs the code behind a command that a person could type."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from .desktop import Button, Desktop
from .errors import Problem
from .git import clean_environment

#: Seconds that a command behind a button may take.
_LIMIT = 60.0
# the commands of this very installation; -P: what lies in the current folder is not to be imported
_AUTOSYNC = (sys.executable, "-P", "-c", "import sys; from autosync.console.main import main; sys.exit(main())")


def open_folder(desktop: Desktop, path: Path) -> Button:
    """Opens a folder in the file manager."""
    return Button("Open folder", partial(desktop.open_folder, path))


def show_files(desktop: Desktop, paths: Sequence[Path]) -> Button:
    """Shows files in their folder."""
    return Button("Show", partial(desktop.show_files, tuple(paths)))


def pause(config: Path, path: Path) -> Button:
    """`autosync pause`."""
    return Button("Pause", partial(command, config, "pause", str(path)))


async def command(config: Path, *words: str) -> None:
    """Run an `autosync` command. Raises Problem with its words when it fails."""
    process = await asyncio.create_subprocess_exec(
        *_AUTOSYNC,
        "--config",
        config,
        *words,
        env=clean_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_LIMIT):
            _, said = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise Problem(said.decode(errors="replace").strip() or f"autosync {words[0]} failed")
