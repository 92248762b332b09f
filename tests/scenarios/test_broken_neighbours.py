"""One repository in whatever trouble: another one of the same configuration is in sync all the same."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.git import git
from tests.support.machines import Fleet, Machine
from tests.support.wait import until


def not_mine(path: Path) -> None:
    """What this user may not read: for root, git's own check of the owner."""
    if os.geteuid():
        path.chmod(0)
    else:
        os.chown(path, 12345, 12345)
        git(path, "config", "--global", "--unset-all", "safe.directory")


def in_a_rebase(path: Path) -> None:
    git(path, "switch", "-qc", "side", "HEAD~1")
    (path / "f").write_text("otherwise\n")
    git(path, "commit", "-qam", "side")
    git(path, "rebase", "main", check=False)
    assert (path / ".git/rebase-merge").exists()


def corrupt_objects(path: Path) -> None:
    for folder in (path / ".git/objects").iterdir():
        for file in folder.iterdir():
            file.chmod(0o644)
            file.write_bytes(b"rubbish")


def silent_remote(path: Path) -> None:
    """One that takes a connection and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.set_inheritable(True)
    _SILENT.append(listener)
    git(path, "remote", "set-url", "origin", f"git://127.0.0.1:{listener.getsockname()[1]}/x.git")


def slow_hook(path: Path) -> None:
    hook = path / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nexec sleep 600\n")
    hook.chmod(0o755)
    (path / "f").write_text("to be committed\n")


_SILENT: list[socket.socket] = []
TROUBLE: dict[str, Callable[[Path], object]] = {
    "the folder is gone": shutil.rmtree,
    "the remote is gone": lambda path: shutil.rmtree(git(path, "remote", "get-url", "origin")),
    "the remote never answers": silent_remote,
    "a hook that hangs": slow_hook,
    "no remote": lambda path: git(path, "remote", "remove", "origin"),
    "in a rebase": in_a_rebase,
    "corrupt HEAD": lambda path: (path / ".git/HEAD").write_bytes(b"\0rubbish"),
    "corrupt ref": lambda path: (path / ".git/refs/heads/main").write_text("not a commit\n"),
    "corrupt index": lambda path: (path / ".git/index").write_bytes(b"DIRCrubbish"),
    "corrupt config": lambda path: (path / ".git/config").write_text("[core\n"),
    "corrupt objects": corrupt_objects,
    "a link that leads to itself": lambda path: (shutil.rmtree(path), path.symlink_to(path)),
    "a file in its place": lambda path: (shutil.rmtree(path), path.write_text("x")),
    "no permission": not_mine,
}


#: What the remedy has to say of some.
WORDS = {
    "the folder is gone": "mount it",
    "in a rebase": "git rebase --continue",
    "corrupt HEAD": "mend what it names",
    "corrupt config": "mend what it names",
    "corrupt index": "see what git says",
    "corrupt objects": "see what git says",
}


def neighbour(machine: Machine, name: str) -> Path:
    """A sound repository in sync with a remote of its own."""
    path, remote = machine.folder / name, machine.folder / f"{name}.git"
    git(machine.folder, "init", "-q", "--bare", str(remote))
    git(machine.folder, "clone", "-q", str(remote), str(path))
    for number in range(2):
        (path / "f").write_text(f"{number}\n")
        git(path, "add", "f")
        git(path, "commit", "-qm", str(number))
    git(path, "push", "-q")
    return path


@pytest.fixture(autouse=True)
def silence():
    yield
    while _SILENT:
        _SILENT.pop().close()


def test_any_trouble_of_others_stops_nobody(tmp_path):
    with Fleet(tmp_path) as fleet:
        text = f'[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
        a, b = fleet.add("a", sections=text), fleet.add("b", sections=text)
        paths = {name: neighbour(a, name) for name in TROUBLE}
        for name, path in paths.items():
            TROUBLE[name](path)
        more = "".join(f'[[repository]]\npath = "{path}"\npoll = 1.0\nsettle = 0.0\n' for path in paths.values())
        shutil.copy(Path.home() / ".gitconfig", a.home / ".gitconfig")
        a.configure(settings=f"{a.settings}\n{more}")
        for machine in (a, b):
            machine.start().online("reflector")

        def shown() -> dict[str, dict]:
            return {Path(r["path"]).name: r for r in a.status()["repositories"]}

        # all have been looked at, and the sound one among them goes on
        until(lambda: {r["state"] for r in shown().values()}.isdisjoint({"waiting"}), "a look at each")
        for number in range(3):
            a.write("ok.txt", f"{number}\n")
            until(lambda n=number: b.read("ok.txt") == f"{n}\n", "the sound repository to sync")
            b.write("back.txt", f"{number}\n")
            until(lambda n=number: a.read("back.txt") == f"{n}\n", "the sound repository to sync the other way")

        # the two that hang are at work, but for the others status says what is wrong and what to do
        hanging = {"the remote never answers", "a hook that hangs"}

        def silent() -> list[str]:
            return [
                n for n, r in shown().items() if n in TROUBLE.keys() - hanging and not (r["remedy"] and r["reason"])
            ]

        until(lambda: not silent(), "each to have its remedy")
        said = shown()
        assert said["notes"]["state"] == "in sync"
        for service in ("relay", "watcher"):
            assert a.services[service].stop() == 0
        for name, words in WORDS.items():
            assert words in said[name]["remedy"], said[name]
        assert "Traceback" not in a.logs()
        assert not list(a.home.rglob("bug-*.txt"))


@pytest.mark.skipif(not shutil.which("bindfs"), reason="needs bindfs")
def test_a_file_system_that_hangs_stops_nobody(tmp_path):
    disk, hung = tmp_path / "disk", tmp_path / "hung"
    hung.mkdir()
    git(tmp_path, "init", "-q", str(disk))
    with subprocess.Popen(["bindfs", "-f", str(disk), str(hung)], stderr=subprocess.DEVNULL) as server:
        until(lambda: (hung / ".git").exists() or server.poll() is not None, "the mount")
        if server.poll() is not None:
            pytest.skip("FUSE cannot be mounted here")
        try:
            with Fleet(tmp_path) as fleet:
                text = f'[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
                a, b = fleet.add("a", sections=text), fleet.add("b", sections=text)
                a.configure(settings=f'{a.settings}\n[[repository]]\npath = "{hung}"\npoll = 1.0\n')
                server.send_signal(signal.SIGSTOP)
                for machine in (a, b):
                    machine.start().online("reflector")
                a.write("ok.txt", "1\n")
                until(lambda: b.read("ok.txt") == "1\n", "the sound repository to sync")
                b.write("back.txt", "1\n")
                until(lambda: a.read("back.txt") == "1\n", "the sound repository to sync the other way")
                for service in ("relay", "watcher"):
                    assert a.services.pop(service).stop() == 0
        finally:
            server.send_signal(signal.SIGCONT)
            subprocess.run(["umount", "-l", str(hung)], check=True)
