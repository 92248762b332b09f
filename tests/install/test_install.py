"""`install.sh`: a real installation into a home of its own, from a path with spaces, upgraded and removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.git import git
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("autosync", "git-autosync", "autosync-watcher", "autosync-relay", "autosync-reflector",
            "autosync-install-hooks")  # fmt: skip
# Packages come from where this machine's pip has them: tests give themselves another home.
_CACHE = os.environ.get("PIP_CACHE_DIR") or str(
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pip"
)
_PIP_CONFIG = os.environ.get("PIP_CONFIG_FILE") or str(Path.home() / ".config" / "pip" / "pip.conf")
_PARTS = ("install.sh", "pyproject.toml", "README.md", "LICENSE", "requirements.lock", "requirements-build.lock",
          "common", "console", "hooks", "packaging", "relay", "watcher")  # fmt: skip


@dataclass
class Place:
    """A copy of the sources, a home to install into, and a folder of commands that come first in the PATH."""

    source: Path
    home: Path
    first: Path

    @property
    def bin(self) -> Path:
        return self.home / ".local" / "bin"

    @property
    def data(self) -> Path:
        return self.home / ".local" / "share" / "autosync"

    @property
    def config(self) -> Path:
        return self.home / ".config" / "autosync" / "config.toml"

    @property
    def units(self) -> Path:
        return self.home / ".config" / "systemd" / "user"

    def environment(self) -> dict[str, str]:
        found = {
            "PATH": f"{self.first}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "PIP_CACHE_DIR": _CACHE,
        }
        if Path(_PIP_CONFIG).exists():
            found["PIP_CONFIG_FILE"] = _PIP_CONFIG
        return found | {name: value for name, value in os.environ.items() if name.startswith("PIP_")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.source / "install.sh", *arguments],
            env=self.environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate()
        return process.returncode, out, err

    def command(self, name: str, script: str) -> Path:
        """Let ``name`` be a command that does ``script``, and notes in the returned file how it was called."""
        notes = self.first / f"{name}.calls"
        path = self.first / name
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >>'{notes}'\n{script}\n")
        path.chmod(0o755)
        notes.touch()
        return notes

    def versions(self) -> list[str]:
        return sorted(os.listdir(self.data / "versions"))


def make(folder: Path) -> Place:
    place = Place(folder / "the source", folder / "a home", folder / "first")
    for part in (place.source, place.home, place.first):
        part.mkdir(parents=True)
    for name in _PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place.source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place.source / name)
    place.command("systemctl", "exit 1")
    return place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make(tmp_path)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, str]]:
    """The README's first command, once for all the tests that follow in order; and what it said."""
    place = make(tmp_path_factory.mktemp("install"))
    code, out, err = place.run("--demo", "--once")
    assert code == 0, out + err
    return place, out


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.timeout(600)
def test_the_first_command_installs_and_shows_the_demo(installed):
    place, out = installed
    assert "A sample configuration is in" in out
    assert "There is no systemd user session here" in out
    assert "setsid --fork autosync-watcher --log-file" in out
    assert f"{place.bin} is not in your PATH" in out
    assert "all of it happened, and nothing of it is left behind" in out
    assert sorted(os.listdir(place.bin)) == sorted(COMMANDS)
    for name in COMMANDS:
        said = subprocess.run([place.bin / name, "--version"], env=place.environment(), capture_output=True, check=True)
        assert b"0." in said.stdout
    share = place.home / ".local" / "share"
    for name in ("man/man1/autosync-init.1", "bash-completion/completions/autosync",
                 "fish/vendor_completions.d/autosync.fish"):  # fmt: skip
        assert (share / name).read_text()
    assert not place.units.exists()
    assert sorted(os.listdir(place.source)) == sorted(_PARTS)


def test_the_sample_configuration_is_valid_and_for_its_owner_alone(installed):
    place, _ = installed
    assert place.config.stat().st_mode & 0o777 == 0o600
    done = subprocess.run([place.bin / "autosync", "status"], env=place.environment(), capture_output=True, check=True)
    assert b"no repository is configured yet" in done.stdout


@pytest.mark.timeout(600)
def test_an_interrupted_run_changes_nothing_and_the_next_is_whole(installed):
    place, _ = installed
    (before,) = place.versions()
    place.config.write_text("# mine\n")
    process = place.start()
    until(lambda: len(place.versions()) == 2, "the beginning of a new version")
    # as when the machine is switched off: nobody clears up
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    subprocess.run([place.bin / "autosync", "--version"], env=place.environment(), capture_output=True, check=True)

    # a systemd session this time; the watcher was there before, and the person has switched it off
    place.units.mkdir(parents=True)
    (place.units / "autosync-watcher.service").write_text("old")
    (place.units / "my-own.service").write_text("mine")
    calls = place.command("systemctl", "exit 0")
    code, out, err = place.run()
    assert code == 0, out + err
    (after,) = place.versions()
    assert after != before
    assert os.readlink(place.data / "current") == f"versions/{after}"
    assert place.config.read_text() == "# mine\n"
    asked = calls.read_text().splitlines()
    assert "--user --quiet enable --now autosync-relay.service" in asked
    assert "--user try-restart autosync-watcher.service autosync-relay.service" in asked
    assert asked.index("--user daemon-reload") < asked.index("--user --quiet enable --now autosync-relay.service")
    unit = (place.units / "autosync-watcher.service").read_text()
    assert f'\nExecStart="{place.bin}/autosync-watcher"\n' in unit
    assert "Restart=on-failure" in unit


