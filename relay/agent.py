"""The person's ssh agent: where it listens, for a service that systemd started before it, or keeps over logouts."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

#: Where ssh looks for it: ssh(1).
VARIABLE = "SSH_AUTH_SOCK"
# Seconds.
_LIMIT = 5.0


async def found_anew() -> bool:
    """Whether there is an agent now where there was none before: what is started from now on uses it."""
    place = await asyncio.to_thread(place_for, os.environ)
    if place == os.environ.get(VARIABLE, ""):
        return False
    os.environ[VARIABLE] = place
    return True


def place_for(environment: Mapping[str, str]) -> str:
    """Where the agent of a process with this environment listens: where that says, if something listens there, else
    where the session that has begun since told this user's systemd."""
    given = environment.get(VARIABLE, "")
    if _is_socket(given):
        return given
    told = _told_to_systemd()
    return told if _is_socket(told) else given


def _told_to_systemd() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if not runtime or not Path(runtime, "systemd", "private").exists():
        return ""
    argv = ["systemctl", "--user", "show-environment"]
    try:
        shown = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    # other values may be quoted for the shell (systemctl(1)); a path that needs that is not understood
    lines = os.fsdecode(shown).splitlines()
    return next((line.partition("=")[2] for line in lines if line.startswith(f"{VARIABLE}=")), "")


def _is_socket(place: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(place).stat().st_mode)
    except (OSError, ValueError):
        return False
