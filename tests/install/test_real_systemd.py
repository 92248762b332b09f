"""`install.sh` and the user units on a machine with a real systemd, from the first login to the removal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.booted import Booted
from tests.support.programs import need
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]
# Packages come from where this machine's pip has them: tests give themselves another home.
_HOME = os.environ.get("HOME", "/")
_INSTALL = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/srv/wheels /mnt/install.sh"
_SERVICES = ("watcher", "relay")


@pytest.fixture
def machine(tmp_path) -> Iterator[Booted]:
    """A machine with an account `person`, and what install.sh would get from the network in /srv/wheels."""
    for program, package in (("sshd", "openssh-server"), ("gpg", "gnupg"), ("Xvfb", "xvfb"), ("dunst", "dunst")):
        os.environ["PATH"] += os.pathsep + "/usr/sbin"
        need(program, package)
    with Booted(tmp_path) as booted:
        booted.run("useradd", "--create-home", "--shell", "/bin/bash", "person")
        _fetch(tmp_path / "wheels")
        shutil.copytree(tmp_path / "wheels", booted.path("/srv/wheels"))
        yield booted


def _fetch(wheels: Path) -> None:
    # for the Python that install.sh will find there
    pip = [sys.executable, "-m", "pip", "--python", "/usr/bin/python3", "--quiet", "--disable-pip-version-check"]
    locks = [word for name in ("requirements-build.lock", "requirements.lock") for word in ("-r", ROOT / name)]
    done = subprocess.run(
        [*pip, "download", "--dest", wheels, "--require-hashes", *locks],
        env=os.environ | {"HOME": _HOME},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def person(machine: Booted, script: str, check: bool = True) -> str:
    """What a script of the person's says, on both streams."""
    return machine.login("person", f"exec 2>&1\n{script}", check).stdout


def show(machine: Booted, service: str, name: str) -> str:
    """A property of a service."""
    return person(machine, f"systemctl --user show -P {name} autosync-{service}").strip()


def pids(machine: Booted) -> dict[str, str]:
    return {service: show(machine, service, "MainPID") for service in _SERVICES}


@pytest.mark.timeout(1200)
def test_the_services_of_a_person(machine):
    """One after the other, as one installation is enough for all."""
    is_installed(machine)
    machine.stay("person")
    syncs_with_all_that_a_person_has(machine)
    tells_the_journal(machine)
    comes_back_after_a_hang(machine)
    waits_for_a_mistake_to_be_mended(machine)
    is_switched_by_parts(machine)
    passes_announcements_on(machine)
    is_upgraded(machine)
    ends_at_logout_and_is_back_at_login(machine)
    is_removed(machine)


def is_installed(machine: Booted) -> None:
    said = person(machine, _INSTALL)
    for service in _SERVICES:
        assert f"autosync-{service} runs under systemd" in said
    assert "loginctl enable-linger" in said
    assert show(machine, "watcher", "StatusText") == "watching 0 repositories"
    assert show(machine, "relay", "StatusText") == "keeping 0 repositories"
    for service in _SERVICES:
        assert show(machine, service, "ActiveState") == "active"
        # started once, and not a second time by the same installation
        starts = machine.journal(f"USER_UNIT=autosync-{service}.service", "JOB_TYPE=start", "JOB_RESULT=done")
        assert len(starts) == 1
    machine.login("person", "git config --global user.name P && git config --global user.email p@example.org")


