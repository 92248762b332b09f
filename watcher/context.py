"""`message-command`: a command of the person's whose output goes into commit messages as context."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from autosync.common.git import clean_environment

_log = logging.getLogger(__name__)
#: Seconds the command may take, and characters of its output that are used.
LIMIT = 10.0
CHARACTERS = 4000


async def said(command: Sequence[str], folder: Path) -> str:
    """What the command prints when run in ``folder``; nothing when it fails, which never stops a commit."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=clean_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        _log.warning("message-command %s: %s", command[0], error.strerror)
        return ""
    try:
        async with asyncio.timeout(LIMIT):
            output, _ = await process.communicate()
    except TimeoutError:
        _log.warning("message-command %s did not end within %g seconds", command[0], LIMIT)
        return ""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode:
        _log.warning("message-command %s ended with %d", command[0], process.returncode)
        return ""
    text = output.decode("utf-8", errors="replace").replace("\0", "").strip()
    return text[:CHARACTERS]
