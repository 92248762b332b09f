"""Configuration: the machine's file and a repository's own `.autosync.toml`."""

from .load import (
    SHARED_FILE,
    SHARED_LIMIT,
    Repo,
    effective,
    load,
    load_shared,
    parse_shared,
    pattern_folders,
    places,
    read_secret,
)
from .model import Config, Notify, Reflector, Settings, Shared, Xmpp, parse_size

__all__ = [
    "SHARED_FILE",
    "SHARED_LIMIT",
    "Config",
    "Notify",
    "Reflector",
    "Repo",
    "Settings",
    "Shared",
    "Xmpp",
    "effective",
    "load",
    "load_shared",
    "parse_shared",
    "parse_size",
    "pattern_folders",
    "places",
    "read_secret",
]