def syncs_with_all_that_a_person_has(machine: Booted) -> None:
    """A repository outside the home, an agent with a key for ssh, signing, hooks, notices: the unit forbids none."""
    machine.run("bash", "-ec", """
        useradd --create-home --shell /bin/bash central
        install -d -o person -g person /srv/odd
        mkdir -p /run/sshd
        ssh-keygen -q -t ed25519 -N '' -f /run/host
        systemd-run --quiet /usr/sbin/sshd -D -h /run/host -p 2222 -o StrictModes=no
        su central -c 'git init -q --bare -b main ~/work.git; mkdir -m 700 ~/.ssh'
        systemd-run --quiet --uid=person --unit=agent /usr/bin/ssh-agent -D -a /run/user/$(id -u person)/agent
    """)  # fmt: skip
    person(machine, """set -e
        export SSH_AUTH_SOCK=$XDG_RUNTIME_DIR/agent
        mkdir -p -m 700 .ssh
        ssh-keygen -q -t ed25519 -N secret -f .ssh/id_ed25519
        printf '#!/bin/sh\\necho secret\\n' >say && chmod +x say
        for try in $(seq 100); do [ -S $SSH_AUTH_SOCK ] && break; sleep 0.1; done
        SSH_ASKPASS_REQUIRE=force SSH_ASKPASS=$HOME/say ssh-add .ssh/id_ed25519
        for try in $(seq 100); do ssh-keyscan -p 2222 localhost >.ssh/known_hosts && break; sleep 0.1; done
        gpg --batch --passphrase '' --quick-gen-key 'P <p@example.org>' ed25519 sign
        git config --global commit.gpgsign true
        # as a desktop does, after the services have been started
        systemctl --user set-environment SSH_AUTH_SOCK=$SSH_AUTH_SOCK
        systemd-run --user --quiet --unit=screen Xvfb :99
        systemctl --user set-environment DISPLAY=:99
    """)  # fmt: skip
    key = machine.path("/home/person/.ssh/id_ed25519.pub").read_text()
    machine.path("/home/central/.ssh/authorized_keys").write_text(key)
    machine.run("chown", "-R", "central", "/home/central/.ssh")
    person(machine, """set -e
        export SSH_AUTH_SOCK=$XDG_RUNTIME_DIR/agent
        autosync init /srv/odd --remote ssh://central@localhost:2222/home/central/work.git
        echo 'echo ran >/dev/shm/hook; exit 0' >/srv/odd/.git/hooks/pre-commit
        chmod +x /srv/odd/.git/hooks/pre-commit
        echo mine >/srv/odd/file
    """)  # fmt: skip
    until(lambda: "added" in central(machine, "log -1 --format=%s"), "the commit in the central repository")
    assert person(machine, "git -C /srv/odd log -1 --format=%G?").strip() == "G"
    assert machine.path("/dev/shm/hook").exists()
    machine.run(
        "su",
        "central",
        "-c",
        """cd ~ && git clone -q work.git && cd work && git config user.name C &&
        git config user.email c@example.org && echo theirs >theirs && git add . && git commit -qm x && git push -q""",
    )
    person(machine, "autosync sync /srv/odd")
    assert machine.path("/srv/odd/theirs").exists()
    shown = "DISPLAY=:99 dunstctl count displayed"
    until(lambda: int(person(machine, shown, check=False).strip() or 0) > 0, "a notice on the screen")


def central(machine: Booted, command: str) -> str:
    return machine.run("su", "central", "-c", f"git -C ~/work.git {command}", check=False).stdout


def tells_the_journal(machine: Booted) -> None:
    commit = person(machine, "git -C /srv/odd log --format=%h --abbrev=12 --author=P -1 -- file").strip()
    entries = machine.journal("AUTOSYNC_REPOSITORY=/srv/odd", "_SYSTEMD_USER_UNIT=autosync-watcher.service")
    (found,) = [entry for entry in entries if commit in entry["MESSAGE"]]
    assert found["MESSAGE"] == f'/srv/odd: "file" added ({commit})'
    assert found["PRIORITY"] == "6"
    assert found["SYSLOG_IDENTIFIER"] == "autosync-watcher"
    # as documented, by the person
    assert commit in person(machine, "journalctl --user AUTOSYNC_REPOSITORY=/srv/odd --no-pager")


def comes_back_after_a_hang(machine: Booted) -> None:
    for service in _SERVICES:
        person(machine, f"""set -e
            mkdir -p .config/systemd/user/autosync-{service}.service.d
            cd .config/systemd/user/autosync-{service}.service.d
            printf '[Service]\\nWatchdogSec=4\\nRestartSec=0\\n' >test.conf
            systemctl --user daemon-reload
            systemctl --user restart autosync-{service}
        """)  # fmt: skip
    before = pids(machine)
    # one that lives gives signs of it: it is only the hang that ends it
    until(lambda: all(_watched(machine, service) for service in _SERVICES), "signs of life")
    machine.run("kill", "-STOP", *before.values())
    until(lambda: all(show(machine, s, "NRestarts") == "1" for s in _SERVICES), "both to be started again")
    until(lambda: all(show(machine, s, "ActiveState") == "active" for s in _SERVICES), "both to be ready again")
    for service in _SERVICES:
        # of a process that is gone already the journal may not know the unit
        pid = f"_PID={before[service]}"
        until(lambda p=pid: any("run_until_stopped" in e["MESSAGE"] for e in machine.journal(p)), "where it hung")
    person(machine, "rm -r .config/systemd/user/*.d; systemctl --user daemon-reload")


