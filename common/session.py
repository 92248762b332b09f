"""Where the desktop's session bus is."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def session_bus() -> str | None:
    """The address of the session bus, None when there is none on this machine (D-Bus specification, "Server
    Addresses"; a bus at a network address does not count)."""
    given = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    local = [address for address in given.split(";") if address.startswith("unix:")]
    if given:
        return ";".join(local) or None
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        found = bool(folder) and stat.S_ISSOCK(Path(folder, "bus").stat().st_mode)
    except OSError:
        return None
    return f"unix:path={folder}/bus" if found else None
