"""The git runner: clean environment, limits, no prompts, nothing left running."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path

import pytest

from autosync.common.child import _MemoryFile
from autosync.common.git import Git, GitError, GitTimeout, clean_environment, split
from autosync.common.masking import masked
from tests.support.git import git
from tests.support.wait import eventually, until


@pytest.fixture
def repo(tmp_path) -> Git:
    git(tmp_path, "init", "-q")
    return Git(tmp_path)


def shell(script: str) -> tuple[str, ...]:
    return ("-c", f"alias.x=!{script}", "x")


async def _call(runner: Git, *args: str, **options):
    return await runner.call(*args, **options)


@pytest.fixture(params=["run", "call"])
def run(request):
    """Both ways to run git; everything here holds for both."""
    if request.param == "run":
        return lambda runner, *args, **options: runner.run(*args, **options)
    return lambda runner, *args, **options: asyncio.run(_call(runner, *args, **options))


def test_output_and_input_are_bytes(repo, run):
    result = run(repo, "hash-object", "--stdin", input=b"\xff\n" * 100_000)
    assert len(result.text) == 40
    assert run(repo, *shell("cat"), input=b"a\xffb").stdout == b"a\xffb"


def test_a_failure_shows_command_code_and_both_streams(repo, run):
    with pytest.raises(GitError) as caught:
        run(repo, *shell("echo out; echo err >&2; exit 7"))
    assert caught.value.code == 7
    for part in ("out", "err", "ended with 7", "alias.x"):
        assert part in str(caught.value)
    assert run(repo, *shell("exit 7"), check=False).code == 7


def test_too_slow_is_ended_with_all_it_started(repo, run, tmp_path):
    pid_file = tmp_path / "pid"
    with pytest.raises(GitTimeout):
        run(repo, *shell(f"sleep 1000 & echo $! > {pid_file}; wait"), limit=1.0)
    pid = int(pid_file.read_text())
    until(lambda: not _alive(pid), "the grandchild to be gone")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_that_ignores_the_polite_signal_is_killed(repo, run):
    with pytest.raises(GitTimeout):
        run(repo, *shell("trap '' TERM; while :; do read x < /dev/zero; done"), limit=0.5)


def test_a_background_child_that_keeps_the_streams_does_not_hold_us_up(repo, run, tmp_path):
    pid_file = tmp_path / "pid"
    assert run(repo, *shell(f"sleep 1000 & echo $! > {pid_file}; echo done"), limit=60.0).text == "done"
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_no_terminal_and_no_prompt(repo, run):
    assert run(repo, *shell("if (: < /dev/tty) 2>/dev/null; then echo tty; else echo none; fi")).text == "none"
    assert run(repo, *shell("echo $GIT_TERMINAL_PROMPT,$GIT_EDITOR,$GIT_ASKPASS")).text == "0,:,"


def test_cancelling_ends_the_child_first(repo, tmp_path):
    pid_file = tmp_path / "pid"

    async def cancelled() -> None:
        task = asyncio.create_task(repo.call(*shell(f"echo $$ > {pid_file}; exec sleep 1000")))
        await eventually(lambda: pid_file.exists() and pid_file.read_text().strip(), "the child to run")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not _alive(int(pid_file.read_text()))

    asyncio.run(cancelled())


def test_progress_of_a_slow_command_is_passed_on_and_kept(repo, tmp_path, monkeypatch):
    monkeypatch.setattr("autosync.common.child.PROGRESS_AFTER", 0.0)
    monkeypatch.setattr("autosync.common.child.PROGRESS_EVERY", 0.01)
    # one each: a second reader of the same one may meet the first writer before that has closed it
    gates, lines = [tmp_path / "first", tmp_path / "second"], []
    for gate in gates:
        os.mkfifo(gate)
    first, second = gates
    script = shell(
        f"printf 'one: 1%%\\rone: 2%%\\r' >&2; read x <'{first}'; printf 'two\\n' >&2; read x <'{second}'; exit 1"
    )

    def see(line: str) -> None:
        if line not in lines:
            lines.append(line)
            gates.pop(0).write_text("go on\n")

    with pytest.raises(GitError) as caught:
        asyncio.run(_call(repo, *script, progress=see))
    assert lines == ["one: 2%", "two"]
    assert caught.value.stderr == b"one: 1%\rone: 2%\rtwo\n"


def test_a_quick_command_is_not_looked_at(repo):
    lines: list[str] = []
    asyncio.run(_call(repo, *shell("echo line >&2"), progress=lines.append))
    assert lines == []


def test_the_environment_of_a_hook_does_not_leak():
    leaked = dict.fromkeys(
        (
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_AUTHOR_DATE",
            "GIT_AUTHOR_NAME",
            "GIT_QUARANTINE_PATH",
            "GIT_CONFIG_PARAMETERS",
            "GIT_REFLOG_ACTION",
            "GIT_SEQUENCE_EDITOR",
            "GIT_PREFIX",
            "SSH_ASKPASS",
        ),
        "x",
    )
    found = clean_environment(leaked | {"GIT_SSH_COMMAND": "ssh -i key", "PATH": "/bin"})
    assert not leaked.keys() & found.keys()
    assert found["GIT_SSH_COMMAND"] == "ssh -i key"
    assert found["PATH"] == "/bin"


def test_settings_and_git_dir_come_first(tmp_path):
    assert Git(tmp_path, tmp_path / "x").with_config("a.b=c").argv(["log"]) == [
        "git",
        f"--git-dir={tmp_path}/x",
        "-c",
        "a.b=c",
        "log",
    ]


def test_split_keeps_every_name():
    assert split(b"a\nb\0\xff\0\0") == ["a\nb", "\udcff", ""]
    assert split(b"") == []


def test_no_descriptor_is_left(repo, run):
    run(repo, "status")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        run(repo, "status", input=b"")
    assert len(os.listdir("/proc/self/fd")) == before


def test_input_that_is_not_there_yet_is_given_when_it_is(repo):
    async def body() -> str:
        wanted: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(repo.call("hash-object", "--stdin", input=wanted))
        await asyncio.sleep(0)
        wanted.set_result(b"later\n")
        return (await task).text

    assert asyncio.run(body()) == repo.run("hash-object", "--stdin", input=b"later\n").text


def test_input_for_a_command_that_has_ended_is_let_be(repo):
    async def body() -> int:
        wanted: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(repo.call("no-such-command", input=wanted, check=False))
        await asyncio.sleep(0)
        await asyncio.to_thread(until, ended, "git has ended")
        wanted.set_result(b"later\n")
        return (await task).code

    def ended() -> bool:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        return any("Z" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2][:3] for child in children)

    assert asyncio.run(body()) == 1


def test_output_that_somebody_empties_while_it_is_read(monkeypatch):
    """Whoever writes to /dev/stderr by its name does: it is a file."""
    file = _MemoryFile(b"words")
    found = os.fstat(file.fileno())
    os.ftruncate(file.fileno(), 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", lambda _: found)
        assert file.content() == b"wo"
    file.close()


def test_input_that_never_comes_is_none(repo):
    async def body() -> str:
        wanted: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(repo.call("hash-object", "--stdin", input=wanted))
        await asyncio.sleep(0)
        wanted.cancel()
        return (await task).text

    assert asyncio.run(body()) == repo.run("hash-object", "--stdin", input=b"").text


def test_no_login_of_a_url_is_in_what_a_failure_says(tmp_path):
    url = "https://rene:pass-word@127.0.0.1:1/notes.git"
    with pytest.raises(GitError) as caught:
        Git(tmp_path).run("ls-remote", url)
    error = caught.value
    assert "https://127.0.0.1" in str(error)
    assert "pass-word" not in f"{error} {error.message} {error.stderr!r} {error.args_run}"
    assert masked("git@host:x ssh://git@host/x http://host/a@b") == "git@host:x ssh://git@host/x http://host/a@b"


def test_git_is_ended_also_when_no_descriptor_is_left(repo, run, monkeypatch):
    def none_left(pid: int, flags: int = 0) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", none_left)
    assert run(repo, *shell("echo done")).text == "done"
    with pytest.raises(GitTimeout):
        run(repo, *shell("echo $PPID >pid; sleep 600"), limit=2)


def test_what_git_says_after_a_hook_that_empties_the_stream_is_whole(repo, run):
    result = run(repo, *shell("echo first >&2; echo 'a longer second' >/dev/stderr; echo third >&2"))
    assert result.stderr == b"a longer second\nthird\n"