def test_uninstalling_takes_away_what_was_made_and_nothing_else(installed):
    place, _ = installed
    (place.bin / "other").write_text("mine")
    (place.data / "notes").write_text("mine")
    (place.data.parent / "man" / "man1" / "other.1").write_text("mine")
    (place.home / ".local" / "state" / "autosync").mkdir(parents=True, exist_ok=True)
    (place.home / ".local" / "state" / "autosync" / "kept").touch()
    git(place.home, "init", "-q", "-b", "main", "repo")
    place.config.write_text(f'[[repository]]\npath = "{place.home}/repo"\n')
    subprocess.run([place.bin / "autosync-install-hooks", place.home / "repo"], env=place.environment(), check=True)
    calls = place.command("systemctl", "exit 0")

    running = subprocess.Popen([place.bin / "autosync-watcher"], env=place.environment(), stderr=subprocess.PIPE)
    try:
        code, _, err = place.run("--uninstall")
        assert code == 1
        assert f"autosync still runs: autosync-watcher (process {running.pid})\n" in err
        assert (place.bin / "autosync").exists()
    finally:
        running.terminate()
        running.communicate()
    shutil.copytree(place.data, place.home / "saved", symlinks=True)
    code, out, err = place.run("--uninstall")
    assert code == 0, out + err
    assert "--user --quiet disable --now autosync-relay.service" in calls.read_text()
    assert listed(place.bin) == ["other"]
    assert listed(place.data) == ["notes"]
    assert listed(place.units) == ["my-own.service"]
    assert listed(place.data.parent / "man") == ["man1/other.1"]
    assert place.config.exists()
    assert (place.home / ".local" / "state" / "autosync" / "kept").exists()
    assert (place.home / "repo" / ".git" / "hooks" / "post-commit").exists()
    assert place.run("--uninstall")[0] == 0


def test_purging_takes_configuration_state_and_hooks_but_no_repository(installed):
    place, _ = installed
    place.command("systemctl", "exit 1")
    # installed again: what the test before removed, as it was
    shutil.rmtree(place.data)
    (place.home / "saved").rename(place.data)
    (place.home / "repo" / "file").write_text("mine")
    code, out, err = place.run("--uninstall", "--purge")
    assert code == 0, out + err
    assert not place.config.parent.exists()
    assert not (place.home / ".local" / "state" / "autosync").exists()
    assert (place.home / "repo" / "file").read_text() == "mine"
    assert not (place.home / "repo" / ".git" / "hooks" / "post-commit").exists()


# without an installation --------------------------------------------------------------------------------------


def test_a_command_of_somebody_elses_is_not_replaced(place):
    place.bin.mkdir(parents=True)
    (place.bin / "autosync").write_text("another")
    code, _, err = place.run()
    assert code == 1
    assert f"{place.bin}/autosync is there already and is not from here" in err
    assert listed(place.bin) == ["autosync"]
    assert not (place.data / "versions").exists()


@pytest.mark.parametrize("user", ["root", "person"])
def test_a_git_that_is_too_old(place, user):
    place.command("git", "echo 'git version 2.37.1'")
    place.command("id", f"echo {0 if user == 'root' else 1000}")
    calls = place.command("apt-get", "exit 1")
    code, _, err = place.run()
    assert code == 1
    assert "git 2.38 or newer is missing" in err
    if user == "root":
        assert calls.read_text().splitlines() == ["install -y --no-install-recommends git", "update"]
        assert "apt-get install git" in err
    else:
        assert calls.read_text() == ""
        assert "sudo apt-get install git" in err
    assert not place.data.exists()


@pytest.mark.parametrize(("said", "fine"), [
    ("git version 2.38.0", True), ("git version 2.47.3 (Apple Git-1)", True), ("git version 3.0.rc1", True),
    ("git version 2.38.rc0.7", True), ("git version 2.9.5", False), ("git version 1.99.0", False), ("nonsense", False),
])  # fmt: skip
def test_which_git_will_do(place, said, fine):
    place.command("git", f"echo '{said}'")
    place.command("id", "echo 1000")
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        place.command(name, "exit 1")
    _, _, err = place.run()
    assert ("git 2.38 or newer" in err) != fine
    assert ("Python 3.11 to 3.13 with its venv module is missing" in err) == fine


def test_a_missing_python_is_named_with_the_command_that_brings_it(place):
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        place.command(name, "exit 1")
    place.command("id", "echo 1000")
    place.command("apt-get", "exit 1")
    code, _, err = place.run()
    assert code == 1
    assert "sudo apt-get install python3 python3-venv" in err


def test_without_the_packages_nothing_is_changed(place, monkeypatch):
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    code, _, err = place.run()
    assert code == 1
    assert "nothing was changed" in err
    assert place.versions() == []
    assert not (place.data / "current").exists()
    assert not place.bin.exists()


def test_two_at_once(place):
    place.data.mkdir(parents=True)
    with (place.data / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for arguments in ((), ("--uninstall",)):
            code, _, err = place.run(*arguments)
            assert code == 1
            assert "another install.sh is at work" in err
    assert listed(place.data) == ["install.lock"]


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--purge"], ["--once"], ["--demo", "--uninstall"]])
def test_wrong_usage(place, arguments):
    code, out, err = place.run(*arguments)
    assert (code, out) == (2, "")
    assert "Usage:" in err


def test_help(place):
    code, out, _ = place.run("--help")
    assert code == 0
    assert "--uninstall" in out
    assert listed(place.home) == []
