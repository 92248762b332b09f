"""The process: one for many repositories, started, asked, reconfigured and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autosync.common.control import ask
from tests.support.git import git
from tests.support.wait import until
from tests.watcher.watched import WATCHER


def configure(w, *entries):
    """Several repositories, each a path and lines of settings."""
    text = 'name = "laptop"\n'
    for path, settings in entries:
        text += f"[[repository]]\npath = {json.dumps(str(path))}\n{settings}\n"
    temporary = w.config.with_suffix(".new")
    temporary.write_text(text)
    temporary.rename(w.config)


def states(w):
    return {os.path.basename(one["path"]): one["state"] for one in w.ask("status")["repositories"]}


def make(path):
    path.mkdir(parents=True)
    git(path, "init", "-q")
    return path


def head(path, name):
    return git(path, "show", f"HEAD:{name}", check=False)


def test_a_second_one_says_that_one_is_running(watched):
    w = watched()
    second = subprocess.run([*WATCHER, "--config", str(w.config)], capture_output=True, text=True)
    assert second.returncode == 1
    assert f"running already for {w.config}, as process {w.process.pid}" in second.stderr
    assert w.status()["state"] == "watching"


@pytest.mark.parametrize("busy", [False, True])
def test_sigterm_ends_it_within_two_seconds_without_a_lock_left(watched, busy):
    w = watched("settle = 0\nhook-limit = 1000", start=False)
    if busy:
        hook = w.root / ".git" / "hooks" / "pre-commit"
        hook.write_text(f"#!/bin/sh\ntouch {w.root.parent}/began\nexec sleep 1000\n")
        hook.chmod(0o755)
    w.start()
    w.write("f", "1")
    if busy:
        until((w.root.parent / "began").exists, "the hook to run")
    began = time.monotonic()
    assert w.stop() == 0
    assert time.monotonic() - began < 2 or os.environ.get("CI") is None
    assert not (w.root / ".git" / "index.lock").exists()
    assert not w.socket.exists()
    if busy:
        (w.root / ".git" / "hooks" / "pre-commit").unlink()
    w.start()
    w.until_committed("f", b"1")


def test_a_killed_one_is_replaced(watched):
    w = watched()
    w.write("f", "1")
    w.until_clean()
    w.stop(signal.SIGKILL)
    w.write("f", "2")
    w.start()
    w.until_committed("f", b"2")


def test_repositories_come_and_go_with_the_configuration_by_itself(watched, tmp_path):
    w = watched()
    other = make(tmp_path / "other")
    (other / "f").write_text("1")
    configure(w, (w.root, "settle = 0.1"), (other, "settle = 0.1"))
    until(lambda: head(other, "f") == "1", "the new repository to be watched")
    w.write("f", "1")
    w.until_committed("f", b"1")
    configure(w, (other, "settle = 0.1"))
    until(lambda: states(w) == {"other": "watching"}, "the first one to be let go")
    w.write("f", "2")
    (other / "f").write_text("2")
    until(lambda: head(other, "f") == "2", "the other one to go on")
    assert w.committed("f") == b"1"


def test_sighup_and_reload_read_the_configuration_again(watched, tmp_path):
    w = watched("settle = 0.1\nwatch = false")
    assert w.status()["state"] == "off"
    w.config.write_text(w.config.read_text().replace("watch = false", "watch = true"))
    w.process.send_signal(signal.SIGHUP)
    w.write("f", "1")
    w.until_committed("f", b"1")
    w.config.write_text(w.config.read_text().replace("watch = true", "watch = 1"))
    until(lambda: "expected true or false" in w.log.read_text(), "the mistake to be told")
    with pytest.raises(Exception, match="expected true or false"):
        w.ask("reload")
    w.write("f", "2")
    w.until_committed("f", b"2")


def test_a_broken_repository_does_not_touch_the_others(watched, tmp_path):
    broken, empty, bare = tmp_path / "broken", make(tmp_path / "empty"), tmp_path / "bare"
    make(broken)
    (broken / ".git" / "HEAD").write_text("rubbish")
    git(tmp_path, "init", "-q", "--bare", "bare")
    w = watched(start=False)
    entries = [(path, "settle = 0.1") for path in (broken, tmp_path / "missing", bare, empty, w.root)]
    configure(w, *entries)
    w.start()
    w.write("f", "1")
    w.until_committed("f", b"1")
    expected = {"broken": "error", "missing": "error", "bare": "off", "empty": "watching", w.root.name: "watching"}
    until(lambda: states(w) == expected, "all states")
    (broken / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (broken / "f").write_text("1")
    make(tmp_path / "missing")
    (tmp_path / "missing" / "f").write_text("1")
    w.ask("look")
    until(lambda: head(broken, "f") == "1" and head(tmp_path / "missing", "f") == "1", "the mended ones")


def test_commit_waits_for_nothing_and_says_what_came_of_it(watched):
    w = watched("settle = 1000\nmax-wait = 10000")
    w.write("f", "1")
    with (w.root / "open").open("w") as file:
        file.write("not closed")
        file.flush()
        answer = w.commit()
        assert answer["commit"] == w.git("rev-parse", "HEAD")
        assert (answer["state"], answer["reason"]) == ("watching", None)
        assert w.files() == {"f", "open"}
    assert w.commit()["commit"] is None
    w.git("switch", "-q", "--detach")
    w.write("f", "2")
    answer = w.commit()
    assert (answer["commit"], answer["state"]) == (None, "held")
    assert "git switch" in answer["remedy"]
    with pytest.raises(Exception, match="is not in"):
        w.ask("commit", paths=["/nowhere"])


def test_status_tells_what_is_pending(watched):
    w = watched("settle = 1000\nmax-wait = 10000")
    w.write("sub/f", "1")
    w.write("g", "1")
    found = until(lambda: (s := w.status())["dirty"] == 2 and s, "both paths to be marked")
    assert found["pending"] == ["g", "sub/f"]
    assert found["directories"] == 2
    whole = w.ask("status")
    assert whole["pid"] == w.process.pid
    assert whole["started"] <= time.time()


def test_a_hundred_clients_and_bad_requests_do_no_harm(watched):
    w = watched()

    async def many():
        return await asyncio.gather(*(ask(w.socket, "status") for _ in range(100)), return_exceptions=True)

    assert len(asyncio.run(many())) == 100
    for command in ("nonsense", "confirm-deletions"):
        with pytest.raises(Exception, match=r"restart|not in|understood"):
            w.ask(command, paths="not a list")
    assert w.status()["state"] == "watching"


def test_importing_it_stays_light():
    code = (
        "import sys, autosync.watcher.main, autosync.watcher.service\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pyinotify" in loaded
    assert not {"slixmpp", "cryptography", "rich", "desktop_notifier", "aiodns"} & set(loaded)
    code = "import sys, autosync.watcher.main\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pyinotify", "pygit2", "pydantic"} & set(loaded)


def test_it_opens_no_network_socket(watched):
    w = watched()
    w.write("f", "1")
    w.until_clean()

    def others() -> set[str]:
        kinds = set()
        for descriptor in os.listdir(f"/proc/{w.process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(f"/proc/{w.process.pid}/fd/{descriptor}")
                if target.startswith("socket:"):
                    kinds.add(target[8:-1])
        table = Path(f"/proc/{w.process.pid}/net/unix").read_text().splitlines()[1:]
        return kinds - {line.split()[6] for line in table}

    # one that answered a question may just be going
    until(lambda: not others(), "no socket but unix sockets")
