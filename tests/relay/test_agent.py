"""An ssh agent that comes after the relay: it is asked for where a login fails, and used from then on."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync.relay import agent
from tests.relay.clones import Clone
from tests.support.git import git


@pytest.fixture
def session(home, monkeypatch) -> Iterator[Path]:
    """A session whose systemd was told of an agent: the agent's socket. ``asked`` beside it counts."""
    place = home / "agent"
    (home / "run" / "systemd").mkdir()
    (home / "run" / "systemd" / "private").touch()
    commands = home / "bin"
    commands.mkdir()
    (commands / "systemctl").write_text(
        f"#!/bin/sh\necho x >>'{home}/asked'\n[ \"$*\" = '--user show-environment' ] || exit 1\n"
        f"printf 'LANG=C\\nMESSAGE=$'\\''two\\\\nlines'\\''\\nSSH_AUTH_SOCK={place}\\n'\n"
    )
    (commands / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv(agent.VARIABLE, "")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        yield place


def test_one_that_is_known_is_left(session, home):
    other = home / "other"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(other))
        assert agent.place_for({agent.VARIABLE: str(other)}) == str(other)
    assert not (home / "asked").exists()
    # it has ended
    other.unlink()
    assert agent.place_for({agent.VARIABLE: str(other)}) == str(session)
    assert agent.place_for({}) == str(session)


def test_one_that_has_ended_too_is_none(session, home):
    session.unlink()
    assert agent.place_for({}) == ""
    assert agent.place_for({agent.VARIABLE: "/gone"}) == "/gone"


def test_without_systemd_nobody_is_asked(session, home):
    (home / "run" / "systemd" / "private").unlink()
    assert agent.place_for({}) == ""
    assert not (home / "asked").exists()


def test_a_login_that_fails_is_tried_with_it_at_once(session, home, tmp_path):
    git(tmp_path, "init", "-q", "--bare", "central.git")
    clone = Clone(tmp_path, "a", tmp_path / "central.git")
    clone.commit("first", "1\n")
    ssh = home / "ssh"
    refusal = "echo 'git@host: Permission denied (publickey).' >&2; exit 255"
    ssh.write_text(f'#!/bin/sh\n[ -n "$SSH_AUTH_SOCK" ] || {{ {refusal}; }}\nfor last; do :; done\neval "$last"\n')
    ssh.chmod(0o755)
    git(clone.path, "remote", "set-url", "origin", f"ssh://host{tmp_path}/central.git")
    git(clone.path, "config", "core.sshCommand", str(ssh))
    git(clone.path, "config", "ssh.variant", "ssh")
    assert clone.turn() == "in sync"
    assert os.environ[agent.VARIABLE] == str(session)
    # asked for once: what fails from now on fails
    ssh.write_text(f"#!/bin/sh\n{refusal}\n")
    assert clone.turn() == "error"
    assert (home / "asked").read_text() == "x\n"
