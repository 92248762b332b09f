"""`autosync explain`: each reason why a file is not synchronised, with its remedy; and where the others are."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess

import pytest

from tests.console.fake import relay_entry, relay_status, running, watcher_entry, watcher_status
from tests.support.git import git


@pytest.fixture
def alive(machine):
    """Both services run; ``machine.watcher`` and ``machine.relay`` change what they say of the repository."""
    machine.watcher, machine.relay = {}, {}
    answers = {
        "watcher": lambda _: watcher_status(watcher_entry(machine.notes, **machine.watcher)),
        "relay": lambda _: relay_status(relay_entry(machine.notes, **machine.relay)),
    }
    with contextlib.ExitStack() as stack:
        for service, answer in answers.items():
            stack.enter_context(running(machine.instance, service, {"status": answer}))
        yield machine


def explain(machine, path) -> dict:
    code, out, _ = machine.run("explain", "--json", path)
    found = json.loads(out)
    assert code == (1 if found["reasons"] else 0)
    return found


def why(machine, name: str) -> tuple[str, str]:
    """The only reason, and its remedy."""
    (reason,) = explain(machine, machine.notes / name)["reasons"]
    return reason["what"], reason["remedy"]


def committed(machine, name: str, content: str = "x", push: bool = True) -> str:
    file = machine.notes / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    git(machine.notes, "add", "-f", "--", name)
    git(machine.notes, "commit", "-qm", f"{name}\n\nAutosync-Machine: desk")
    if push:
        git(machine.notes, "push", "-q")
    return git(machine.notes, "rev-parse", "--short", "HEAD")


def test_of_a_synchronised_file_it_says_which_version_is_where(alive):
    commit = committed(alive, "a b/ü.txt")
    found = explain(alive, alive.notes / "a b/ü.txt")
    assert found["version"] == f"commit {commit}, made just now on desk; it is on origin/main"
    code, out, _ = alive.run("explain", alive.notes / "a b", alive.notes)
    assert code == 0, out
    assert out.count(f"✓ commit {commit}") == 2


def test_the_rule_of_git_that_ignores_it_is_named_and_its_remedy_works(alive):
    (alive.notes / "build").mkdir()
    (alive.notes / "build" / "o").touch()
    committed(alive, ".gitignore", "# mine\nbuild/\n")
    what, remedy = why(alive, "build/o")
    assert what == "git ignores it: .gitignore, line 2: build/"
    assert why(alive, "build")[0] == what
    subprocess.run(shlex.split(remedy.partition("alone: ")[2]), check=True)
    assert "git ignores it" not in json.dumps(explain(alive, alive.notes / "build/o"))


def test_a_file_that_is_tracked_although_ignored_is_synchronised(alive):
    committed(alive, ".gitignore", "*.o\n")
    committed(alive, "x.o")
    assert explain(alive, alive.notes / "x.o")["reasons"] == []


def test_exclude_and_the_leavings_of_programs(alive):
    alive.config.write_text(alive.config.read_text() + 'exclude = ["tmp/", "!keep.part"]\n')
    (alive.notes / "tmp").mkdir()
    for name in ("tmp/x", "film.part", "keep.part"):
        (alive.notes / name).touch()
    assert why(alive, "tmp/x")[0] == "it is excluded: exclude has 'tmp/'"
    what, remedy = why(alive, "film.part")
    assert what.endswith("leaves while it works: *.part")
    assert 'exclude = ["!*.part"]' in remedy
    assert "it changed just now" in why(alive, "keep.part")[0]
    alive.config.write_text(alive.config.read_text() + "builtin-ignores = false\n")
    assert "it changed just now" in why(alive, "film.part")[0]


def test_what_the_watcher_holds_back_also_when_it_does_not_run(alive, machine):
    (alive.notes / ".env").write_text("KEY=1")
    alive.watcher = {"quarantined": [{"path": ".env", "reason": "too secret", "remedy": "let it"}]}
    assert why(alive, ".env") == ("it is held back: too secret", "let it")


def test_without_a_watcher_it_judges_itself(machine):
    machine.config.write_text(machine.config.read_text() + 'max-file-size = "1KB"\n')
    (machine.notes / "big").write_bytes(b"x" * 2000)
    (machine.notes / "id_rsa").write_text("x")
    (machine.notes / "key").write_text("AGE-SECRET-KEY-1" + "A" * 30)
    assert "more than max-file-size" in explain(machine, machine.notes / "big")["reasons"][0]["what"]
    assert "secret by its name" in explain(machine, machine.notes / "id_rsa")["reasons"][0]["what"]
    assert "a private key" in explain(machine, machine.notes / "key")["reasons"][0]["what"]
    git(machine.notes, "config", "--add", "autosync.allow", "/id_rsa")
    assert "held back" not in json.dumps(explain(machine, machine.notes / "id_rsa"))


def test_other_repositories_inside(alive):
    git(alive.notes, "init", "-q", "inner")
    (alive.notes / "inner/f").touch()
    what, remedy = why(alive, "inner/f")
    assert what.endswith("a repository of its own, which is left out")
    assert f"autosync init {alive.notes}/inner" in remedy
    git(alive.notes, "submodule", "--quiet", "add", str(alive.central), "module")
    assert "it is in the submodule" in why(alive, "module/f")[0]


def test_what_git_cannot_keep(alive):
    (alive.notes / "there").mkdir()
    (alive.notes / "link").symlink_to("there")
    os.mkfifo(alive.notes / "pipe")
    assert "behind the symbolic link" in why(alive, "link/x")[0]
    assert "a pipe, socket or device" in why(alive, "pipe")[0]
    assert "no empty folders" in why(alive, "there")[0]
    assert "belongs to git itself" in why(alive, ".git/config")[0]


def test_what_is_not_there(alive):
    assert "git has never had it" in why(alive, "typo")[0]
    committed(alive, "old")
    git(alive.notes, "rm", "-q", "old")
    git(alive.notes, "commit", "-qm", "gone")
    what, remedy = why(alive, "old")
    assert "deleted it" in what
    assert remedy == f"autosync restore {alive.notes}/old"


def test_outside_of_everything(alive, home):
    (home / "elsewhere").mkdir()
    git(home, "init", "-q", "other")
    (home / "other" / "f").touch()
    (reason,) = explain(alive, home / "elsewhere/f")["reasons"]
    assert reason["what"] == "it is in no repository of the configuration"
    (reason,) = explain(alive, home / "other/f")["reasons"]
    assert reason["remedy"] == f"autosync init {home}/other"
    assert "bare repository" in explain_bare(alive)


def explain_bare(machine) -> str:
    machine.config.write_text(machine.config.read_text() + '[[repository]]\npath = "~/central.git"\n')
    return explain(machine, machine.central / "HEAD")["reasons"][0]["what"]


def test_a_change_that_has_not_settled(alive):
    committed(alive, "f")
    alive.config.write_text(alive.config.read_text() + "settle = 600.0\n")
    (alive.notes / "f").write_text("changed")
    what, remedy = why(alive, "f")
    assert what == "it changed just now: it is committed when quiet for 600 s"
    assert remedy == f"wait a moment, or: autosync sync {alive.notes}"
    os.utime(alive.notes / "f", (1, 1))
    assert "still has it open" in why(alive, "f")[0]
    (alive.notes / "f").unlink()
    assert "deleted, and that is not committed" in why(alive, "f")[0]


def test_what_holds_the_whole_repository(alive):
    (alive.notes / "f").touch()
    alive.watcher = {"state": "held", "reason": "a merge is under way", "remedy": "end it"}
    (first, second) = explain(alive, alive.notes / "f")["reasons"]
    assert first["what"] == "it is not committed yet"
    assert second == {"what": "the repository is held: a merge is under way", "remedy": "end it"}


def test_a_commit_that_has_not_been_pushed_concerns_its_files_alone(alive):
    committed(alive, "old")
    commit = committed(alive, "new", push=False)
    alive.relay = {"state": "offline", "reason": "origin cannot be reached", "remedy": "tried again by itself"}
    found = explain(alive, alive.notes / "new")
    assert [reason["what"] for reason in found["reasons"]] == [
        "its newest commit is not pushed yet",
        "the repository is offline: origin cannot be reached",
    ]
    assert found["version"] == f"commit {commit}, made just now on desk; it is here only"
    assert explain(alive, alive.notes / "old")["reasons"] == []


def test_a_newer_version_that_waits(alive):
    committed(alive, "f")
    committed(alive, "f", "newer")
    git(alive.notes, "reset", "-q", "--hard", "HEAD~1")
    alive.relay = {"state": "behind", "reason": '1 commit waits (pull = "notify")', "remedy": "git pull"}
    first, second = explain(alive, alive.notes / "f")["reasons"]
    assert "a newer version of it has come" in first["what"]
    assert second["remedy"] == "git pull"


@pytest.mark.parametrize("flag", ["assume-unchanged", "skip-worktree"])
def test_what_git_was_told_not_to_look_at(alive, flag):
    committed(alive, "f")
    git(alive.notes, "update-index", f"--{flag}", "f")
    (alive.notes / "f").write_text("changed")
    what, remedy = why(alive, "f")
    assert flag in what
    subprocess.run(shlex.split(remedy), check=True)
    assert "not committed" not in what


def test_where_the_watcher_is_switched_off(alive):
    alive.config.write_text(alive.config.read_text() + "watch = false\n")
    (alive.notes / "f").touch()
    assert "watch = false" in why(alive, "f")[0]


def test_without_a_watcher_nobody_commits(machine):
    with running(machine.instance, "relay", {"status": relay_status(relay_entry(machine.notes))}):
        (machine.notes / "f").touch()
        (reason,) = explain(machine, machine.notes / "f")["reasons"]
    assert reason["what"] == "it is not committed: the watcher is not running"
    assert "autosync-watcher" in reason["remedy"]
    reasons = explain(machine, machine.notes / "f")["reasons"]
    assert [reason["what"] for reason in reasons] == [
        "it is not committed: the watcher is not running",
        "the relay is not running",
    ]


def test_nobody_is_told_to_synchronise_a_folder_of_the_system_for_a_file_in_it(machine):
    (reason,) = explain(machine, "/etc/passwd")["reasons"]
    assert "move it into a repository" in reason["remedy"]
    assert "init /etc" not in reason["remedy"]
