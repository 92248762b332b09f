"""A central repository: every way to push to it is noted, and no pusher waits."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from autosync.common.repository import Repository
from autosync.hooks import install as installing
from autosync.hooks.install import inspect, install
from tests.hooks.conftest import Pair, make_pair
from tests.support.git import git
from tests.support.wait import until

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if os.path.exists("/usr/sbin/sshd") else None)


def put_in(pair: Pair, standalone: bool = False) -> Path:
    assert not install(pair.central_repository(), standalone=standalone, config=None).problems
    return pair.central / "autosync/notes/post-receive"


def push_and_see(pair: Pair, note: Path, url: str, **env: str) -> None:
    """Create, update, force and delete a branch at ``url``: each is noted."""
    environment = {**os.environ, **env}
    for change in ("main:new", "main:new", "+main~2:new", ":new"):
        pair.commit()
        words = ["git", "push", "--quiet", url, change]
        done = subprocess.run(words, cwd=pair.clone, capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert b"autosync" not in done.stderr
        assert note.read_bytes().endswith(b"\nend\n")
        note.unlink()


def test_over_file(pair, any_git):
    pair.commit()
    push_and_see(pair, put_in(pair), f"file://{pair.central}")


def test_a_rejected_push_is_not_noted(pair, any_git, script):
    note = put_in(pair)
    script(pair.central / "hooks/pre-receive", "#!/bin/sh\nexit 1\n")
    pair.commit()
    assert subprocess.run(["git", "push", "-q"], cwd=pair.clone, capture_output=True).returncode == 1
    assert not note.exists()


# ssh ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sshd(tmp_path) -> Iterator[str]:
    """A real sshd on the loopback, with keys of its own, for the user that runs the tests."""
    if SSHD is None:
        pytest.skip("needs sshd")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "person"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "person.pub", folder / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        f"SetEnv PATH={os.environ['PATH']}\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([SSHD, "-D", "-q", "-f", folder / "config"])
    try:
        until(lambda: _open(port), "sshd to listen")
        yield (
            f"ssh -p {port} -i {folder}/person -o IdentitiesOnly=yes -o BatchMode=yes -o LogLevel=ERROR "
            f"-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        )
    finally:
        server.terminate()
        server.wait()


def _open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def test_over_ssh(pair, any_git, sshd):
    pair.commit()
    url = f"{_user()}@127.0.0.1:{pair.central}"
    push_and_see(pair, put_in(pair), url, GIT_SSH_COMMAND=sshd)


SLOW = f"""\
#!{sys.executable} -IS
import pathlib, sys, time
folder = pathlib.Path(__file__).parent
(folder / "started").touch()
while not (folder / "enough").exists():
    time.sleep(0.01)
(folder / "ended").touch()
"""


@pytest.mark.parametrize("way", ["file", "ssh"])
def test_no_pusher_waits_for_what_the_hook_starts(pair, way, request, tmp_path, monkeypatch, script):
    relay = script(tmp_path / "bin/autosync-relay", SLOW)
    monkeypatch.setattr(installing, "_relay_program", lambda: relay)
    put_in(pair, standalone=True)
    environment, url = dict(os.environ), f"file://{pair.central}"
    if way == "ssh":
        environment["GIT_SSH_COMMAND"] = request.getfixturevalue("sshd")
        url = f"{_user()}@127.0.0.1:{pair.central}"
    pair.commit()
    try:
        # would wait for ever, were a descriptor kept
        subprocess.run(["git", "push", "-q", url, "main"], cwd=pair.clone, env=environment, check=True, timeout=60)
        until((relay.parent / "started").exists, "the relay to start")
        assert not (relay.parent / "ended").exists()
    finally:
        (relay.parent / "enough").touch()
    until((relay.parent / "ended").exists, "the relay to end")


# http ----------------------------------------------------------------------------------------------------


class _Backend(BaseHTTPRequestHandler):
    """git http-backend(1) as CGI (RFC 3875), as far as a push needs it."""

    root: Path
    environment: dict[str, str]

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._serve(data)

    def _serve(self, data: bytes) -> None:
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": os.fspath(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(data)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "person",
            "REMOTE_ADDR": "127.0.0.1",
            **self.environment,
        }
        done = subprocess.run(["git", "http-backend"], input=data, env=environment, capture_output=True, check=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def http_server(root: Path, **environment: str) -> Iterator[str]:
    backend = type("Backend", (_Backend,), {"root": root, "environment": environment})
    with ThreadingHTTPServer(("127.0.0.1", 0), backend) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_over_http(pair, any_git):
    note = put_in(pair)
    pair.commit()
    with http_server(pair.central.parent) as url:
        push_and_see(pair, note, f"{url}/{pair.central.name}")


def test_over_http_by_an_account_without_a_home(pair, any_git, reflector, tmp_path):
    """As a web server's account has none, as a rule: what the hook starts announces all the same."""
    (tmp_path / "autosync.toml").write_text(reflector.section)
    assert not install(pair.central_repository(), standalone=True, config=tmp_path / "autosync.toml").problems
    expected = []
    with http_server(tmp_path, HOME="/proc/nowhere", XDG_RUNTIME_DIR="") as url:
        for name in ("one", "two"):
            pair.commit()
            git(pair.clone, "push", "--quiet", f"{url}/{pair.central.name}", f"main:{name}")
            expected.append((f"refs/heads/{name}", git(pair.clone, "rev-parse", "main")))
            until(lambda: len(reflector.moves) >= len(expected), "the announcement")
    assert reflector.moves == expected
    until(lambda: (pair.central / "autosync/once.lock").read_text() == "", "the relay to end")


