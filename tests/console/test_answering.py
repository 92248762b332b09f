"""One repository's file system hangs: each command says so, and works for the others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess

import pytest

from autosync.console import answering
from tests.console.fake import relay_entry, relay_status, running, watcher_entry, watcher_status
from tests.support.git import git
from tests.support.wait import until


@pytest.fixture
def hung(machine, tmp_path, monkeypatch):
    """The path of a second repository, which hangs, configured first; the other is in sync."""
    if not shutil.which("bindfs") or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs bindfs and FUSE")
    disk, place = tmp_path / "disk", machine.notes.parent / "hung"
    place.mkdir()
    git(tmp_path, "init", "-q", str(disk))
    with subprocess.Popen(["bindfs", "-f", str(disk), str(place)], stderr=subprocess.DEVNULL) as server:
        until(lambda: (place / ".git").exists() or server.poll() is not None, "the mount")
        if server.poll() is not None:
            pytest.skip("FUSE cannot be mounted here")
        server.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(answering, "_LIMIT", 0.5)
        machine.config.write_text(f'[[repository]]\npath = "{place}"\n\n[[repository]]\npath = "~/notes"\n')
        entry, watched = relay_entry(machine.notes), watcher_entry(machine.notes)
        synced, committed = {"repositories": [entry]}, {"repositories": []}
        try:
            with (
                running(machine.instance, "relay", {"status": relay_status(entry), "sync": synced}),
                running(machine.instance, "watcher", {"status": watcher_status(watched), "commit": committed}),
            ):
                yield place
        finally:
            server.send_signal(signal.SIGCONT)
            subprocess.run(["umount", "-l", str(place)], check=True)


def test_no_command_waits_for_it(machine, hung):
    words = f"the file system of {hung} does not answer"
    _, out, _ = machine.run("status", "--json")
    shown = {entry["path"]: entry for entry in json.loads(out)["repositories"]}
    assert (shown[str(hung)]["state"], shown[str(hung)]["reason"]) == ("error", words)
    assert shown[str(machine.notes)]["state"] == "in sync"
    code, out, _ = machine.run("doctor", "--json")
    assert code == 1
    assert (str(hung), words) in {(row["place"], row["what"]) for row in map(json.loads, out.splitlines())}
    code, out, err = machine.run("sync")
    assert (code, out) == (1, "~/notes: in sync\n")
    assert words.replace(str(hung), "~/hung") in err.replace(str(hung), "~/hung")
    code, out, err = machine.run("sync", "--dry-run")
    assert (code, out) == (1, "~/notes: nothing to do\n")
    (machine.notes / "a").write_text("1\n")
    assert "committed" in machine.run("explain", machine.notes / "a")[1]
    assert machine.run("log")[0] == 0
    for command in ("explain", "pause", "resume", "undo"):
        code, out, err = machine.run(command, hung)
        assert code == 1, command
        assert "does not answer" in out + err, command


def test_a_path_that_is_looked_for_by_what_it_leads_to(machine, hung, home):
    (home / "link").symlink_to(machine.notes)
    (machine.notes / "a").write_text("1\n")
    assert "committed" in machine.run("explain", home / "link" / "a")[1]
    code, _, err = machine.run("pause", hung.parent / "elsewhere")
    assert code == 1
    assert "is in no repository" in err
