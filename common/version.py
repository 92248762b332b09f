"""The version that commands print and machines tell each other."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """The installed version, `unknown` for a tree that is not installed."""
    try:
        return metadata.version("autosync")
    except metadata.PackageNotFoundError:
        return "unknown"
