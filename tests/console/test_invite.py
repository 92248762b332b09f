"""`autosync invite`: the line that it prints is run on another machine."""

from __future__ import annotations

import os
import subprocess

import pytest

from autosync.common import config
from tests.support.git import git
from tests.support.machines import BIN


@pytest.fixture
def announced(machine):
    secret = machine.config.parent / "reflector-secret"
    secret.touch(0o600)
    secret.write_text("s3cret of 'all'\n")
    text = '[reflector]\nurl = "tcp://server:1986"\nsecret-file = "reflector-secret"\n'
    machine.config.write_text(text + machine.config.read_text().partition("\n")[2])
    return machine


def there(home, line: str) -> str:
    """Run the line in a home of its own; returns what it printed."""
    (home / "run").mkdir(parents=True, mode=0o700)
    env = dict(os.environ) | {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    env["PATH"] = f"{BIN}:{env['PATH']}"
    done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("option", [(), ("--with-secret",)])
def test_the_line_sets_the_same_up_elsewhere(announced, tmp_path, option):
    code, out, err = announced.run("invite", *option)
    assert code == 0
    (line,) = out.splitlines()
    assert ("s3cret" in line) == bool(option)
    assert "s3cret" not in err
    there(tmp_path / "desk", line)
    settings, repos = config.load(tmp_path / "desk/.config/autosync/config.toml")
    assert [repo.path.name for repo in repos] == ["notes"]
    assert git(tmp_path / "desk/notes", "config", "remote.origin.url") == str(announced.central)
    assert settings.reflector is not None
    assert settings.reflector.url == "tcp://server:1986"
    if option:
        assert config.read_secret(settings.reflector.secret_file) == "s3cret of 'all'"
    else:
        assert settings.reflector.secret_file is None
        assert "copy ~/etc/reflector-secret to the same place there" in err


def test_what_will_not_work_elsewhere_is_said(machine):
    machine.config.write_text(
        '[reflector]\nurl = "tcp://127.0.0.1:1986"\n' + machine.config.read_text().partition("\n")[2]
    )
    _, _, err = machine.run("invite")
    assert "leads to this machine only from itself" in err
    assert f"ssh://USER@HOST{machine.central}" in err


def test_without_an_upstream_there_is_nothing_to_follow(machine):
    git(machine.notes, "branch", "--unset-upstream")
    code, _, err = machine.run("invite")
    assert code == 1
    assert f"autosync init {machine.notes} --remote URL" in err


def test_of_several_transports_the_first_is_told(machine):
    text = (
        machine.config.read_text()
        + '[[transport]]\ntype = "xmpp"\njid = "rene@example.org"\npassword-command = ["pw"]\n'
    )
    machine.config.write_text(text + '[[transport]]\ntype = "reflector"\nurl = "tcp://server:1"\n')
    code, out, err = machine.run("invite")
    assert (code, out.split()[-2:]) == (0, ["--xmpp", "rene@example.org"]), err


def test_to_a_central_repository_it_invites_with_a_clone(machine):
    machine.config.write_text('[[repository]]\npath = "~/central.git"\n')
    assert machine.run("invite")[1] == f"autosync init ~/central --remote {machine.central}\n"
