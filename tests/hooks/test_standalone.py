"""Hooks that start the relay themselves: detached, alone, and with nothing of git's left."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync.common.errors import Problem
from autosync.common.repository import Repository
from autosync.hooks import install as installing
from autosync.hooks.install import inspect, install, uninstall
from tests.hooks.conftest import Pair, snapshot
from tests.support.git import git
from tests.support.wait import until

RELAY = f"""\
#!{sys.executable} -IS
import json, os, pathlib, sys, time
folder = pathlib.Path(__file__).parent
fds = {{}}
for fd in os.listdir("/proc/self/fd"):
    if os.path.exists(f"/proc/self/fd/{{fd}}"):
        fds[fd] = os.readlink(f"/proc/self/fd/{{fd}}")
seen = dict(args=sys.argv[1:], env=dict(os.environ), cwd=os.getcwd(), fds=fds, sid=os.getsid(0), pid=os.getpid())
repository = pathlib.Path(sys.argv[-1])
for lock in (repository / ".git/autosync/once.lock", repository / "autosync/once.lock"):
    while lock.parent.exists() and not (lock.exists() and lock.read_text()):
        time.sleep(0.001)
temporary = folder / f"{{os.getpid()}}.tmp"
temporary.write_text(json.dumps(seen))
temporary.rename(folder / f"run-{{time.monotonic_ns()}}.json")
while (folder / "stay").exists():
    time.sleep(0.01)
for lock in (repository / ".git/autosync/once.lock", repository / "autosync/once.lock"):
    if lock.exists():
        lock.write_text("")  # it will not look again
