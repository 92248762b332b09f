"""A central repository that several unix accounts of a group push to, over a real sshd, with no relay on the server.

The accounts exist in a mount namespace only, in which sshd runs.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hooks.conftest import make_pair, snapshot
from tests.hooks.listener import Reflector
from tests.support.git import git
from tests.support.server import ServerProcess, answers, free_port, missing
from tests.support.wait import until

ACCOUNTS = {"ann": 54321, "bob": 54322, "cyd": 54323}
GROUP = 54320
ZERO = "0" * 40

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes accounts in a namespace")


class Server:
    """A machine with accounts, an sshd, and a central repository of the group."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pair = make_pair(folder)
        self.central = self.pair.central
        self.port = free_port()
        git(self.central, "config", "core.sharedRepository", "group")
        for path in [self.central, *self.central.rglob("*")]:
            os.chown(path, ACCOUNTS["ann"], GROUP)
            path.chmod(0o2775 if path.is_dir() else 0o664)
        for name in ("host", "person"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "person.pub").chmod(0o644)
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"StrictModes no\nAuthorizedKeysFile {folder}/person.pub\nPasswordAuthentication no\nMaxStartups 50\n"
            f"SetEnv PATH={Path(sys.executable).parent}:{os.environ['PATH']}\n"
        )
        self._add_accounts()

    def _add_accounts(self) -> None:
        people = "".join(f"{e.pw_name}:*:{e.pw_uid}:{e.pw_gid}::{e.pw_dir}:{e.pw_shell}\n" for e in pwd.getpwall())
        groups = "".join(f"{entry.gr_name}:*:{entry.gr_gid}:\n" for entry in grp.getgrall())
        for name, number in ACCOUNTS.items():
            home = self.folder / name
            home.mkdir(mode=0o700)
            (home / ".gitconfig").write_text(f"[safe]\n\tdirectory = {self.central}\n")
            shutil.chown(home, number, GROUP)
            shutil.chown(home / ".gitconfig", number, GROUP)
            # a strict umask: what is shared has to be made so
            (home / ".profile").write_text("umask 077\n")
            people += f"{name}:*:{number}:{GROUP}::{home}:/bin/sh\n"
        (self.folder / "passwd").write_text(people)
        (self.folder / "group").write_text(f"{groups}team:*:{GROUP}:\n")

    def script(self, sshd: str) -> str:
        """What makes the accounts known and lets them reach the programs under test, and begins to serve."""
        lines = [f"mount --bind {self.folder}/{name} /etc/{name}" for name in ("passwd", "group")]
        for number, closed in enumerate(sorted(_closed())):
            upper = self.folder / f"upper{number}"
            lines += [
                f"mkdir {upper} {upper}.work",
                f"mount -t overlay -o lowerdir={closed},upperdir={upper},workdir={upper}.work overlay {closed}",
                f"chmod 755 {closed}",
            ]
        lines += ["mkdir -p /run/sshd", f"umask 077; exec {sshd} -D -q -f {self.folder}/sshd_config"]
        return "\n".join(["set -e", *lines])

    def ssh(self, account: str) -> list[str]:
        options = ["IdentitiesOnly=yes", "BatchMode=yes", "LogLevel=ERROR", "StrictHostKeyChecking=no"]
        options.append("UserKnownHostsFile=/dev/null")
        words = ["ssh", "-p", str(self.port), "-l", account, "-i", str(self.folder / "person")]
        return words + [word for option in options for word in ("-o", option)]

    def run(self, account: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a command as an account."""
        command = shlex.join(map(str, words))
        return subprocess.run([*self.ssh(account), "127.0.0.1", command], capture_output=True, text=True, timeout=120)

    def push(self, account: str, *refs: str) -> None:
        """Push as an account."""
        environment = {**os.environ, "GIT_SSH_COMMAND": shlex.join(self.ssh(account))}
        words = ["git", "push", "--quiet", f"127.0.0.1:{self.central}", *refs]
        done = subprocess.run(words, cwd=self.pair.clone, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")


def _closed() -> set[Path]:
    """The topmost folders on the way to the programs under test that only their owner may go through."""
    closed = set()
    for program in (sys.executable, os.path.realpath(sys.executable), __file__):
        ways = [way for way in reversed(Path(program).parents) if not way.stat().st_mode & 0o001]
        closed.update(ways[:1])
    return closed


@pytest.fixture
def server(open_folder) -> Iterator[Server]:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        missing("sshd", "apt-get install openssh-server")
    made = Server(open_folder)
    words = ["unshare", "--mount", "sh", "-c", made.script(sshd)]
    process = ServerProcess(words, lambda: answers(made.port), open_folder / "log", {})
    process.start()
    try:
        yield made
    finally:
        process.stop()


def put_in(server: Server, reflector: Reflector) -> None:
    """As the owner of the repository, for all."""
    file = server.folder / "autosync.toml"
    file.write_text(f'name = "server"\n{reflector.section}')
    file.chmod(0o644)
    done = server.run("ann", "autosync-install-hooks", "--standalone", "--config", file, server.central)
    assert done.returncode == 0, done.stderr


def rests(server: Server) -> bool:
    """Whether no run of the relay is under way, nor will begin."""
    own = server.central / "autosync"
    return not (own / "once-again").exists() and (own / "once.lock").read_text() == ""


def test_each_push_of_each_account_is_announced_once(server, reflector):
    before = snapshot(server.central)
    put_in(server, reflector)
    clone, expected = server.pair.clone, []
    for number, account in enumerate([*ACCOUNTS, "ann"]):
        server.pair.commit(f"{number}")
        head = git(clone, "rev-parse", "HEAD")
        for ref in (f"main:of-{account}", f"+main~1:of-{account}", f":of-{account}"):
            server.push(account, ref)
            source = ref.lstrip("+").partition(":")[0]
            commit = {"main": head, "main~1": git(clone, "rev-parse", "main~1"), "": ZERO}[source]
            expected.append((f"refs/heads/of-{account}", commit))
            until(lambda: len(reflector.moves) >= len(expected), f"the push of {ref} by {account} to be announced")
    assert reflector.moves == expected
    assert {each.machine for each in reflector.heard} == {"server"}
    until(lambda: rests(server), "the relay to rest")
    for path in (server.central / "autosync").iterdir():
        assert path.stat().st_gid == GROUP, path
        assert path.stat().st_mode & 0o060 == 0o060, path
    done = server.run("ann", "autosync-install-hooks", "--uninstall", server.central)
    assert done.returncode == 0, done.stderr
    assert snapshot(server.central) == before


def test_pushes_of_all_accounts_at_once_are_announced_once(server, reflector):
    put_in(server, reflector)
    commit = git(server.pair.clone, "rev-parse", "HEAD")
    names = [f"{account}-{number}" for number in range(3) for account in ACCOUNTS]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: server.push(name.partition("-")[0], f"main:{name}"), names))
    until(lambda: len(reflector.moves) >= len(names), "all pushes to be announced")
    until(lambda: rests(server), "the relay to rest")
    assert sorted(reflector.moves) == sorted((f"refs/heads/{name}", commit) for name in names)
