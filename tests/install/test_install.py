"""`install.sh`: a real installation into a home of its own, from a path with spaces, upgraded and removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
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

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.source / "install.sh", *arguments],
            env=self.environment() | environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
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


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.timeout(1200)
def test_from_the_first_command_to_the_last(place):
    """One after the other, as an installation takes its time."""
    installs_and_shows_the_demo(place)
    leaves_a_valid_configuration(place)
    is_interrupted_and_whole_the_next_time(place)
    is_removed_with_what_was_made_and_nothing_else(place)
    is_purged(place)


def installs_and_shows_the_demo(place: Place) -> None:
    """For a person whose pip would put everything elsewhere, or nowhere."""
    settings = place.home / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        "[install]\nuser = true\ntarget = /nowhere\nrequire-hashes = true\nonly-binary = :all:\ndry-run = true\n"
        "constraint = /nowhere\n"
    )
    code, out, err = place.run("--demo", "--once", PIP_PREFIX="/nowhere", PIP_ROOT="/nowhere", PYTHONPATH="/nowhere")
    assert code == 0, out + err
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


def leaves_a_valid_configuration(place: Place) -> None:
    assert place.config.stat().st_mode & 0o777 == 0o600
    done = subprocess.run([place.bin / "autosync", "status"], env=place.environment(), capture_output=True, check=True)
    assert b"no repository is configured yet" in done.stdout


def is_interrupted_and_whole_the_next_time(place: Place) -> None:
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
    assert "--user try-restart autosync-watcher.service" in asked, "the relay is fresh"
    assert asked.index("--user daemon-reload") < asked.index("--user --quiet enable --now autosync-relay.service")
    unit = (place.units / "autosync-watcher.service").read_text()
    assert f'\nExecStart="{place.bin}/autosync-watcher"\n' in unit
    assert "Restart=on-failure" in unit


def is_removed_with_what_was_made_and_nothing_else(place: Place) -> None:
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


def is_purged(place: Place) -> None:
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


# with a program that is made in no time -----------------------------------------------------------------------

# Stands for Python and pip: makes an environment, and installs the commands and one page into it.
_PYTHON = """
case "$*" in
    '-m venv '*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    '-m pip '*'/source')
        folder=${0%/bin/python}
        for kind in man/man1 bash-completion/completions fish/vendor_completions.d; do
            mkdir -p "$folder/share/$kind"
        done
        touch "$folder/share/man/man1/autosync.1"
        for name in COMMANDS; do
            printf '#!/bin/sh\\necho autosync 0.1\\n' >"$folder/bin/$name"
            chmod 755 "$folder/bin/$name"
        done ;;
esac
exit 0
""".replace("COMMANDS", " ".join(COMMANDS))
# The programs that change something, or the last before the next that does.
_STEPS = ("mkdir", "ln", "mv", "rm", "cp", "rmdir", "readlink", "date", "chmod", "systemctl")


@pytest.fixture
def quick(place: Place) -> Place:
    """An installation of a moment, in which each of ``_STEPS`` counts, and the one that KILL_AT names kills it."""
    place.command("python3.13", _PYTHON)
    (place.first / "count").write_text("0\n")
    for name in _PARTS:
        if (place.source / name).is_dir():
            shutil.rmtree(place.source / name)
            (place.source / name).mkdir()
    for name in _STEPS:
        real = shutil.which(name) if name != "systemctl" else "/bin/true"
        path = place.first / name
        path.unlink(missing_ok=True)
        path.write_text(
            f"#!/bin/sh\nread -r count <'{place.first}/count'\necho $((count + 1)) >'{place.first}/count'\n"
            f'[ "$count" != "$KILL_AT" ] || kill -9 0\nexec {real} "$@"\n'
        )
        path.chmod(0o755)
    return place


def counted(place: Place, *arguments: str, kill_at: int = -1) -> int:
    (place.first / "count").write_text("0\n")
    return place.run(*arguments, KILL_AT=str(kill_at))[0]


def made(place: Place) -> dict[str, str]:
    """All files and links of the home, the version apart."""
    (version,) = place.versions()
    paths = {str(path.relative_to(place.home)): path for path in place.home.rglob("*") if not path.is_dir()}
    return {
        name.replace(version, "VERSION"): str(path.readlink()).replace(version, "VERSION") if path.is_symlink() else ""
        for name, path in paths.items()
    }


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("before", ["nothing", "a version"])
def test_killed_at_any_moment_the_next_run_is_whole(quick, before):
    assert counted(quick) == 0
    whole = made(quick)
    assert len(whole) > 2 * len(COMMANDS)
    for moment in range(1000):
        if before == "nothing":
            shutil.rmtree(quick.home)
            quick.home.mkdir()
        if counted(quick, kill_at=moment) == 0:
            break
        if before == "a version":
            assert subprocess.run([quick.bin / "autosync"], capture_output=True).stdout == b"autosync 0.1\n", moment
        assert counted(quick) == 0
        assert made(quick) == whole, moment
    assert moment > 20


@pytest.mark.timeout(1200)
def test_killed_while_it_is_removed_the_next_run_removes_the_rest(quick):
    for moment in range(1000):
        assert counted(quick) == 0
        if counted(quick, "--uninstall", kill_at=moment) == 0:
            break
        assert counted(quick, "--uninstall") == 0
        assert listed(quick.home) == [], moment
    assert moment > 8


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


def test_without_a_home(place):
    for home in ("", "/nowhere"):
        code, _, err = place.run(HOME=home)
        assert code == 1
        assert "there is no home folder" in err


def test_a_home_that_cannot_be_written(place):
    (place.home / ".local").write_text("in the way")
    code, _, err = place.run()
    assert code == 1
    assert f"cannot make the folder {place.data}\n  see the message above" in err
    assert listed(place.home) == [".local"]


def test_for_its_owner_alone(quick):
    """By a person who lets nobody else read anything."""
    done = subprocess.run(
        ["sh", "-c", 'umask 077; exec "$0"', quick.source / "install.sh"],
        env=quick.environment() | {"KILL_AT": "-1", "XDG_DATA_HOME": "relative"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert quick.data.stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(quick.bin)) == sorted(COMMANDS)


@pytest.mark.parametrize("known", [False, True], ids=["for the first time", "again"])
def test_a_service_that_does_not_start_is_told_and_the_rest_is_done(quick, known):
    if known:
        quick.units.mkdir(parents=True)
        for name in ("watcher", "relay"):
            (quick.units / f"autosync-{name}.service").touch()
    call = "try-restart" if known else "enable --now"
    quick.command("systemctl", f"case \"$*\" in *'{call}'*|*is-enabled*relay*) echo no >&2; exit 1 ;; esac")
    code, out, err = quick.run(KILL_AT="-1")
    assert code == 1
    assert "autosync is installed, but a service does not start" in err
    assert "autosync-watcher runs under systemd" in out
    assert "autosync-relay is switched off, and stays so: autosync enable relay" in out
    assert len(quick.versions()) == 1


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
