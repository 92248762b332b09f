"""The systemd units of one user: what they say, where they are, and writing them."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import resources
from pathlib import Path

from autosync.common import atomic

#: The units that switch a service on and off, and those that belong to them.
UNITS = {
    "watcher": ("autosync-watcher.service",),
    "relay": ("autosync-relay.service",),
    "reflector": ("autosync-reflector.socket", "autosync-reflector.service"),
}
#: The configuration of the services of the whole machine (console/systemd/system).
SYSTEM_CONFIG = Path("/etc/autosync/config.toml")
#: The first line of a unit that was written for one user.
MARK = "# Written by autosync, which replaces it on an upgrade: to change it, systemctl --user edit."


def text(unit: str, commands: Path, scope: str = "user") -> str:
    """A unit whose commands are in the folder ``commands``; ``scope`` is `user` or `system`."""
    template = resources.files(__package__).joinpath("systemd", scope, unit).read_text(encoding="utf-8")
    # systemd.unit(5): % stands for itself when doubled. The path is in quotes there; systemd refuses one with quotes or
    # backslashes, however they are written
    return template.replace("@COMMANDS@", os.fspath(commands).replace("%", "%%"))


def write(commands: Path, service: str) -> None:
    """Write a service's units for this user. Raises OSError."""
    folder = own_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for unit in UNITS[service]:
        atomic.write(folder / unit, f"{MARK}\n{text(unit, commands)}".encode(errors="surrogateescape"), 0o644)


def written(service: str) -> bool:
    """Whether this user's units are those that `write` wrote, now or by an older version."""
    found = [own_folder() / unit for unit in UNITS[service]]
    return all(path.exists() and path.read_bytes().startswith(MARK.encode()) for path in found)


def installed(service: str) -> bool:
    """Whether systemd would find a service's units: this user's own, or those of a package."""
    folders = [own_folder(), *map(Path, ("/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"))]
    return all(any((folder / unit).exists() for folder in folders) for unit in UNITS[service])


def of_system(service: str) -> bool:
    """Whether a package has brought this service's units for the whole machine."""
    return all(Path("/usr/lib/systemd/system", unit).exists() for unit in UNITS[service])


def own_folder() -> Path:
    """Where this user's own units are (systemd.unit(5))."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(configured) if configured.startswith("/") else Path.home() / ".config") / "systemd" / "user"


def running() -> bool:
    """Whether this user's systemd runs: it listens there."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return runtime.startswith("/") and Path(runtime, "systemd", "private").exists()


def commands_folder() -> Path:
    """The folder that this installation's commands are called from: the one in the PATH, which stays the same over
    upgrades, or the environment's own."""
    called = shutil.which(sys.argv[0])
    folder = Path(called).absolute().parent if called else None
    if folder is not None and (folder / "autosync-watcher").exists():
        return folder
    return Path(sys.executable).parent
