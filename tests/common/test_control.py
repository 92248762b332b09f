"""The control socket, with clients that misbehave."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from autosync.common.control import REQUEST_LIMIT, ControlServer, NotRunning, ask
from autosync.common.errors import Problem


async def echo(request, progress):
    for number in range(request.get("lines", 0)):
        progress(f"line {number}")
    return request


async def problem(request, progress):
    raise Problem("it is broken", "mend it")


async def bug(request, progress):
    raise ZeroDivisionError


HANDLERS = {"echo": echo, "problem": problem, "bug": bug}


def served(tmp_path, body):
    async def run():
        async with ControlServer(tmp_path / "s.socket", HANDLERS, tmp_path):
            return await body(tmp_path / "s.socket")

    return asyncio.run(run())


def test_result_progress_and_arguments(tmp_path):
    lines: list[str] = []
    result = served(tmp_path, lambda path: ask(path, "echo", progress=lines.append, lines=2, name="\udcff"))
    assert result == {"command": "echo", "lines": 2, "name": "\udcff"}
    assert lines == ["line 0", "line 1"]


def test_a_problem_keeps_its_words(tmp_path):
    with pytest.raises(Problem) as caught:
        served(tmp_path, lambda path: ask(path, "problem"))
    assert (caught.value.what, caught.value.remedy) == ("it is broken", "mend it")


@pytest.mark.parametrize("command", ["bug", "unknown"])
def test_the_service_survives(tmp_path, command):
    async def body(path):
        with pytest.raises(Problem) as caught:
            await ask(path, command)
        if command == "bug":
            (report,) = tmp_path.glob("bug-*.txt")
            assert str(report) in caught.value.remedy
            assert "ZeroDivisionError" in report.read_text()
        return await ask(path, "echo")

    assert served(tmp_path, body) == {"command": "echo"}


@pytest.mark.parametrize(
    "sent", [b"", b"\n", b"{}\n", b"[]\n", b"3\n", b"\xff\n", b"x" * (REQUEST_LIMIT + 9), b"[" * 50_000 + b"\n"]
)
def test_bad_requests(tmp_path, sent):
    async def body(path):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(sent)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        return await ask(path, "echo")

    assert served(tmp_path, body) == {"command": "echo"}


def test_a_client_that_hangs_does_not_keep_the_server_from_ending(tmp_path):
    async def body(path):
        _, writer = await asyncio.open_unix_connection(str(path))
        return writer

    async def run():
        async with ControlServer(tmp_path / "s.socket", HANDLERS, tmp_path):
            writer = await body(tmp_path / "s.socket")
            await ask(tmp_path / "s.socket", "echo")
        writer.close()

    asyncio.run(asyncio.wait_for(run(), 30))
    assert not (tmp_path / "s.socket").exists()


def test_nobody_there(tmp_path):
    with pytest.raises(NotRunning):
        asyncio.run(ask(tmp_path / "absent.socket", "echo"))
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left.socket"))
    left.close()
    with pytest.raises(NotRunning):
        asyncio.run(ask(tmp_path / "left.socket", "echo"))


def test_only_the_owner_may_connect_and_a_left_socket_is_replaced(tmp_path):
    path = tmp_path / "s.socket"
    path.touch()

    async def body(_):
        return path.stat().st_mode & 0o777

    assert served(tmp_path, body) == 0o600


def test_a_path_longer_than_a_socket_address(tmp_path):
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    assert len(os.fspath(folder)) > 108
    assert served(folder, lambda path: ask(path, "echo")) == {"command": "echo"}
