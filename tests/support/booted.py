"""A machine with a real systemd, journal and logins, for as long as a test needs it. Nothing of it is on a disk.

`python -m tests.support.booted` is a shell in one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from .programs import need
from .wait import until

ROOT = Path(__file__).resolve().parents[2]
_BOOT = Path(__file__).with_name("boot.sh")
_ENVIRONMENT = ("PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER=")


class Booted:
    """Use as a context manager. Its files are at first those of this machine; ``source`` can be read there as /mnt."""

    def __init__(self, folder: Path, source: Path = ROOT) -> None:
        if os.geteuid() != 0:
            pytest.skip("booting a systemd needs root")
        need("systemctl", "systemd")
        need("dbus-daemon", "dbus")
        # brings pam_systemd, without which a login starts no systemd for the person
        need("dbus-update-activation-environment", "dbus-user-session")
        self._base = Path(tempfile.mkdtemp(dir=folder))
        self._group = f"autosync-test-{self._base.name}"
        self._source = source
        self._log = self._base.with_suffix(".log")
        #: The id, out here, of its first process.
        self.init = 0

    def __enter__(self) -> Booted:
        boot = ["unshare", "--mount", _BOOT, self._base, self._group, self._source]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *boot], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            until(self._is_up, "systemd to come up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.init:
            os.kill(self.init, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        subprocess.run(["unshare", "--mount", _BOOT, "--clean", self._base, self._group], check=True)
        self._base.rmdir()

    def _is_up(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text() != "systemd\n":
            return False
        self.init = int(children[0])
        return self.run("systemctl", "is-system-running", check=False).stdout == "running\n"

    def path(self, name: str) -> Path:
        """A file of the machine's, from out here: as it is, since what resolves its links comes to a file of ours."""
        return Path(f"/proc/{self.init}/root{name}")

    def run(self, *argv: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as root, beside all units."""
        command = ["nsenter", "-t", str(self.init), "-a", "env", "-i", *_ENVIRONMENT, *map(str, argv)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done

    def login(self, user: str, script: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Log in, run a shell script at home, and log out."""
        service = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", "-p", "PAMName=login", f"--uid={user}"]
        return self.run(*service, "/bin/bash", "-lc", f"cd\n{script}", check=check)

    def stay(self, user: str) -> None:
        """Log in, and stay so until `leave`."""
        self.run("systemd-run", "--quiet", f"--unit=stay-{user}", "-p", "PAMName=login", f"--uid={user}",
                 "sleep", "infinity")  # fmt: skip

    def leave(self, user: str) -> None:
        """Log out."""
        self.run("systemctl", "stop", f"stay-{user}")

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """The entries of the journal with these fields, oldest first."""
        self.run("journalctl", "--sync")
        return [json.loads(line) for line in self.run("journalctl", "-o", "json", *matches).stdout.splitlines()]


def main() -> None:
    """A shell in such a machine."""
    with tempfile.TemporaryDirectory() as folder, Booted(Path(folder)) as machine:
        subprocess.run(["nsenter", "-t", str(machine.init), "-a", "env", "-i", *_ENVIRONMENT, "TERM=linux", "bash"])


if __name__ == "__main__":
    sys.exit(main())
