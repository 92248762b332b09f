"""The kernel's limits on inotify, and the line that raises each to a number that suffices (inotify(7))."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc/sys")


def more_watches(missing: int) -> str:
    """The remedy when ``missing`` folders found no watch."""
    # a user's limit and that of the user namespace both count; the smaller one was met
    key = min(("fs.inotify.max_user_watches", "user.max_inotify_watches"), key=_value)
    return _sysctl(key, _value(key) + missing)


def more_instances(wanted: int) -> str:
    """The remedy when ``wanted`` repositories found no inotify instance."""
    key = min(("fs.inotify.max_user_instances", "user.max_inotify_instances"), key=_value)
    return _sysctl(key, _value(key) + wanted)


def longer_queue() -> str:
    """The remedy when the kernel's queue of events ran over."""
    return _sysctl("fs.inotify.max_queued_events", _value("fs.inotify.max_queued_events") * 2)


def _sysctl(key: str, needed: int) -> str:
    number = 1 << max(needed + needed // 8, 1).bit_length()  # some room to grow
    file = "/etc/sysctl.d/60-autosync.conf"
    return f"sudo sysctl {key}={number} (and to keep it: echo {key}={number} | sudo tee -a {file})"


def _value(key: str) -> int:
    try:
        return int((_PROC / key.replace(".", "/")).read_text())
    except (OSError, ValueError):
        return 1 << 30
