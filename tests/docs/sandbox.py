"""Machines that a page speaks of, in one folder: homes, a server's /srv, and ssh between them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.wait import until

# What git and the relay give to ssh: options, some of which take a value; the machine; the command.
_SSH = """\
#!/bin/sh
# ssh for tests: the other machine is a home beside this one
while :; do
    case $1 in
        -[oplFiJSmc]) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
home={root}/home/${{1#*@}}
shift
[ -d "$home" ] || {{ echo "ssh: could not resolve hostname" >&2; exit 255; }}
[ $# -gt 0 ] || exit 255
cd "$home" || exit 255
command=$(printf '%s' "$*" | sed "s|'/srv/|'{root}/srv/|g; s| /srv/| {root}/srv/|g")
HOME=$home XDG_RUNTIME_DIR=$home/run exec sh -c "$command"
"""
_GIT = "[user]\n\tname = Rene\n\temail = rene@example.org\n[init]\n\tdefaultBranch = main\n[core]\n\tfsync = none\n"


class Sandbox:
    """Use as a context manager; nothing that was started in it outlives it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._bin = root / "bin"
        self._bin.mkdir()
        ssh = self._bin / "ssh"
        ssh.write_text(_SSH.format(root=root))
        ssh.chmod(0o755)
        (root / "srv" / "git").mkdir(parents=True)
        for machine in ("server", "laptop", "desk", "web1"):
            home = root / "home" / machine
            (home / "run").mkdir(parents=True)
            (home / "run").chmod(0o700)
            (home / ".gitconfig").write_text(_GIT)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        until(lambda: not self._processes(), "the end of what was started")

    def home(self, machine: str) -> Path:
        return self.root / "home" / machine

    def run(self, text: str, machine: str, folder: str = "~", shell: str = "sh") -> subprocess.CompletedProcess[str]:
        """Run commands as a person at that machine would."""
        home = self.home(machine)
        environment = {
            "HOME": str(home),
            "PATH": f"{self._bin}:{Path(os.path.abspath(sys.executable)).parent}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(home / "run"),
            "SANDBOX": str(self.root),
            "GIT_SSH_VARIANT": "ssh",
        }
        with (self.root / "output").open("w+") as output:
            done = subprocess.run(
                [shell, "-e", "-c", self.here(text)],
                cwd=folder.replace("~", str(home)),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=120,
            )
            output.seek(0)
            return subprocess.CompletedProcess(text, done.returncode, output.read())

    def here(self, text: str) -> str:
        """The same with this sandbox's places; those behind a host name are ssh's business."""
        text = re.sub(r"(?<![\w.])/srv/", f"{self.root}/srv/", text)
        return re.sub(r"~(\w+)/", lambda match: f"{self.home(match[1])}/", text)

    def _processes(self) -> list[int]:
        mark = f"SANDBOX={self.root}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found
