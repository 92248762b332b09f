"""`autosync doctor`: what it finds, each with its remedy."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from autosync.common.config import Repo, Settings
from autosync.common.repository import Repository
from autosync.common.version import version
from autosync.console import findings, surroundings
from autosync.console.reach import environment_of, reach
from autosync.hooks.install import install
from tests.console.fake import relay_entry, relay_status, running, watcher_entry, watcher_status
from tests.support.git import git
from tests.support.wait import until


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
    failed = {"state": "failed", "error": f"{secret} can be read by others", "remedy": "chmod"}
    healthy.relay["transports"][0] |= failed
    wrong = found(healthy)
    assert set(wrong) == {"reflector secret"}
    what, remedy = wrong["reflector secret"]
    assert "can be read by others" in what
    assert remedy == f"chmod 600 {secret}"


def test_a_mistake_in_the_configuration(healthy):
    healthy.config.write_text("nam = 1")
    assert "did you mean 'name'" in found(healthy)["configuration"][0]


def test_hooks_where_git_does_not_look_are_one_finding(healthy):
    git(healthy.notes, "config", "core.hooksPath", "elsewhere")
    what, remedy = found(healthy)["hooks"]
    assert what.startswith("post-commit, ")
    assert what.endswith("pre-push are where git does not look for hooks")
    assert remedy == f"autosync-install-hooks {healthy.notes}"


def test_hooks_that_are_not_there(machine):
    what, remedy = found(machine)["hooks"]
    assert "post-commit" in what
    assert "pre-push are not installed" in what
    assert remedy == f"autosync-install-hooks {machine.notes}"


def test_no_upstream(healthy):
    # the relay need not have noticed
    healthy.relay["repositories"][0]["upstream"] = "origin/main"
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


# round a repository ------------------------------------------------------------------------------------------


def test_a_remote_that_is_not_there(healthy):
    healthy.central.rename(healthy.central.with_name("moved.git"))
    what, remedy = found(healthy)["remote"]
    assert "origin is not there" in what
    assert remedy == f"look at its address: git -C {healthy.notes} remote get-url origin"


def test_a_remote_that_is_read_only(healthy, monkeypatch):
    objects = str(healthy.central / "objects")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, *rest: str(path) != objects and real(path, *rest))
    assert "can be read but not written to" in found(healthy)["remote"][0]
    healthy.config.write_text(healthy.config.read_text() + 'push = "manual"\n')
    assert "remote" not in found(healthy)


def test_a_push_that_would_have_to_merge_first_is_no_finding(healthy, home):
    git(home, "clone", "-q", str(healthy.central), "other")
    git(home / "other", "commit", "-q", "--allow-empty", "-m", "theirs")
    git(home / "other", "push", "-q")
    git(healthy.notes, "commit", "-q", "--allow-empty", "-m", "ours")
    assert found(healthy) == {}


def test_trying_a_push_sends_nothing_and_runs_no_hook(healthy):
    git(healthy.notes, "commit", "-q", "--allow-empty", "-m", "ours")
    before = git(healthy.central, "rev-parse", "main")
    hook = healthy.notes / ".git/hooks/pre-push"
    hook.write_text("#!/bin/sh\nexit 1\n")
    assert reach(Repository.open(healthy.notes), Settings(), {}).problem is None
    assert git(healthy.central, "rev-parse", "main") == before


def test_a_login_that_only_the_shell_has(healthy, home, monkeypatch):
    ssh = home / "ssh"
    refusal = "echo 'git@host: Permission denied (publickey).' >&2; exit 255"
    ssh.write_text(f'#!/bin/sh\n[ -n "$SSH_AUTH_SOCK" ] || {{ {refusal}; }}\nfor last; do :; done\neval "$last"\n')
    ssh.chmod(0o755)
    git(healthy.notes, "remote", "set-url", "origin", f"ssh://host{healthy.central}")
    git(healthy.notes, "config", "core.sshCommand", str(ssh))
    git(healthy.notes, "config", "ssh.variant", "ssh")
    repository = Repository.open(healthy.notes)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(home))
    relay = dict(os.environ) | {"SSH_AUTH_SOCK": ""}
    assert reach(repository, Settings(), dict(os.environ)).problem is None
    problem = reach(repository, Settings(), relay).problem
    assert "lets this shell in, but not the relay, whose environment is another (SSH_AUTH_SOCK)" in problem.what
    assert "systemctl --user import-environment SSH_AUTH_SOCK" in problem.remedy
    monkeypatch.delenv("SSH_AUTH_SOCK")
    problem = reach(repository, Settings(), relay).problem
    assert "refuses this machine" in problem.what
    assert "no ssh agent is there" in problem.remedy


def test_the_environment_of_a_process(monkeypatch):
    with subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], "SECRET": "x"}) as process:
        # a moment before it is sleep, the child has our environment, or none
        until(lambda: "PATH" in environment_of(process.pid), "the child's environment")
        told = environment_of(process.pid)
        process.kill()
    assert told["PATH"] == os.environ["PATH"]
    assert told["SSH_AUTH_SOCK"] == ""
    assert "SECRET" not in told
    assert environment_of(None) == {}


def test_a_clock_that_is_ahead(healthy, monkeypatch):
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2090-01-01T00:00:00Z")
    git(healthy.notes, "commit", "-q", "--allow-empty", "-m", "x\n\nAutosync-Machine: desk")
    what, remedy = found(healthy)["clock"]
    assert "by desk is " in what
    assert "in the future" in what
    assert "timedatectl" in remedy


def test_a_filter_that_is_not_set_up_or_cannot_be_run(healthy):
    (healthy.notes / ".gitattributes").write_text("# *.x filter=none\n*.bin filter=big diff=big\n*.c filter=crypt\n")
    git(healthy.notes, "add", ".gitattributes")
    git(healthy.notes, "config", "filter.big.clean", "no-such-program clean -- %f")
    checks = surroundings.missing_filters(Repository.open(healthy.notes), {"PATH": os.environ["PATH"]})
    big, crypt = [check.problem for check in checks]
    assert crypt.what == "the filter 'crypt' of .gitattributes is not set up"
    assert big.what == "the filter 'big' runs no-such-program, which is not in the watcher's PATH"
    git(healthy.notes, "config", "filter.big.clean", "cat")
    git(healthy.notes, "config", "filter.crypt.process", "cat")
    assert "filters" not in found(healthy)


def test_a_file_system_that_does_not_tell(healthy, monkeypatch):
    monkeypatch.setattr(surroundings.filesystem, "silent", lambda path: "NFS")
    assert "is on NFS" in found(healthy)["file system"][0]


def test_the_traps_of_sparkleshare(healthy, home):
    def traps() -> list[str]:
        checks = surroundings.sparkleshare(Repository.open(healthy.notes), "origin/main")
        return [check.problem.what for check in checks]

    assert traps() == []
    git(healthy.notes, "push", "-q", "origin", "main:feature/main", "main:x-sparkleshare-encrypted-1a")
    (what,) = traps()
    assert "x-sparkleshare-encrypted-1a says that files are stored through the filter 'encryption'" in what
    git(healthy.notes, "config", "filter.encryption.clean", "cat")
    assert traps() == []
    (healthy.notes / ".sparkleshare").write_text("0" * 40)
    (what,) = traps()
    assert "take the remote's branch feature/main for main" in what
    git(healthy.notes, "config", "core.sshCommand", "ssh -i ~/.config/org.sparkleshare.SparkleShare/ssh/key")
    assert any("a clone of SparkleShare's own" in what for what in traps())


def test_sparkleshare_that_could_hear_of_nothing(healthy):
    text = '[reflector]\nurl = "tcp://127.0.0.1:1"\nsparkleshare = true\n'
    healthy.config.write_text(text + healthy.config.read_text().partition("\n")[2])
    assert "no repository has the file .sparkleshare" in found(healthy)["SparkleShare"][0]
    (healthy.notes / ".sparkleshare").write_text("0" * 40)
    assert "SparkleShare" not in found(healthy)
