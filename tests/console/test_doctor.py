"""`autosync doctor`: what it finds, each with its remedy."""

from __future__ import annotations

import json

import pytest

from autosync.common.config import Repo, Settings
from autosync.common.repository import Repository
from autosync.common.version import version
from autosync.console import findings
from autosync.hooks.install import install
from tests.console.fake import relay_entry, relay_status, running, watcher_entry, watcher_status
from tests.support.git import git


@pytest.fixture
def healthy(machine):
    """The machine with its hooks, and both services running."""
    install(Repository.open(machine.notes), standalone=False, config=None)
    online = [{"name": "reflector", "state": "online", "since": 1.0, "error": None, "remedy": None, "dropped": 0}]
    status = relay_status(relay_entry(machine.notes), transports=online) | {"version": version()}
    watcher = watcher_status(watcher_entry(machine.notes)) | {"version": version()}
    with (
        running(machine.instance, "relay", {"status": lambda _: status}),
        running(machine.instance, "watcher", {"status": lambda _: watcher}),
    ):
        machine.relay, machine.watcher = status, watcher
        yield machine


def found(machine) -> dict[str, tuple[str, str]]:
    """What is wrong: for each subject what and remedy."""
    code, out, _ = machine.run("doctor", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    wrong = {row["subject"]: (row["what"], row["remedy"]) for row in rows if row["what"]}
    assert code == (1 if wrong else 0)
    assert all(row["good"] for row in rows if not row["what"])
    return wrong


def test_where_all_is_well_it_says_so(healthy):
    assert found(healthy) == {}
    code, out, _ = healthy.run("doctor")
    assert code == 0
    assert "\n~/notes\n" in out
    assert out.endswith("all is well\n")


def test_services_that_do_not_run(machine):
    install(Repository.open(machine.notes), standalone=False, config=None)
    wrong = found(machine)
    assert set(wrong) == {"watcher", "relay"}
    assert "autosync-relay" in wrong["relay"][1]


def test_a_service_of_another_version(healthy):
    healthy.relay["version"] = "0.0.1"
    assert "is version 0.0.1" in found(healthy)["relay"][0]


def test_a_transport_that_does_not_get_through(healthy):
    healthy.relay["transports"][0] |= {"state": "failed", "error": "wrong password", "remedy": "correct it"}
    assert found(healthy) == {"reflector": ("wrong password", "correct it")}


def test_a_secret_that_others_can_read(healthy):
    secret = healthy.config.parent / "secret"
    secret.write_text("x" * 40)
    secret.chmod(0o644)
    text = '[reflector]\nurl = "tcp://127.0.0.1:1"\nsecret-file = "secret"\n'
    healthy.config.write_text(text + healthy.config.read_text().partition("\n")[2])
    what, remedy = found(healthy)["reflector secret"]
    assert "can be read by others" in what
    assert remedy == f"chmod 600 {secret}"


def test_a_mistake_in_the_configuration(healthy):
    healthy.config.write_text("nam = 1")
    assert "did you mean 'name'" in found(healthy)["configuration"][0]


def test_hooks_that_are_not_there(machine):
    what, remedy = found(machine)["hooks"]
    assert "post-commit" in what
    assert "pre-push are not installed" in what
    assert remedy == f"autosync-install-hooks {machine.notes}"


def test_no_upstream(healthy):
    git(healthy.notes, "branch", "--unset-upstream")
    assert found(healthy)["upstream"][1] == f"autosync init {healthy.notes} --remote URL"


def test_nobody_to_commit_as(healthy, home, monkeypatch):
    (home / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    assert "does not know your name" in found(healthy)["commits by"][0]


def test_what_a_service_holds_back(healthy):
    healthy.watcher["repositories"][0] |= {
        "state": "held",
        "reason": "a merge is under way",
        "remedy": "git merge --abort",
        "quarantined": [{"path": "id_rsa", "reason": "a private key", "remedy": "ignore it"}],
    }
    assert found(healthy) == {
        "held": ("a merge is under way", "git merge --abort"),
        "held back": ("id_rsa: a private key", "ignore it"),
    }


def test_a_repository_that_is_gone(healthy):
    healthy.config.write_text(healthy.config.read_text() + '[[repository]]\npath = "~/gone"\n')
    assert "is not there" in found(healthy)["repository"][0]


def test_too_many_folders_to_watch(tmp_path):
    limit = tmp_path / "limit"
    work = tmp_path / "work"
    (work / ".git" / "objects").mkdir(parents=True)
    for number in range(9):
        (work / f"{number}").mkdir()
    repos = [Repo(work, Settings(), frozenset())]
    limit.write_text("13\n")
    assert findings.watch_budget(repos, limit).good == "10 folders to watch, 13 allowed"
    limit.write_text("12\n")
    problem = findings.watch_budget(repos, limit).problem
    assert problem is not None
    assert "fs.inotify.max_user_watches=524288" in str(problem.remedy)


@pytest.mark.parametrize(("said", "well"), [("git version 2.37.9", False), ("git version 2.38.0", True)])
def test_an_old_git(tmp_path, monkeypatch, said, well):
    fake = tmp_path / "git"
    fake.write_text(f"#!/bin/sh\necho '{said}'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert (findings.git_version().problem is None) == well


def test_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert findings.git_version().problem is not None