def test_a_template_carries_the_hook_into_repositories_to_come(pair, any_git, reflector, tmp_path):
    (tmp_path / "autosync.toml").write_text(reflector.section)
    git(tmp_path, "init", "--quiet", "--bare", "template")
    template = Repository.open(tmp_path / "template")
    assert not install(template, standalone=True, config=tmp_path / "autosync.toml").problems
    git(tmp_path, "init", "--quiet", "--bare", f"--template={template.path}", "new.git")
    assert all(status.in_order for status in inspect(Repository.open(tmp_path / "new.git")))
    git(pair.clone, "push", "--quiet", os.fspath(tmp_path / "new.git"), "main:side")
    until(lambda: reflector.moves, "the announcement")
    # and as the same repository when no branch is left
    git(pair.clone, "push", "--quiet", os.fspath(tmp_path / "new.git"), ":side")
    until(lambda: len(reflector.moves) > 1, "the announcement of the deletion")
    commit = git(pair.clone, "rev-parse", "main")
    assert reflector.moves == [("refs/heads/side", commit), ("refs/heads/side", "0" * 40)]
    assert len({each.repository for each in reflector.heard}) == 1
    until(lambda: (tmp_path / "new.git/autosync/once.lock").read_text() == "", "the relay to end")


# several accounts ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="takes other users' numbers")
def test_several_accounts_in_a_group(any_git, open_folder):
    """One group, three users with a strict umask: each replaces the note that another left."""
    pair = make_pair(open_folder)
    group, users = 54320, (54321, 54322, 54323)
    git(pair.central, "config", "core.sharedRepository", "group")
    for path in [pair.central, *pair.central.rglob("*")]:
        os.chown(path, 0, group)
        path.chmod(0o2770 if path.is_dir() else path.stat().st_mode | 0o060)
    note = put_in(pair)
    for path in [pair.central / "autosync", *(pair.central / "autosync").rglob("*")]:
        os.chown(path, 0, group)
        if path.is_dir():
            path.chmod(0o2770)
    notes = []
    for user in users * 2:
        own = open_folder / f"of-{user}"
        if not own.exists():
            git(open_folder, "clone", "--quiet", os.fspath(pair.central), os.fspath(own))
            for path in [own, *own.rglob("*")]:
                os.lchown(path, user, group)
        as_user = {"user": user, "group": group, "extra_groups": [], "umask": 0o077, "check": True, "cwd": own}
        for words in (
            ["git", "pull", "--quiet", "--rebase"],
            ["git", "commit", "--quiet", "--allow-empty", "-m", "m"],
            ["git", "push", "--quiet"],
        ):
            subprocess.run(words, **as_user)
        notes.append(note.read_bytes())
        assert note.stat().st_gid == group
    assert len(set(notes)) == len(notes)
    assert [path.name for path in note.parent.iterdir()] == ["post-receive"]