"""


@pytest.fixture
def relay(tmp_path, monkeypatch, script) -> Iterator[Path]:
    """A stand-in for the relay that writes down how it was started."""
    program = script(tmp_path / "bin dir's/autosync-relay", RELAY)
    monkeypatch.setattr(installing, "_relay_program", lambda: program)
    yield program
    (program.parent / "stay").unlink(missing_ok=True)


def runs(relay: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in sorted(relay.parent.glob("run-*.json"))]


def idle(pair: Pair) -> bool:
    return (pair.clone / ".git/autosync/once.lock").read_text() == ""


def put_in(repository: Repository, config: Path | None = None) -> None:
    assert not install(repository, standalone=True, config=config).problems


def test_a_commit_starts_the_relay_with_nothing_of_gits(pair, any_git, relay, monkeypatch):
    put_in(pair.repository())
    held = os.open(pair.clone / "held", os.O_WRONLY | os.O_CREAT)
    monkeypatch.setenv("GIT_AUTHOR_DATE", "1000000000 +0000")
    monkeypatch.setenv("GIT_ODD", "a\nexport GIT_B='c\nGIT_-x=")
    monkeypatch.setenv("PERSON", "kept\n as it is ")
    words = ["git", "-c", "x.y=z", "commit", "--quiet", "--allow-empty", "-m", "m"]
    done = subprocess.run(words, cwd=pair.clone, capture_output=True, pass_fds=[held])
    os.close(held)
    assert (done.returncode, done.stderr) == (0, b"")
    [run] = until(lambda: runs(relay), "the relay to start")
    assert run["args"] == ["--once", os.fspath(pair.clone)]
    assert run["cwd"] == "/"
    assert run["sid"] == run["pid"]
    assert [name for name in run["env"] if name.startswith("GIT_")] == []
    assert run["env"]["PERSON"] == "kept\n as it is "
    assert run["env"]["HOME"] == os.environ["HOME"]
    assert run["env"]["PATH"] == os.environ["PATH"]
    assert {run["fds"][fd] for fd in "012"} == {"/dev/null"}
    assert all(int(fd) <= 2 or int(fd) > 9 or target.startswith("/proc/") for fd, target in run["fds"].items())


def test_every_hook_starts_it(pair, any_git, relay):
    put_in(pair.repository())
    put_in(pair.central_repository())
    git(pair.clone, "checkout", "--quiet", "-b", "side")
    until(lambda: runs(relay), "the relay to start")
    until(lambda: idle(pair), "the relay to end")
    git(pair.clone, "push", "--quiet", "origin", "side")
    until(lambda: len(runs(relay)) == 3, "the relay to start for the push, on both sides")
    assert {run["args"][-1] for run in runs(relay)[1:]} == {os.fspath(pair.clone), os.fspath(pair.central)}


def test_it_is_started_for_the_work_tree_that_was_used(pair, any_git, relay, tmp_path):
    put_in(pair.repository())
    git(pair.clone, "worktree", "add", "--quiet", "../linked")
    (tmp_path / "linked/below").mkdir()
    git(tmp_path / "linked/below", "commit", "--quiet", "--allow-empty", "-m", "m")
    until(lambda: len(runs(relay)) == 2, "the relay to start")
    assert runs(relay)[-1]["args"][-1] == os.fspath(tmp_path / "linked")


def test_the_configuration_file_is_named(pair, any_git, relay, tmp_path):
    put_in(pair.repository(), tmp_path / "my config.toml")
    assert git(pair.clone, "config", "autosync.config") == os.fspath(tmp_path / "my config.toml")
    pair.commit()
    [run] = until(lambda: runs(relay), "the relay to start")
    assert run["args"] == ["--config", os.fspath(tmp_path / "my config.toml"), "--once", os.fspath(pair.clone)]
    # and remembered by the next installation
    put_in(pair.repository())
    assert all(status.in_order for status in inspect(pair.repository()))
    until(lambda: idle(pair), "the relay to end")
    pair.commit()
    until(lambda: len(runs(relay)) == 2, "the relay to start again")
    assert "--config" in runs(relay)[1]["args"]


def test_a_relay_that_is_there_and_will_look_again_is_enough(pair, any_git, relay):
    put_in(pair.repository())
    (relay.parent / "stay").touch()
    pair.commit()
    [run] = until(lambda: runs(relay), "the relay to start")
    lock = pair.clone / ".git/autosync/once.lock"
    assert int(lock.read_text()) == run["pid"]
    again = pair.clone / ".git/autosync/once-again"
    again.unlink()
    for _ in range(10):
        pair.commit()
    assert again.exists()
    assert len(runs(relay)) == 1
    # it says that it will not look again, or is gone without a word
    lock.write_text("")
    pair.commit()
    until(lambda: len(runs(relay)) == 2, "the relay to start again")
    (relay.parent / "stay").unlink()
    for run in runs(relay):
        until(lambda pid=run["pid"]: not Path(f"/proc/{pid}").exists(), "the relay to end")
    pair.commit()
    until(lambda: len(runs(relay)) == 3, "the relay to start again")


def test_a_process_that_has_taken_over_the_number_is_not_the_relay(pair, any_git, relay):
    put_in(pair.repository())
    (pair.clone / ".git/autosync/once.lock").write_text(f"{os.getpid()}\n")
    pair.commit()
    until(lambda: runs(relay), "the relay to start")


def test_a_caller_that_reads_to_the_end_does_not_wait_for_it(pair, any_git, relay):
    put_in(pair.repository())
    (relay.parent / "stay").touch()
    # would wait for ever, were a descriptor kept
    subprocess.run(["git", "commit", "--allow-empty", "-m", "m"], cwd=pair.clone, capture_output=True, check=True)
    [run] = until(lambda: runs(relay), "the relay to start")
    assert Path(f"/proc/{run['pid']}").exists()
    (relay.parent / "stay").unlink()


def test_an_interrupt_at_the_keyboard_does_not_reach_it(pair, any_git, relay):
    put_in(pair.repository())
    (relay.parent / "stay").touch()
    words = ["sh", "-c", "git commit --quiet --allow-empty -m m; kill -INT 0; kill -HUP 0"]
    subprocess.run(words, cwd=pair.clone, start_new_session=True)
    [run] = until(lambda: runs(relay), "the relay to start")
    assert Path(f"/proc/{run['pid']}").exists()
    (relay.parent / "stay").unlink()


def test_a_program_that_is_gone_is_silence_for_git_and_a_word_in_the_list(pair, any_git, relay):
    put_in(pair.repository())
    relay.unlink()
    done = subprocess.run(["git", "commit", "--quiet", "--allow-empty", "-m", "m"], cwd=pair.clone, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (pair.notes / "post-commit").exists()
    assert {status.state for status in inspect(pair.repository())} == {"broken"}


def test_no_program_no_installation(pair, monkeypatch):
    monkeypatch.setattr(installing, "_RELAY", "no-such-program")
    with pytest.raises(Problem, match="there is no no-such-program"):
        put_in(pair.repository())


def test_installing_without_it_stops_the_starting(pair, any_git, relay):
    put_in(pair.repository())
    assert not install(pair.repository(), standalone=False, config=None).problems
    pair.commit()
    assert (pair.notes / "post-commit").exists()
    assert not (pair.clone / ".git/autosync/once-again").exists()


@pytest.mark.parametrize("way", ["program", "script"])
def test_a_commit_is_pushed_with_no_daemon(pair, any_git, way):
    """With the real relay, and no configuration at all; it leaves nothing when the hooks are taken out."""
    git(pair.clone, "config", "push.default", "upstream")
    git(pair.clone, "worktree", "add", "--quiet", "../linked")
    before = snapshot(pair.clone / ".git")
    put_in(pair.repository())
    git(pair.clone.parent / "linked", "commit", "--quiet", "--allow-empty", "-m", "m")
    pair.commit()
    pair.commit()
    head = git(pair.clone, "rev-parse", "HEAD")
    until(lambda: git(pair.central, "rev-parse", "main") == head, "the commit to be pushed")
    for lock in pair.clone.glob(".git/**/once.lock"):
        until(lambda lock=lock: _free(lock), "the relay to end")
    if way == "program":
        assert not uninstall(pair.repository()).problems
    else:
        done = subprocess.run(["sh", ".git/autosync/uninstall-hooks"], cwd=pair.clone, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    left = ("autosync", "config", "hooks", "worktrees/linked/autosync")
    assert {k: v for k, v in snapshot(pair.clone / ".git").items() if k.startswith(left)} == {
        k: v for k, v in before.items() if k.startswith(left)
    }


def _free(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    pid = lock.read_text().strip()
    return not pid or not Path(f"/proc/{pid}").exists()


def test_a_held_repository_lock_is_not_inherited(pair, any_git, tmp_path):
    """The watcher's git inherits the repository's lock: the relay that its hook starts must not keep it."""
    git(tmp_path, "clone", "--quiet", os.fspath(pair.central), "other")
    (tmp_path / "other/file").write_text("theirs")
    git(tmp_path / "other", "add", "file")
    git(tmp_path / "other", "commit", "--quiet", "-m", "theirs")
    git(tmp_path / "other", "push", "--quiet")
    theirs = git(pair.central, "rev-parse", "main")
    put_in(pair.repository())
    with pair.repository().lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        high = fcntl.fcntl(lock, fcntl.F_DUPFD, 50)
        words = ["git", "commit", "--quiet", "--allow-empty", "-m", "m"]
        subprocess.run(words, cwd=pair.clone, check=True, pass_fds=[high])
        os.close(high)
    # needs the lock for the merge
    until(lambda: theirs in git(pair.clone, "rev-list", "HEAD"), "the merge with what was pushed meanwhile")
    until(lambda: _free(pair.clone / ".git/autosync/once.lock"), "the relay to end")


def test_the_program_is_recorded_by_the_name_that_outlives_an_upgrade(tmp_path, monkeypatch):
    """install.sh keeps each version in a folder of its own; `current` leads to the newest."""
    binary = tmp_path / "versions/1/bin"
    binary.mkdir(parents=True)
    for name in ("python", "autosync-relay"):
        (binary / name).write_text("#!/bin/sh\n")
        (binary / name).chmod(0o755)
    (tmp_path / "current").symlink_to("versions/1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/autosync-relay").symlink_to(tmp_path / "current/bin/autosync-relay")
    monkeypatch.setattr(sys, "executable", str(binary / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    assert installing._relay_program() == tmp_path / "bin/autosync-relay"
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "current/bin/autosync-install-hooks")])
    assert installing._relay_program() == tmp_path / "current/bin/autosync-relay"
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert installing._relay_program() == binary / "autosync-relay"
