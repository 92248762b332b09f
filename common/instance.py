"""Where one instance keeps its files.

An instance is a configuration file: a second file on the same machine gives a
second instance with its own state, sockets and locks.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import Problem


def default_config() -> Path:
    """`$AUTOSYNC_CONFIG`, else `$XDG_CONFIG_HOME/autosync/config.toml`."""
    named = os.environ.get("AUTOSYNC_CONFIG")
    if named:
        return Path(named).expanduser().absolute()
    return _standard_config()


def _standard_config() -> Path:
    return _xdg("XDG_CONFIG_HOME", ".config") / "autosync" / "config.toml"


def _xdg(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    # the specification: a relative path in these variables is invalid and ignored
    if value.startswith("/"):
        return Path(value)
    try:
        return Path.home() / fallback
    except RuntimeError:
        raise Problem(f"there is no home folder, and {variable} is not set", f"set HOME or {variable}") from None


@dataclass(frozen=True, slots=True)
class Instance:
    """The files of one instance. Folders are made on first use, for their owner only."""

    config: Path

    @classmethod
    def of(cls, config: Path | None = None) -> Instance:
        """The instance of ``config``, or of the default configuration file."""
        chosen = config.expanduser().absolute() if config else default_config()
        return cls(Path(os.path.normpath(chosen)))

    @property
    def name(self) -> str:
        """`default`, or a name made from the configuration file's path."""
        if self.config == _standard_config():
            return "default"
        digest = hashlib.sha256(os.fsencode(self.config)).hexdigest()
        return f"{self.config.stem}-{digest[:10]}"

    @property
    def state(self) -> Path:
        """Folder for what must outlive a restart."""
        return _made(_xdg("XDG_STATE_HOME", ".local/state") / "autosync" / self.name)

    @property
    def runtime(self) -> Path:
        """Folder for sockets and locks."""
        value = os.environ.get("XDG_RUNTIME_DIR", "")
        if value.startswith("/") and os.access(value, os.W_OK):
            return _made(Path(value) / "autosync" / self.name)
        return _made(self.state / "run")

    def socket(self, service: str) -> Path:
        """The control socket of ``service`` (`watcher` or `relay`)."""
        return self.runtime / f"{service}.socket"

    def lock(self, service: str) -> Path:
        """The lock that lets only one ``service`` of this instance run."""
        return self.runtime / f"{service}.lock"

    @property
    def operations(self) -> Path:
        """The operation log that `autosync log` shows."""
        return self.state / "operations.jsonl"


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Problem(
            f"cannot make the folder {folder} ({error.strerror})", "make it, or let its parent be writable"
        ) from error
    return folder