def _watched(machine: Booted, service: str) -> bool:
    """Whether a sign of life has come since the start."""
    fields = ("WatchdogTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    watched, active = (int(show(machine, service, name)) for name in fields)
    return watched > active


def waits_for_a_mistake_to_be_mended(machine: Booted) -> None:
    person(machine, "cp .config/autosync/config.toml kept; echo nonsense = 1 >>.config/autosync/config.toml")
    refused = person(machine, "systemctl --user restart autosync-relay", check=False)
    assert "failed" in refused
    errors = person(machine, "journalctl --user -u autosync-relay -p err --no-pager")
    assert "nonsense: unknown key" in errors
    person(machine, "cp kept .config/autosync/config.toml")
    until(lambda: show(machine, "relay", "ActiveState") == "active", "the relay to come by itself")


def is_switched_by_parts(machine: Booted) -> None:
    assert "relay: off" in person(machine, "autosync disable relay")
    assert show(machine, "relay", "ActiveState") == "inactive"
    assert show(machine, "watcher", "ActiveState") == "active"
    assert "relay: on" in person(machine, "autosync enable relay")
    assert "keeping 1 repository" in show(machine, "relay", "StatusText")
    # what systemd did not start is named
    person(
        machine, "autosync disable watcher; setsid --fork autosync-watcher --log-file log </dev/null >/dev/null 2>&1"
    )
    until(lambda: "watcher running" in person(machine, "autosync status", check=False), "a watcher started by hand")
    for action in ("enable", "disable"):
        said = machine.login("person", f"autosync {action} watcher 2>&1", check=False)
        assert said.returncode == 1
        assert "systemd did not start it" in said.stdout
    said = machine.login("person", "autosync-watcher", check=False)
    assert said.returncode == 1
    assert "autosync-watcher is running already" in said.stderr
    person(machine, "pkill -u person -f -- '--log-file log'")
    until(lambda: "watcher not running" in person(machine, "autosync status", check=False), "its end")
    person(machine, "autosync enable watcher")


def passes_announcements_on(machine: Booted) -> None:
    person(machine, "autosync enable reflector")
    assert show(machine, "reflector", "ActiveState") == "inactive"
    config = machine.path("/home/person/.config/autosync/config.toml")
    config.write_text('[reflector]\nurl = "tcp://127.0.0.1:1986"\n' + config.read_text())
    until(lambda: show(machine, "reflector", "ActiveState") == "active", "the reflector to be started by a client")
    assert show(machine, "reflector", "StatusText") == "listening on [::]:1986"
    until(lambda: "online" in person(machine, "autosync status", check=False), "the relay to be connected")


def is_upgraded(machine: Booted) -> None:
    person(machine, "autosync disable relay")
    before = {service: show(machine, service, "MainPID") for service in ("watcher", "reflector")}
    said = person(machine, _INSTALL)
    assert "autosync-relay is switched off, and stays so" in said
    assert show(machine, "relay", "ActiveState") == "inactive"
    version = machine.path("/home/person/.local/share/autosync/current").readlink()
    for service, old in before.items():
        now = show(machine, service, "MainPID")
        assert now not in (old, "0")
        assert str(version) in machine.run("cat", f"/proc/{now}/cmdline").stdout
    assert os.listdir(machine.path("/home/person/.local/share/autosync/versions")) == [version.name]
    person(machine, "autosync enable relay")


def ends_at_logout_and_is_back_at_login(machine: Booted) -> None:
    machine.run("systemctl", "stop", "agent")
    user = machine.run("id", "-u", "person").stdout.strip()
    manager = f"user@{user}.service"
    machine.leave("person")
    until(lambda: machine.run("systemctl", "is-active", manager, check=False).stdout == "inactive\n", "the logout")
    for service in _SERVICES:
        last = machine.journal(f"USER_UNIT=autosync-{service}.service")[-1]
        assert last["MESSAGE"].startswith(f"Stopped autosync-{service}"), last
    machine.login("person", "loginctl enable-linger")
    until(lambda: all(state == "active" for state in _states(machine, manager)), "the services without a login")


def _states(machine: Booted, manager: str) -> list[str]:
    if machine.run("systemctl", "is-active", manager, check=False).returncode:
        return ["no login"]
    names = [f"autosync-{service}" for service in _SERVICES]
    user = manager.removeprefix("user@").removesuffix(".service")
    return machine.run("systemctl", f"--machine={user}@", "--user", "is-active", *names, check=False).stdout.split()


def is_removed(machine: Booted) -> None:
    person(machine, "echo '[Unit]' >.config/systemd/user/mine.service; /mnt/install.sh --uninstall")
    assert "autosync" not in person(machine, "systemctl --user list-units --all; systemctl --user list-unit-files")
    assert machine.run("pgrep", "-f", "autosync-", check=False).stdout == ""
    left = {str(path) for path in machine.path("/home/person/.config/systemd/user").rglob("*") if not path.is_dir()}
    assert {Path(name).name for name in left} == {"mine.service"}
