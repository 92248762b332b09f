"""Where services log to."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autosync.common import logs
from autosync.common.errors import Problem


@pytest.fixture
def journal(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "journal"))
        listener.setblocking(False)
        yield listener


def entry(data: bytes) -> dict[str, bytes]:
    """Read an entry as journald does."""
    found = {}
    while data:
        name, data = data[: (end := data.index(b"\n"))], data[end + 1 :]
        if b"=" in name:
            name, _, value = name.partition(b"=")
        else:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[8 + size + 1 :]
        found[name.decode()] = value
    return found


def sent(tmp_path: Path, journal: socket.socket, message: str, **how: object) -> dict[str, bytes]:
    handler = logs.JournalHandler("autosync-relay", tmp_path / "journal")
    logger = logging.Logger("autosync.relay.worker")
    logger.addHandler(handler)
    logger.error(message, **how)
    handler.close()
    return entry(journal.recv(1 << 20))


def test_an_entry_has_fields(tmp_path, journal):
    found = logs.about(Path("/home/rené/notes")).run(sent, tmp_path, journal, "cannot push")
    assert found["MESSAGE"] == b"cannot push"
    assert found["PRIORITY"] == b"3"
    assert found["SYSLOG_IDENTIFIER"] == b"autosync-relay"
    assert found["AUTOSYNC_REPOSITORY"] == "/home/rené/notes".encode()
    assert found["AUTOSYNC_MODULE"] == b"autosync.relay.worker"
    assert found["CODE_FILE"].endswith(b"test_logs.py")
    assert "AUTOSYNC_REPOSITORY" not in sent(tmp_path, journal, "of no repository")


def test_several_lines_and_names_that_are_not_utf8(tmp_path, journal):
    name = os.fsdecode(b"caf\xe9")
    try:
        raise ValueError(name)
    except ValueError:
        found = sent(tmp_path, journal, f"two\nPRIORITY=7\n{name}", exc_info=True)
    assert found["MESSAGE"].startswith(b"two\nPRIORITY=7\ncaf\xe9\nTraceback")
    assert found["PRIORITY"] == b"3"


def test_what_is_too_long_for_the_journals_socket_goes_to_standard_error(tmp_path, journal, capsys):
    handler = logs.JournalHandler("x", tmp_path / "journal")
    handler.emit(logging.LogRecord("n", logging.WARNING, "f", 1, "long " * 200_000, None, None))
    handler.close()
    assert capsys.readouterr().err.startswith("<4>long long")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", f"import logging, os, pathlib; from autosync.common import logs\n{code}"]
    return subprocess.run(argv, env=dict(os.environ) | environment, stderr=subprocess.PIPE, text=True, check=True)


def test_only_the_journals_own_stream_gets_priorities():
    code = "found = os.fstat(2)\nos.environ['JOURNAL_STREAM'] = f'{found.st_dev}:{found.st_ino}'\n"
    log = "logs.JOURNAL = pathlib.Path('/nowhere')\nlogs.set_up('x')\n"
    assert run(code + log + "logging.error('a\\nb')").stderr == "<3>a\n<3>b\n"
    assert " ERROR a" in run(log + "logging.error('a')", JOURNAL_STREAM="1:2").stderr
    assert " ERROR a" in run(log + "logging.error('a')").stderr


def test_a_file_is_for_its_owner_and_found_again_when_moved_away(tmp_path):
    file = tmp_path / "new folder" / "log"
    handler = logs.handler("x", file)
    record = logging.LogRecord("n", logging.WARNING, "f", 1, "said", None, None)
    handler.emit(record)
    file.rename(tmp_path / "log.1")
    handler.emit(record)
    handler.close()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "log.1").stat().st_mode & 0o777 == 0o600
    assert "WARNING said" in file.read_text()
    assert "WARNING said" in (tmp_path / "log.1").read_text()


def test_a_file_does_not_grow_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_LARGEST", 1000)
    handler = logs.handler("x", tmp_path / "log")
    for number in range(100):
        handler.emit(logging.LogRecord("n", logging.WARNING, "f", 1, f"line {number:060}", None, None))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2200
    handler.close()
    kept = [(tmp_path / name).read_text().splitlines() for name in ("log.1", "log")]
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1"]
    numbers = [int(line.split()[-1]) for lines in kept for line in lines]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) > 10


def test_an_entry_is_what_was_said(tmp_path, journal):
    """As a service sets its log up, where logging would put a format of its own."""
    code = f"""
found = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{{found.st_dev}}:{{found.st_ino}}"
logs.JOURNAL = pathlib.Path({str(tmp_path / "journal")!r})
logs.set_up("autosync-relay")
logging.getLogger("autosync.relay").warning("cannot push")
logs.last_words("cannot go on")
"""
    assert run(code).stderr == ""
    assert entry(journal.recv(1 << 20))["MESSAGE"] == b"cannot push"
    last = entry(journal.recv(1 << 20))
    assert (last["MESSAGE"], last["PRIORITY"]) == (b"cannot go on", b"3")


def test_last_words_go_where_people_look(tmp_path):
    file = tmp_path / "log"
    say = "logs.last_words('cannot go on')"
    assert run(say).stderr == "cannot go on\n"
    assert run(f"logs.set_up('x')\n{say}").stderr == "cannot go on\n"
    assert run(f"logs.set_up('x', file=pathlib.Path({str(file)!r}))\n{say}").stderr == "cannot go on\n"
    assert file.read_text().endswith(" ERROR cannot go on\n")


def test_a_log_that_cannot_be_written_is_a_problem(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(Problem, match=r"cannot write the log .*folder.*Is a directory"):
        logs.handler("x", tmp_path / "folder")


def test_what_the_xmpp_library_sends_and_gets_is_in_no_log(tmp_path):
    """It logs each stanza: what machines say to each other, and how the account logs in."""
    file = tmp_path / "log"
    program = (
        "import logging, pathlib, sys; from autosync.common import logs\n"
        "logs.set_up('autosync-relay', True, pathlib.Path(sys.argv[1]))\n"
        "logging.getLogger('autosync').debug('of ours')\n"
        "logging.getLogger('slixmpp.xmlstream.xmlstream').debug('SEND: <auth>geheim</auth>')\n"
    )
    subprocess.run([sys.executable, "-c", program, file], check=True)
    assert "of ours" in file.read_text()
    assert "geheim" not in file.read_text()
