"""What the kernel refuses or drops, and work trees that go away: survived, shown with the remedy, left by itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from autosync.watcher import filesystem, limits
from tests.support.git import git
from tests.support.programs import need
from tests.support.wait import until

#: A user namespace has limits of its own, which an ordinary user may set; `-m` lets them mount, too.
NAMESPACE = ("unshare", "-Urm", "sh", "-c")


@pytest.fixture(scope="module", autouse=True)
def _namespaces():
    need("unshare", "util-linux")
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("this system allows no user namespaces")


def inside(w, *argv):
    """Run a command in the namespace of the watcher."""
    enter = ["nsenter", "-U", "-m", "--preserve-credentials", "-t", str(w.process.pid)]
    subprocess.run([*enter, "sh", "-c", *argv], check=True, capture_output=True)


def limited(setting, number):
    return (*NAMESPACE, f'echo {number} > /proc/sys/user/{setting}; exec "$@"', "sh")


def folders(w, count):
    for number in range(count):
        w.write(f"d{number}/f", f"{number}\n")
    w.git("add", "-A")
    w.git("commit", "-qm", "folders")


def test_lost_events_mean_a_new_look_at_everything(watched):
    w = watched()
    w.write("before", "1")
    for number in range(50):
        w.write(f"d{number}/before", "1")
    w.until_clean()
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    w.process.send_signal(signal.SIGSTOP)
    for number in range(queue // 3 + 100):  # made, written and closed are three events
        w.write(f"d{number % 50}/f{number}", f"{number}\n")
    (w.root / "before").unlink()
    w.process.send_signal(signal.SIGCONT)
    w.until_clean()
    assert w.log.read_text().count("events were lost") == 1
    assert "fs.inotify.max_queued_events=" in w.log.read_text()
    assert len(w.files()) == 50 + queue // 3 + 100
    assert w.status()["state"] == "watching"
    w.write("d1/after", "1")
    w.until_committed("d1/after", b"1")


def test_used_up_watches_mean_polling_until_there_are_more(watched):
    w = watched(prefix=limited("max_inotify_watches", 20), start=False)
    folders(w, 40)
    w.start()
    found = w.until_state("polling")
    assert "folders found no inotify watch" in found["reason"]
    assert found["remedy"].startswith("sudo sysctl user.max_inotify_watches=")
    enough = int(found["remedy"].split("=")[1].split()[0])
    assert enough > 60
    for number in range(40):
        w.write(f"d{number}/f", f"{number} changed\n")
    w.until_clean()
    assert w.log.read_text().count("found no inotify watch") == 1
    inside(w, f"echo {enough} > /proc/sys/user/max_inotify_watches")
    w.until_state("watching")
    assert w.status()["directories"] == 41
    w.write("d39/f", "seen at once\n")
    w.until_committed("d39/f", b"seen at once\n")


def test_used_up_instances_mean_polling_until_there_are_more(watched):
    w = watched(prefix=limited("max_inotify_instances", 0))
    found = w.until_state("polling")
    assert "no inotify instance is left" in found["reason"]
    assert found["remedy"].startswith("sudo sysctl user.max_inotify_instances=")
    w.write("f", "1")
    w.until_committed("f", b"1")
    inside(w, "echo 10 > /proc/sys/user/max_inotify_instances")
    w.until_state("watching")
    w.write("f", "2")
    w.until_committed("f", b"2")


@pytest.fixture
def mounted(watched, tmp_path):
    """A folder `disk` that holds a repository, mounted where the work tree is, and a watcher that sees it there."""
    disk, root = tmp_path / "disk", tmp_path / "work tree"
    disk.mkdir()
    root.mkdir()
    git(disk, "init", "-q")
    script = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
    return disk, root, watched(prefix=(*NAMESPACE, script, "sh", str(disk), str(root)), start=False)


def test_an_unmounted_work_tree_is_no_deletion_and_is_taken_up_again(mounted):
    disk, root, w = mounted
    (disk / "f").write_text("1")
    w.start()
    until(lambda: git(disk, "log", "--format=%s", check=False) == '"f" added', "the commit")
    inside(w, 'umount -l "$0"', str(root))
    found = w.until_state("error")
    assert str(root) in found["reason"]
    (disk / "g").write_text("made meanwhile")
    inside(w, 'mount --bind "$0" "$1"', str(disk), str(root))
    w.until_state("watching")
    until(lambda: git(disk, "show", "HEAD:g", check=False) == "made meanwhile", "what was made meanwhile")
    assert git(disk, "show", "HEAD:f") == "1"
    (disk / "f").write_text("2")
    until(lambda: git(disk, "show", "HEAD:f") == "2", "the edit")


@pytest.mark.parametrize("hook", ["pre-commit", "post-commit"])
def test_a_work_tree_that_is_unmounted_in_the_middle_of_work_is_said_to_be(mounted, tmp_path, hook):
    """What git says of the empty folder that is left would tell a person nothing."""
    disk, root, w = mounted
    script = disk / ".git" / "hooks" / hook
    script.write_text(f"#!/bin/sh\numount -l '{root}'\n")
    script.chmod(0o755)
    (disk / "f").write_text("1")
    w.start()
    assert w.until_state("error")["reason"].startswith(str(root))
    script.unlink()
    inside(w, 'mount --bind "$0" "$1"', str(disk), str(root))
    w.until_state("watching")
    until(lambda: git(disk, "show", "HEAD:f", check=False) == "1", "the commit")
    assert "not a git repository (or any" not in w.log.read_text()


def test_something_mounted_over_the_work_tree_is_noticed(watched):
    w = watched(prefix=(*NAMESPACE, 'exec "$@"', "sh"))
    w.write("f", "1")
    w.until_clean()
    head = w.git("rev-parse", "HEAD")
    inside(w, 'mount -t tmpfs none "$0"', str(w.root))
    w.until_state("error")
    inside(w, 'umount "$0"', str(w.root))
    w.until_state("watching")
    w.write("f", "2")
    w.until_committed("f", b"2")
    assert w.git("rev-parse", "HEAD~1") == head


def test_a_root_that_is_moved_away_and_back(watched, tmp_path):
    w = watched()
    w.write("f", "1")
    w.until_clean()
    w.root.rename(tmp_path / "away")
    w.until_state("error")
    (tmp_path / "away" / "f").write_text("2")
    (tmp_path / "away").rename(w.root)
    w.until_committed("f", b"2")
    assert w.status()["state"] == "watching"


def test_a_root_that_is_replaced_by_another_clone(watched, tmp_path):
    w = watched()
    w.write("f", "1")
    w.until_clean()
    git(tmp_path, "clone", "-q", str(w.root), "clone")
    w.root.rename(tmp_path / "old")
    (tmp_path / "clone").rename(w.root)
    w.write("f", "2")
    w.until_committed("f", b"2")
    w.write("f", "3")
    w.until_committed("f", b"3")
    assert git(tmp_path / "old", "show", "HEAD:f") == "1"


def test_a_git_directory_that_is_made_anew(watched):
    w = watched()
    w.write("f", "1")
    w.until_clean()
    shutil.rmtree(w.root / ".git")
    w.git("init", "-q")
    w.until_committed("f", b"1")
    w.write("f", "2")
    w.until_committed("f", b"2")


def test_folders_that_cannot_be_read_are_reported_and_taken_up(watched):
    no_root = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    w = watched(prefix=no_root if os.getuid() == 0 else ())
    w.write("d/f", "1")
    w.until_clean()
    (w.root / "d").chmod(0)
    w.stop()
    w.start()
    assert until(lambda: w.status()["quarantined"], "the folder to be reported")[0]["path"] == "d/"
    (w.root / "d").chmod(0o755)
    w.write("d/f", "2")
    w.until_committed("d/f", b"2")


def test_a_fuse_file_system_is_watched_and_polled(watched, tmp_path):
    bindfs = need("bindfs")
    disk, root = tmp_path / "disk", tmp_path / "work tree"
    disk.mkdir()
    root.mkdir()
    if subprocess.run([bindfs, str(disk), str(root)], capture_output=True).returncode:
        pytest.skip("FUSE cannot be mounted here")
    try:
        git(root, "init", "-q")
        w = watched()
        found = w.until_state("polling")
        assert found["reason"].startswith("FUSE does not report every change")
        (disk / "behind").write_text("no event tells of this")
        w.until_committed("behind", b"no event tells of this")
        w.stop()
    finally:
        subprocess.run(["umount", str(root)], check=True)


def test_a_file_system_that_hangs_stops_no_other_repository(watched, tmp_path):
    """As one of a server does that is gone; here its process is stopped."""
    bindfs = need("bindfs")
    disk, root, beside = tmp_path / "disk", tmp_path / "hangs", tmp_path / "beside"
    for folder in (disk, root, beside):
        folder.mkdir()
    process = subprocess.Popen([bindfs, "-f", str(disk), str(root)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: os.path.ismount(root) or process.poll() is not None, "the mount")
        if process.poll() is not None:
            pytest.skip("FUSE cannot be mounted here")
        git(root, "init", "-q")
        w = watched(folder=beside)
        w.config.write_text(w.config.read_text() + f"[[repository]]\npath = {json.dumps(str(root))}\nsettle = 0.1\n")

        def other():
            found = [one for one in w.ask("status")["repositories"] if one["path"] == str(root)]
            return found[0] if found else {"state": None, "reason": None}

        until(lambda: other()["state"] == "polling", "the second repository to be watched")
        process.send_signal(signal.SIGSTOP)
        until(lambda: "does not answer" in (other()["reason"] or ""), "the hanging one to be reported")
        w.write("f", "1")
        w.until_committed("f", b"1")
        process.send_signal(signal.SIGCONT)
        (disk / "g").write_text("1")
        until(lambda: git(disk, "show", "HEAD:g", check=False) == "1", "the other one to go on")
        w.stop()
    finally:
        process.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "-l", str(root)], check=False)
        process.wait(30)


def test_which_file_systems_report_everything():
    assert filesystem.silent(b"/proc") is None
    assert [filesystem.silent_type(number) for number in (0x6969, 0x65735546, 0xEF53, 0x9123683E)] == [
        "NFS",
        "FUSE",
        None,
        None,
    ]
    with pytest.raises(OSError, match="No such file"):
        filesystem.silent(b"/no such place")


def test_the_remedy_suffices():
    for remedy, key in ((limits.more_watches(1000), "watches"), (limits.more_instances(10), "instances")):
        setting, number = remedy.split()[2].split("=")
        assert key in setting
        now = int((Path("/proc/sys") / setting.replace(".", "/")).read_text())
        assert int(number) >= now + 10
