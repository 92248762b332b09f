"""Messages to systemd, on a real socket; and the three services, as systemd would start them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from autosync.common.systemd import ServiceManager, repositories
from tests.support.git import git
from tests.support.notified import Notified, environment
from tests.support.wait import eventually, until


@pytest.fixture
def notified(tmp_path):
    with Notified(tmp_path) as found:
        yield found


def test_ready_and_status(notified):
    manager = ServiceManager(dict(notified.environment))
    manager.status("reading\nthe configuration")
    manager.ready("at work")
    manager.ready("at work")
    manager.ready("at other work")
    manager.status("at other work")
    manager.stopping()
    assert notified.drain() == [
        "STATUS=reading the configuration", "READY=1", "STATUS=at work", "STATUS=at other work", "STOPPING=1",
    ]  # fmt: skip


def test_an_abstract_socket(tmp_path):
    with Notified(tmp_path, abstract=True) as notified:
        ServiceManager(dict(notified.environment)).ready("x")
        assert "READY=1" in notified.drain()


def test_without_systemd_nothing_happens():
    manager = ServiceManager({"WATCHDOG_USEC": "1000"})
    manager.ready("x")
    manager.stopping()
    asyncio.run(manager.watchdog())
    assert manager.interval is None


def test_a_systemd_that_went_away_is_no_trouble(tmp_path):
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    manager.ready("x")
    manager.stopping()


def test_what_the_service_starts_is_not_the_service(notified):
    given = notified.watching(2) | {"PATH": "/bin"}
    ServiceManager(given)
    assert given == {"PATH": "/bin"}


@pytest.mark.parametrize(("pid", "usec", "interval"), [
    (None, "2000000", 1.0), (os.getpid(), "2000000", 1.0), (os.getpid() + 1, "2000000", None), (None, "0", None),
    (None, "soon", None),
], ids=["anybody", "this process", "another process", "off", "nonsense"])  # fmt: skip
def test_who_is_to_give_signs_of_life(notified, pid, usec, interval):
    given = notified.watching(2, pid) | {"WATCHDOG_USEC": usec}
    assert ServiceManager(given).interval == interval


def test_a_loop_that_hangs_gives_no_sign_of_life(notified):
    manager = ServiceManager(notified.watching(0.002))
    silent = []

    async def live() -> None:
        task = asyncio.create_task(manager.watchdog())
        await eventually(lambda: notified.drain().count("WATCHDOG=1") > 3, "signs of life")
        seen = threading.Event()

        def look() -> None:
            silent.append(not notified.comes(0.1))
            seen.set()

        thread = threading.Thread(target=look)
        thread.start()
        seen.wait()  # the loop hangs here
        thread.join()
        before = notified.drain().count("WATCHDOG=1")
        await eventually(lambda: notified.drain().count("WATCHDOG=1") > before, "signs of life again")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(live())
    assert silent == [True]


def test_a_long_start_is_no_hang(notified):
    manager = ServiceManager(notified.watching(0.002))

    async def live() -> None:
        task = asyncio.create_task(manager.watchdog())
        await eventually(lambda: notified.drain().count("EXTEND_TIMEOUT_USEC=2000") > 1, "more time for the start")
        manager.ready("at work")
        await eventually(lambda: notified.drain()[-3:] == ["WATCHDOG=1"] * 3, "signs of life only")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(live())


def test_the_status_line():
    assert repositories("watching", 1, 0) == "watching 1 repository"
    assert repositories("keeping", 3, 1) == "keeping 3 repositories; trouble with 1: see autosync status"


# the services -------------------------------------------------------------------------------------------------


def start(module: str, *arguments: object, env: dict[str, str], stderr: int | None = None) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())", *map(str, arguments)]
    return subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)


@pytest.fixture
def config(tmp_path, home):
    git(tmp_path, "init", "-q", "-b", "main", "notes")
    (tmp_path / "notes" / ".git" / "hooks").mkdir(exist_ok=True)
    hook = tmp_path / "notes" / ".git" / "hooks" / "pre-commit"
    hook.write_text(f"#!/bin/sh\nenv >'{tmp_path}/environment'\n")
    hook.chmod(0o755)
    file = tmp_path / "config.toml"
    # the second one is missing: the service is ready all the same
    lines = [f"[[repository]]\npath = {json.dumps(str(tmp_path / name))}\nsettle = 0.1\n" for name in ("notes", "none")]
    file.write_text("".join(lines))
    return file


@pytest.mark.parametrize(("service", "status"), [
    ("watcher", "STATUS=watching 2 repositories; trouble with 1: see autosync status"),
    ("relay", "STATUS=keeping 2 repositories; trouble with 1: see autosync status"),
])  # fmt: skip
def test_watcher_and_relay_say_when_they_are_ready(notified, config, service, status):
    given = environment(notified.watching(0.2))
    process = start(f"autosync.{service}.main", "--config", config, env=given, stderr=subprocess.DEVNULL)
    try:
        notified.until("READY=1")
        notified.until(status)
        assert process.poll() is None
        before = notified.drain().count("WATCHDOG=1")
        until(lambda: notified.drain().count("WATCHDOG=1") > before + 2, "signs of life")
    finally:
        process.terminate()
        code = process.wait()
    assert code == 0
    assert notified.drain()[-1] == "STOPPING=1"


def test_a_persons_hook_gets_nothing_of_the_services_environment(notified, config, tmp_path):
    given = environment(notified.watching(60))
    process = start("autosync.watcher.main", "--config", config, env=given, stderr=subprocess.DEVNULL)
    try:
        notified.until("READY=1")
        (tmp_path / "notes" / "file").write_text("x")
        until((tmp_path / "environment").exists, "a commit")
    finally:
        process.terminate()
        process.wait()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & {
        line.partition("=")[0] for line in (tmp_path / "environment").read_text().splitlines()
    }


def test_the_reflector_is_ready_when_it_listens(notified):
    process = start("autosync.relay.reflector.main", "--listen", "127.0.0.1:0", env=environment(notified.watching(0.2)))
    try:
        notified.until("READY=1")
        assert any(line.startswith("STATUS=listening on 127.0.0.1:") for line in notified.drain())
        notified.until("WATCHDOG=1")
    finally:
        process.terminate()
        assert process.wait() == 0
    assert notified.drain()[-1] == "STOPPING=1"


def test_a_start_that_fails_is_never_ready(notified, tmp_path):
    (tmp_path / "config.toml").write_text("nonsense = 1\n")
    argv = ("--config", tmp_path / "config.toml")
    process = start("autosync.watcher.main", *argv, env=environment(notified.environment), stderr=subprocess.PIPE)
    said = process.communicate()[1].decode()
    assert process.returncode == 1
    assert "nonsense: unknown key" in said
    assert "READY=1" not in notified.drain()


def test_what_the_watchdog_kills_says_where_it_hung(notified, config):
    process = start(
        "autosync.watcher.main", "--config", config, env=environment(notified.environment), stderr=subprocess.PIPE
    )
    notified.until("READY=1")
    process.send_signal(signal.SIGABRT)
    said = process.communicate()[1].decode()
    assert process.returncode == -signal.SIGABRT
    assert "run_until_stopped" in said
