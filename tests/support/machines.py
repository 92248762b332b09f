"""Machines in one process tree: each with a home, a configuration, a clone, and real services."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.git import git
from tests.support.wait import DEADLINE, until

BIN = Path(sys.executable).parent
#: A poll so rare that what arrives within a test was announced.
NEVER = 86400


def command(name: str) -> str:
    """The path of one of our commands."""
    return str(BIN / name)


class Service:
    """A running watcher, relay or reflector; its log is a file."""

    def __init__(self, argv: list[str], env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


class Machine:
    """One machine. ``settings`` are lines for its `[[repository]]`, ``sections`` go before it."""

    def __init__(self, folder: Path, name: str, settings: str = "", sections: str = "") -> None:
        self.name = name
        self.folder = folder / name
        self.home = self.folder / "home"
        self.repo = self.folder / "notes"
        for path in (self.home, self.home / "run"):
            path.mkdir(parents=True, mode=0o700)
        (self.home / ".gitconfig").write_text((Path.home() / ".gitconfig").read_text())
        self.settings = f"settle = 0.0\npush-delay = 0.0\npoll = {NEVER}\n{settings}"
        self.sections = sections
        self.services: dict[str, Service] = {}

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "GIT_"))}
        return kept | {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home / "run")}

    @property
    def config(self) -> Path:
        return self.home / ".config" / "autosync" / "config.toml"

    def configure(self, settings: str | None = None, sections: str | None = None) -> None:
        """Write the configuration (again)."""
        self.settings = self.settings if settings is None else settings
        self.sections = self.sections if sections is None else sections
        self.config.parent.mkdir(parents=True, exist_ok=True)
        text = f'name = "{self.name}"\n{self.sections}\n[[repository]]\npath = "{self.repo}"\n{self.settings}\n'
        temporary = self.config.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(self.config)

    def clone(self, url: Path | str, hooks: bool = True) -> Machine:
        """Clone, configure and install the hooks."""
        subprocess.run(["git", "clone", "-q", str(url), str(self.repo)], env=self.env, check=True, capture_output=True)
        self.configure()
        if hooks:
            self.run("autosync-install-hooks", str(self.repo))
        return self

    def run(self, name: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of our commands on this machine."""
        done = subprocess.run(
            [command(name), *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{name} {args} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *names: str) -> Machine:
        """Start services (both when none is named) and wait until they answer."""
        for name in names or ("watcher", "relay"):
            self.services[name] = Service([command(f"autosync-{name}")], self.env, self.folder / f"{name}.log")
        for name in names or ("watcher", "relay"):
            until(lambda n=name: self.answers(n), f"{self.name}'s {name} to answer\n{self.logs()}")
        return self

    def answers(self, name: str) -> bool:
        import asyncio

        from autosync.common.control import NotRunning, ask

        if self.services[name].process.poll() is not None:
            raise AssertionError(f"{self.name}'s {name} ended\n{self.logs()}")
        sockets = list((self.home / "run").glob(f"autosync/*/{name}.socket"))
        try:
            return bool(sockets and asyncio.run(ask(sockets[0], "status")))
        except NotRunning:
            return False

    def relay_status(self) -> dict:
        import asyncio

        from autosync.common.control import ask

        (path,) = (self.home / "run").glob("autosync/*/relay.socket")
        return asyncio.run(ask(path, "status"))

    def online(self, *transports: str) -> None:
        """Wait until the relay's transports are connected."""
        for name in transports:
            until(
                lambda n=name: any(
                    t["name"] == n and t["state"] == "online" for t in self.relay_status()["transports"]
                ),
                f"{self.name}'s {name} to be online",
            )

    def stop(self, *names: str, number: int = signal.SIGTERM) -> None:
        for name in names or tuple(self.services):
            self.services.pop(name).stop(number)

    def logs(self) -> str:
        return "\n".join(f"--- {p.name} of {self.name}\n{p.read_text()}" for p in sorted(self.folder.glob("*.log")))

    def status(self) -> dict:
        return json.loads(self.run("autosync", "status", "--json", check=False).stdout)

    # a person's work -----------------------------------------------------------------------------------

    def write(self, path: str, content: str | bytes) -> None:
        file = self.repo / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def read(self, path: str) -> str | None:
        try:
            return (self.repo / path).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def git(self, *args: str, check: bool = True) -> str:
        return git(self.repo, *args, check=check)

    def commit(self, path: str, content: str) -> str:
        """Commit by hand. What has arrived is there a moment before git gives its lock up, and a person tries again."""
        self.write(path, content)
        add = ["git", "add", "--", path]
        until(lambda: subprocess.run(add, cwd=self.repo, capture_output=True, check=False).returncode == 0, "git add")
        self.git("commit", "-qm", f"by hand: {path}", "--", path)
        return self.git("rev-parse", "HEAD")

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def clean(self) -> bool:
        return self.git("--no-optional-locks", "status", "--porcelain") == ""


class Fleet:
    """Machines around one central repository. A context manager: leaves no process behind."""

    def __init__(self, folder: Path, *, empty: bool = False) -> None:
        self.folder = folder
        self.central = folder / "central.git"
        git(folder, "init", "-q", "--bare", str(self.central))
        if not empty:
            tree = git(self.central, "mktree", input=b"")
            git(self.central, "update-ref", "refs/heads/main", git(self.central, "commit-tree", "-m", "root", tree))
        self.machines: list[Machine] = []
        self.others: list[Service] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for machine in self.machines:
            machine.stop()
        for service in self.others:
            service.stop()
        if kind is not None:
            for machine in self.machines:
                print(machine.logs())

    def add(self, name: str, settings: str = "", sections: str = "", clone: bool = True) -> Machine:
        machine = Machine(self.folder, name, settings, sections)
        self.machines.append(machine)
        if clone:
            machine.clone(self.central)
        return machine

    def reflector(self, address: str = "127.0.0.1") -> int:
        """Start a reflector process; returns its port."""
        log = self.folder / f"reflector-{len(self.others)}.log"
        argv = [command("autosync-reflector"), "--listen", f"{address}:0"]
        self.others.append(Service(argv, dict(os.environ), log))
        line = until(
            lambda: [x for x in log.read_text().splitlines() if "listening on" in x], "the reflector to listen"
        )
        return int(line[0].rpartition(":")[2])

    def same(self, what: str = "all machines to be equal", deadline: float = DEADLINE) -> str:
        """Wait until every clone and the central repository have one head and clean trees; returns the head."""

        def equal() -> str | None:
            # first: a commit between the two would look like agreement
            clean = all(m.clean() for m in self.machines)
            heads = {git(self.central, "rev-parse", "--verify", "-q", "HEAD", check=False)}
            heads |= {git(m.repo, "rev-parse", "--verify", "-q", "HEAD", check=False) for m in self.machines}
            if len(heads) == 1 and clean:
                return heads.pop()
            return None

        return until(equal, what, deadline)
