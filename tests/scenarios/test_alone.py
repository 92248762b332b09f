"""Each part lives alone: the watcher knows no network, and what is told to stop stops, whatever it is doing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.machines import Fleet, Machine, Service, command
from tests.support.wait import until


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_the_watcher_opens_no_network_socket(tmp_path):
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-o", str(trace), "-e", "trace=socket,socketpair,connect,bind"]
    if subprocess.run([*strace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not be used here")
    with Fleet(tmp_path) as fleet:
        # with everything configured that leads to a network
        sections = '[reflector]\nurl = "tcp://127.0.0.1:1"\n[xmpp]\njid = "a@localhost"\npassword-command = ["true"]\n'
        a = fleet.add("a", sections=sections)
        a.git("remote", "set-url", "origin", "git://127.0.0.1:1/x.git")
        a.services["watcher"] = Service([*strace, command("autosync-watcher")], a.env, a.folder / "watcher.log")
        until(lambda: a.answers("watcher"), "the watcher to answer")
        for number in range(2):
            a.write("f.txt", f"{number}\n")
            until(lambda n=number: a.git("show", "HEAD:f.txt", check=False) == str(n), "the commit")
        a.configure()
        a.run("autosync", "status", check=False)
        (a.repo / "f.txt").rename(a.repo / "g.txt")
        until(a.clean, "the renaming")
        # strace passes no signal on that was sent to it alone
        child = Path(f"/proc/{a.services['watcher'].process.pid}/task/{a.services['watcher'].process.pid}/children")
        os.kill(int(child.read_text().split()[0]), signal.SIGTERM)
        a.services["watcher"].process.wait(30)
    families = set(re.findall(r"\b(?:socket|socketpair)\((\w+)", trace.read_text()))
    assert "AF_UNIX" in families  # its control socket, or nothing was traced at all
    assert families <= {"AF_UNIX", "AF_NETLINK"}


def stopped(machine: Machine, name: str) -> None:
    """SIGTERM, and it ends in about two seconds (a busy machine may take longer), well before what it was at."""
    started = time.monotonic()
    assert machine.services.pop(name).stop() == 0
    assert time.monotonic() - started < 20.0
    assert list((machine.repo / ".git").rglob("*.lock")) == []
    assert not list((machine.home / "run").rglob(f"{name}.socket"))


def hangs(path: Path, began: Path) -> None:
    """A program that says that it began, and then takes its time, deaf to SIGTERM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ntrap '' TERM\n: >'{began}'\nsleep 600 & wait; sleep 600\n")
    path.chmod(0o755)


def test_services_stop_in_the_middle_of_anything(tmp_path):
    with Fleet(tmp_path) as fleet, socket.create_server(("127.0.0.1", 0)) as silent:
        a = fleet.add("a", sections=f'[reflector]\nurl = "tcp://127.0.0.1:{silent.getsockname()[1]}"\n').start()
        a.write("f.txt", "1\n")
        fleet.same()
        began, hook = tmp_path / "began", a.repo / ".git/hooks/pre-commit"

        # a commit whose hook hangs
        hangs(hook, began)
        a.write("f.txt", "2\n")
        until(began.exists, "the hook to begin")
        stopped(a, "watcher")
        hook.unlink()
        began.unlink()
        a.start("watcher")
        until(a.clean, "the commit after the restart")
        fleet.same()

        # a push that the other side never answers
        hangs(fleet.central / "hooks/pre-receive", began)
        a.write("f.txt", "3\n")
        until(began.exists, "the push")
        stopped(a, "relay")
        shutil.rmtree(fleet.central / "hooks")
        a.start("relay")
        fleet.same()

        # a fetch that is never answered
        url = a.git("remote", "get-url", "origin")
        a.stop("relay")
        a.git("remote", "set-url", "origin", f"git://127.0.0.1:{silent.getsockname()[1]}/x.git")
        a.start("relay")
        until(lambda: a.relay_status()["repositories"][0]["state"] == "syncing", "the fetch")
        stopped(a, "relay")
        a.git("remote", "set-url", "origin", url)

        # with a client that holds on to the control socket
        a.start("relay")
        (path,) = (a.home / "run").glob("autosync/*/relay.socket")
        with socket.socket(socket.AF_UNIX) as client:
            folder = os.open(path.parent, os.O_PATH)
            client.connect(f"/proc/self/fd/{folder}/{path.name}")
            os.close(folder)
            stopped(a, "relay")
        a.start("relay")
        fleet.same()
