"""Guards for every test: an isolated home, git that behaves the same everywhere, nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from pygit2 import settings
from pygit2.enums import ConfigLevel

# how long an example takes says something of the machine only
hypothesis_settings.register_profile("autosync", deadline=None)
hypothesis_settings.load_profile("autosync")

_GIT_CONFIG = """\
[user]
\tname = Test Person
\temail = person@example.org
[init]
\tdefaultBranch = main
[gc]
\tauto = 0
[maintenance]
\tauto = false
[core]
\tfsync = none
[protocol "file"]
\tallow = always
[safe]
\tdirectory = *
"""


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, in the environment of everything it starts."""
    folder = tmp_path_factory.mktemp("home")
    for name in [*os.environ]:
        if name.startswith(("GIT_", "XDG_", "AUTOSYNC_", "DBUS_")) or name in {"DISPLAY", "WAYLAND_DISPLAY"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    (folder / ".gitconfig").write_text(_GIT_CONFIG)
    # libgit2 looks for the home folder once, when it is loaded
    for level in (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM):
        settings.search_path[level] = str(folder)
    return folder
