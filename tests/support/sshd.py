"""A real sshd on the loopback, for the user that runs the tests, with keys of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from .programs import need
from .wait import until


class Sshd:
    """Use as a context manager. ``command`` is what to run instead of `ssh`; commands of autosync are in the path of
    who logs in, unless ``bare``. ``options`` are lines of sshd_config(5)."""

    def __init__(self, folder: Path, options: str = "", bare: bool = False) -> None:
        os.environ["PATH"] += os.pathsep + "/usr/sbin"
        program = need("sshd", "openssh-server")
        need("ssh", "openssh-client")
        self._folder = folder / "sshd"
        self._folder.mkdir(mode=0o700)
        for name in ("host", "person"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._folder / name], check=True)
        shutil.copy(self._folder / "person.pub", self._folder / "authorized")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        path = "/usr/bin:/bin" if bare else f"{Path(sys.executable).parent}:/usr/bin:/bin"
        home = os.environ["HOME"]
        (self._folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self._folder}/host\nPidFile none\nUsePAM no\n"
            f"StrictModes no\nAuthorizedKeysFile {self._folder}/authorized\nPermitRootLogin prohibit-password\n"
            f"PasswordAuthentication no\nMaxStartups 100\nSetEnv PATH={path} HOME={home}\n{options}\n"
        )
        (self._folder / "known").write_text(f"[127.0.0.1]:{self.port} {(self._folder / 'host.pub').read_text()}")
        self.command = (
            f"ssh -F none -i {self._folder}/person -o IdentitiesOnly=yes -o UserKnownHostsFile={self._folder}/known"
        )
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, path: Path) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"

    def __enter__(self) -> Sshd:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            argv = [self._program, "-D", "-e", "-f", str(self._folder / "config")]
            self._process = subprocess.Popen(argv, stderr=log)
        until(self._listens, "sshd to listen")

    def stop(self) -> None:
        """End the server; connections that it has accepted stay."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
