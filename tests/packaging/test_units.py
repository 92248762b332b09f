"""The systemd units: what systemd itself says of them, and switching the services by them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autosync.common.instance import Instance
from autosync.console import services, units
from autosync.console.main import main
from tests.support.programs import need
from tests.support.wait import until

SYSTEM = ("autosync-watcher.service", "autosync-relay.service", "autosync-reflector.socket",
          "autosync-reflector.service")  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """All units, with commands that exist, in a folder whose name needs escapes."""
    commands = tmp_path / "the commands %h"
    commands.mkdir()
    for name in ("watcher", "relay", "reflector"):
        command = commands / f"autosync-{name}"
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    for scope, names in (("user", [unit for found in units.UNITS.values() for unit in found]), ("system", SYSTEM)):
        (tmp_path / scope).mkdir()
        for unit in names:
            (tmp_path / scope / unit).write_text(units.text(unit, commands, scope))
    return tmp_path


def analyze(*arguments: object) -> str:
    argv = [need("systemd-analyze", "systemd"), "--man=no", *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_nothing_wrong(written):
    assert analyze("--user", "verify", *sorted((written / "user").iterdir())) == ""
    account = written / "account.conf"
    account.write_text("[Service]\nUser=root\n")
    assert "autosync" not in analyze("verify", *sorted((written / "system").iterdir()))


@pytest.mark.parametrize(("unit", "most"), [
    ("system/autosync-reflector.service", 15), ("system/autosync-relay.service", 25),
    ("system/autosync-watcher.service", 25), ("user/autosync-reflector.service", 67),
    ("user/autosync-relay.service", 80), ("user/autosync-watcher.service", 80),
])  # fmt: skip
def test_they_stay_as_hardened_as_they_are(written, unit, most):
    # tenths; a user's unit cannot have what needs root, and 9.6 would be one without anything
    scope = ["--user"] if unit.startswith("user") else []
    analyze(*scope, "security", "--offline=yes", f"--threshold={most}", written / unit)


def test_every_service_tells_when_it_is_ready_and_that_it_lives(written):
    for path in sorted(written.glob("*/*.service")):
        text = path.read_text()
        assert "\nType=notify\n" in text, path
        assert "\nWatchdogSec=10min\n" in text, path
        assert "@COMMANDS@" not in text, path


def test_the_account_of_a_server(written):
    folder = Path(units.__file__).parent / "systemd" / "system"
    root = written / "root"
    (root / "etc").mkdir(parents=True)
    need("systemd-sysusers", "systemd")
    subprocess.run(["systemd-sysusers", f"--root={root}", folder / "sysusers.conf"], check=True, capture_output=True)
    if os.getuid() == 0:
        done = ["systemd-tmpfiles", "--create", f"--root={root}", folder / "tmpfiles.conf"]
        subprocess.run(done, check=True, capture_output=True)
        assert (root / "var/lib/autosync").stat().st_mode & 0o777 == 0o750
    (line,) = [line for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("autosync:")]
    assert line.endswith("/var/lib/autosync:/usr/sbin/nologin")
    unit = (written / "system" / "autosync-relay.service").read_text()
    assert "\nUser=autosync\n" in unit


# switching --------------------------------------------------------------------------------------------------------


@pytest.fixture
def systemd(home, monkeypatch):
    """This user's systemd, as far as it shows: its socket, and `systemctl`, whose calls are noted."""
    runtime = Path(os.environ["XDG_RUNTIME_DIR"]) / "systemd"
    runtime.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(runtime / "private"))
        first = home / "first"
        first.mkdir()
        calls = first / "calls"
        script = first / "systemctl"
        (first / "main").write_text("0\n")
        script.write_text(
            f'#!/bin/sh\necho "$*" >>"{calls}"\ncase "$*" in *"$REFUSE"*) echo no >&2; exit 1 ;; '
            f'*MainPID*) cat "{first}/main" ;; esac\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("REFUSE", "never")
        monkeypatch.setenv("PATH", f"{first}:{os.environ['PATH']}")
        calls.touch()
        yield calls


def test_enable_writes_the_units_and_starts_both(systemd, home, capsys):
    assert main(["enable"]) == 0
    said = capsys.readouterr().out
    assert "watcher: on" in said
    assert "relay: on" in said
    assert "loginctl enable-linger" in said
    assert systemd.read_text().splitlines() == [
        "--user daemon-reload", "--user enable --now --quiet autosync-watcher.service",
        "--user enable --now --quiet autosync-relay.service",
    ]  # fmt: skip
    folder = home / ".config" / "systemd" / "user"
    assert sorted(os.listdir(folder)) == ["autosync-relay.service", "autosync-watcher.service"]
    text = (folder / "autosync-relay.service").read_text()
    assert text.startswith(units.MARK)
    assert f'ExecStart="{Path(sys.executable).parent}/autosync-relay"\n' in text


def test_a_unit_that_is_there_stays(systemd, home):
    folder = home / ".config" / "systemd" / "user"
    folder.mkdir(parents=True)
    (folder / "autosync-relay.service").write_text("mine")
    assert main(["enable", "relay"]) == 0
    assert (folder / "autosync-relay.service").read_text() == "mine"


def test_a_unit_that_an_older_version_wrote_is_written_anew(systemd, home):
    assert main(["enable", "relay"]) == 0
    unit = home / ".config" / "systemd" / "user" / "autosync-relay.service"
    text = unit.read_text()
    unit.write_text(f"{units.MARK}\n[Service]\nExecStart=/gone\n")
    assert main(["enable", "relay"]) == 0
    assert unit.read_text() == text


def test_each_service_by_itself(systemd, capsys):
    assert main(["enable", "reflector"]) == 0
    assert main(["disable", "relay"]) == 0
    assert main(["disable", "reflector"]) == 0
    assert systemd.read_text().splitlines() == [
        "--user daemon-reload", "--user enable --now --quiet autosync-reflector.socket",
        "--user disable --now --quiet autosync-reflector.socket autosync-reflector.service",
    ]  # fmt: skip
    assert main(["enable", "nonsense"]) == 2


def test_what_systemd_refuses_is_a_problem(systemd, monkeypatch, capsys):
    monkeypatch.setenv("REFUSE", "autosync-relay")
    assert main(["enable"]) == 1
    err = capsys.readouterr().err
    assert "systemctl --user enable --now --quiet autosync-relay.service: no" in err
    assert "journalctl --user -e -u autosync-relay.service" in err


def test_what_systemd_did_not_start_is_named(systemd, home, capsys):
    argv = [sys.executable, "-c", "import sys; from autosync.watcher.main import main; sys.exit(main())"]
    (home / ".config" / "autosync").mkdir(parents=True)
    (home / ".config" / "autosync" / "config.toml").touch()
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        until(lambda: asyncio.run(services.statuses(Instance.of()))["watcher"].status, "the watcher to answer")
        for action in ("enable", "disable"):
            assert main([action, "watcher"]) == 1
            err = capsys.readouterr().err
            assert f"as process {process.pid}" in err
            assert f"kill {process.pid}" in err
        assert main(["enable", "relay"]) == 0
        (systemd.parent / "main").write_text(f"{process.pid}\n")
        assert main(["enable", "watcher"]) == 0
        (home / "run" / "systemd" / "private").unlink()
        assert main(["disable", "watcher"]) == 1
        assert f"end what runs: kill {process.pid}" in capsys.readouterr().err
    finally:
        process.terminate()
        process.wait()


def test_the_services_of_a_server_are_started_by_the_system(monkeypatch):
    instance = Instance(units.SYSTEM_CONFIG)
    assert services.start_command(instance, "relay").startswith("setsid ")
    monkeypatch.setattr(units, "of_system", lambda service: True)
    assert services.start_command(instance, "relay") == "sudo systemctl enable --now autosync-relay"


def test_without_systemd_it_says_how_to_start_them(capsys):
    assert main(["enable"]) == 1
    err = capsys.readouterr().err
    assert "no systemd of this user's runs here" in err
    assert f"  setsid --fork autosync-watcher --log-file {Instance.of().state.parent}/watcher.log\n" in err
    assert main(["disable"]) == 1
    assert "nothing of it runs" in capsys.readouterr().err


def test_another_configuration_is_not_systemds(systemd, tmp_path, capsys):
    assert main(["--config", str(tmp_path / "c.toml"), "enable", "watcher"]) == 1
    assert f"setsid --fork autosync-watcher --config {tmp_path}/c.toml --log-file" in capsys.readouterr().err
    assert systemd.read_text() == ""


def test_the_remedy_for_a_service_that_does_not_run(systemd, monkeypatch):
    assert services.start_command(Instance.of(), "relay") == "autosync enable relay"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    assert services.start_command(Instance.of(), "relay") == (
        f"setsid --fork autosync-relay --log-file {Instance.of().state.parent}/relay.log"
    )
    other = Instance.of(Path("/somewhere/my own.toml"))
    option, log = "--config '/somewhere/my own.toml'", f"'{other.state}/relay.log'"
    assert services.start_command(other, "relay") == f"setsid --fork autosync-relay {option} --log-file {log}"


def test_the_commands_are_those_in_the_path(home, monkeypatch):
    folder = home / "bin"
    folder.mkdir()
    for name in ("autosync", "autosync-watcher"):
        (folder / name).symlink_to(shutil.which("true"))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr("sys.argv", ["autosync"])
    assert units.commands_folder() == folder
    # by something else of that name, which has no services beside it
    (folder / "autosync-watcher").unlink()
    assert units.commands_folder() == Path(sys.executable).parent


@pytest.mark.parametrize("given", ["/elsewhere", "relative", ""])
def test_units_are_where_systemd_looks_for_them(home, monkeypatch, given):
    monkeypatch.setenv("XDG_CONFIG_HOME", given)
    folder = Path("/elsewhere") if given == "/elsewhere" else home / ".config"
    assert units.own_folder() == folder / "systemd" / "user"


def test_another_instance_is_not_started_by_systemd_which_knows_the_usual_one_only(systemd, tmp_path):
    usual, other = Instance.of(), Instance.of(tmp_path / "c.toml")
    assert services.start_command(usual, "relay") == "autosync enable relay"
    assert services.start_command(other, "relay").startswith("setsid --fork autosync-relay --config")
    assert "autosync-reflector --listen 0.0.0.0:1986 " in services.background_command(usual, "reflector")
