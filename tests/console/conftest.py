"""A machine with one repository that follows a central one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from autosync.common.instance import Instance
from autosync.console.main import main
from tests.support.git import git


@dataclass
class Machine:
    """``config`` names the repository ``notes``, whose upstream is ``central``."""

    config: Path
    notes: Path
    central: Path
    capsys: pytest.CaptureFixture

    @property
    def instance(self) -> Instance:
        return Instance.of(self.config)

    def run(self, *args: object) -> tuple[int, str, str]:
        """Run `autosync`; returns exit code, standard output and standard error, in which commands are as for the usual
        configuration."""
        code, out, err = self.said(*args)
        option = f"autosync --config {self.config} "
        return code, out.replace(option, "autosync "), err.replace(option, "autosync ")

    def said(self, *args: object) -> tuple[int, str, str]:
        """The same, word for word."""
        self.capsys.readouterr()
        code = main(["--config", str(self.config), *map(str, args)])
        out, err = self.capsys.readouterr()
        return code, out, err


@pytest.fixture
def machine(home: Path, capsys: pytest.CaptureFixture) -> Machine:
    central, notes, config = home / "central.git", home / "notes", home / "etc" / "config.toml"
    git(home, "init", "-q", "--bare", "-b", "main", "central.git")
    git(home, "init", "-q", "-b", "main", "notes")
    git(notes, "remote", "add", "origin", str(central))
    git(notes, "commit", "-q", "--allow-empty", "-m", "first")
    git(notes, "push", "-q", "-u", "origin", "main")
    config.parent.mkdir()
    config.write_text('name = "laptop"\n\n[[repository]]\npath = "~/notes"\n')
    return Machine(config, notes, central, capsys)
