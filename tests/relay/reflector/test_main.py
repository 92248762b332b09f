"""`autosync-reflector` as a process."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from autosync.relay.reflector.main import main, parse_listen
from tests.support.certificates import Authority
from tests.support.programs import need
from tests.support.wait import DEADLINE, until

COMMAND = [sys.executable, "-c", "import sys; from autosync.relay.reflector.main import main; sys.exit(main())"]


@pytest.fixture(autouse=True)
def logging_of_others() -> Iterator[None]:
    """A command that runs here sets up logging to a standard error that is gone after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@contextlib.contextmanager
def reflector(*arguments: str, **options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running reflector and the first line it printed; it has to end well on SIGTERM."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE)
        assert (process.returncode, "Traceback" in errors) == (0, False), errors
    finally:
        process.kill()
        process.communicate()


def port_of(line: str) -> int:
    assert line.startswith("listening on 127.0.0.1:"), line
    return int(line.rpartition(":")[2])


def greeting(port: int, context: ssl.SSLContext | None = None) -> tuple[bytes, bytes]:
    """The server's first line, and the serial number of its certificate."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as raw:
        connection = context.wrap_socket(raw, server_hostname="127.0.0.1") if context else raw
        with connection, connection.makefile("rb") as file:
            serial = connection.getpeercert()["serialNumber"].encode() if context else b""
            return file.readline(), serial


def test_it_says_where_it_listens_and_stops_when_told():
    with reflector("--listen", "127.0.0.1:0") as (_, line):
        assert greeting(port_of(line))[0] == b"debug!connected...\n"


def test_an_idle_client_does_not_delay_the_end():
    with reflector("--listen", "127.0.0.1:0") as (_, line):
        connection = socket.create_connection(("127.0.0.1", port_of(line)))
    connection.close()


def test_a_port_that_is_taken_is_a_problem_with_a_remedy(capfd):
    with reflector("--listen", "127.0.0.1:0") as (_, line):
        assert main(["--listen", f"127.0.0.1:{port_of(line)}"]) == 1
        said = capfd.readouterr().err
        assert "--listen" in said
        assert str(port_of(line)) in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--listen", "nowhere"], 2, "HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], 2, "HOST:PORT"),
        (["--pace", "fast"], 2, "--pace"),
        (["--key", "key.pem"], 2, "--cert"),
        (["--cert", "none.pem"], 1, "none.pem"),
        (["--systemd"], 1, "systemd"),
        (["--listen", "192.0.2.1:1986"], 1, "192.0.2.1"),
    ],
)
def test_mistakes_are_named(capfd, arguments, code, words):
    assert main(arguments) == code
    assert words in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:1986", "127.0.0.1", 1986),
        (":0", None, 0),
        ("[::1]:1", "::1", 1),
        ("host.example:5", "host.example", 5),
    ],
)
def test_where_to_listen(text, host, port):
    assert parse_listen(text) == (host, port)


@pytest.mark.parametrize("text", ["", ":", "1986", "::1:1986", "host:x", "host:1:2", "[::1]"])
def test_where_not_to_listen(text):
    with pytest.raises(click.UsageError):
        parse_listen(text)


def test_version_and_help(capfd):
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0
    assert "--listen" in capfd.readouterr().out


def activate(listener: socket.socket) -> list[str]:
    """What systemd does for a service with a socket unit: the socket is descriptor 3."""
    script = 'exec 3<&$1; shift; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
    return ["bash", "-c", script, "activate", str(listener.fileno())]


def test_a_socket_from_systemd():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        early = socket.create_connection(("127.0.0.1", port))  # came before the service: it is not lost
        process = subprocess.Popen(
            [*activate(listener), *COMMAND, "--systemd"],
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[listener.fileno()],
        )
        try:
            assert process.stdout is not None
            assert port_of(process.stdout.readline()) == port
            with early, early.makefile("rb") as file:
                assert file.readline() == b"debug!connected...\n"
            process.terminate()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            process.communicate()


def test_systemd_itself_starts_it_at_the_first_connection():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [need("systemd-socket-activate", "systemd"), "-l", f"127.0.0.1:{port}", *COMMAND, "--systemd"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:

        def listens() -> bool:
            with contextlib.suppress(ConnectionRefusedError):
                return greeting(port)[0] == b"debug!connected...\n"
            return False

        until(listens, "the reflector to be started")
        assert process.stdout is not None
        assert port_of(process.stdout.readline()) == port
        process.terminate()
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.communicate()


def test_sockets_for_another_process_are_not_taken(capfd, monkeypatch):
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert main(["--systemd"]) == 1
    assert "systemd passed no sockets" in capfd.readouterr().err
    assert "LISTEN_PID" not in os.environ  # nor are they passed on


def test_a_connection_from_systemd_is_a_mistake_in_the_unit():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as connection:
            done = subprocess.run(
                [*activate(connection), *COMMAND, "--systemd"],
                capture_output=True,
                text=True,
                pass_fds=[connection.fileno()],
                check=False,
            )
    assert done.returncode == 1
    assert "Accept=no" in done.stderr


def test_a_new_certificate_is_used_after_sighup_and_a_broken_one_is_not(tmp_path: Path):
    authority = Authority(tmp_path / "authority")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.issue(cert, key, "127.0.0.1")
    context = ssl.create_default_context(cafile=authority.file)
    with reflector("--listen", "127.0.0.1:0", "--cert", str(cert), "--key", str(key)) as (process, line):
        word, first = greeting(port_of(line), context)
        assert word == b"debug!connected...\n"
        authority.issue(cert, key, "127.0.0.1")
        process.send_signal(signal.SIGHUP)
        until(lambda: greeting(port_of(line), context)[1] != first, "the new certificate")
        second = greeting(port_of(line), context)[1]
        cert.write_text("broken")
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        while "the old one stays in use" not in process.stderr.readline():
            pass
        assert greeting(port_of(line), context)[1] == second


def test_it_runs_without_a_home():
    with reflector("--listen", "127.0.0.1:0", env={"PATH": os.environ["PATH"]}) as (_, line):
        assert greeting(port_of(line))[0] == b"debug!connected...\n"
