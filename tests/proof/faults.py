"""What goes wrong, on purpose, with real processes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.machines import Machine, Service, command

#: Counts our git commands and strikes at the one that is due. git itself calls its own parts past this wrapper.
_WRAPPER = """\
#!/bin/sh
# real git: {git}
if [ -s "$HOME/fault" ] && read -r at mode pause <"$HOME/fault"; then
    printf x >>"$HOME/count"
    if [ "$(stat -c %s "$HOME/count")" = "$at" ]; then
        rm -f "$HOME/fault"
        echo "$mode $*" >>"$HOME/struck"
        case $mode in
        parent-before) kill -9 $PPID ;;
        parent-after) {git} "$@"; code=$?; kill -9 $PPID; exit $code ;;
        git) kill -9 $$ ;;
        both) kill -9 $PPID; kill -9 $$ ;;
        git-inside | both-inside)
            exec 3<&0
            {git} "$@" <&3 &
            sleep "$pause"
            [ "$mode" = git-inside ] || kill -9 $PPID
            kill -9 $! 2>/dev/null
            wait $!
            exit $? ;;
        esac
    fi
fi
exec {git} "$@"
"""
_SERVER = (b"receive-pack", b"upload-pack")
MODES = ("parent-before", "parent-after", "git", "both", "git-inside", "both-inside")


class Victim(Machine):
    """A machine whose git can be made to strike, and whose services are killed and started again."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self.settings = "settle = 0.0\npush-delay = 0.0\npoll = 1.0\nbrake-count = 1000000\nstaged-hold = 0.0"
        self._armed: str | None = None
        tools = self.folder / "bin"
        tools.mkdir()
        wrapper = tools / "git"
        wrapper.write_text(_WRAPPER.format(git=shutil.which("git")))
        wrapper.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        return super().env | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}

    def ensure(self) -> None:
        """Start what is dead."""
        for name in ("watcher", "relay"):
            service = self.services.get(name)
            if service is None or service.process.poll() is not None:
                argv = [command(f"autosync-{name}")]
                self.services[name] = Service(argv, self.env, self.folder / f"{name}.log")

    def pid(self, name: str) -> int:
        return self.services[name].process.pid

    def kill(self, *names: str, children: bool) -> None:
        """kill -9, all at one moment, with the git commands under way or without."""
        pids = [self.pid(name) for name in names]
        if children:
            pids += [child for name in names for child in children_of(self.pid(name))]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in names:
            self.services[name].process.wait(30)

    def arm(self, at: int, mode: str, pause: float) -> None:
        """The ``at``-th git command of this machine's services from now on strikes."""
        (self.home / "count").unlink(missing_ok=True)
        (self.home / "fault.new").write_text(f"{at} {mode} {pause:.4f}\n")
        (self.home / "fault.new").rename(self.home / "fault")
        self._armed = mode

    def disarm(self) -> str | None:
        """How it struck, None when it did not."""
        fault = self.home / "fault"
        mode = self._armed if not fault.exists() else None
        fault.unlink(missing_ok=True)
        self._armed = None
        return mode

    def truncate(self, chance: random.Random) -> None:
        """What a power cut may leave of files that nobody waited for: less than was written."""
        own = self.repo / ".git/autosync"
        states = [p for p in (self.home / ".local/state/autosync").rglob("*") if p.is_file()]
        for path in [*states, *own.glob("notes/*"), own / "commit", own / "message"]:
            if path.exists() and chance.random() < 0.7:
                os.truncate(path, chance.choice((0, path.stat().st_size // 2)))


def children_of(pid: int) -> list[int]:
    """The processes below ``pid``, at any depth (proc(5)), without those that stand for the central server: what a
    server that is killed leaves locked, nobody but a person there may unlock."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                if not any(name in Path(f"/proc/{child}/cmdline").read_bytes() for name in _SERVER):
                    found += [child, *children_of(child)]
    return found


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP inside the block, with all that is below the process."""
    pids = [pid, *children_of(pid)]
    for each in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


def may_mount() -> bool:
    """Whether small file systems can be made here."""
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
    )


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A tmpfs of ``size`` at ``folder`` (root only)."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def full(folder: Path, leave: int) -> Iterator[None]:
    """All but ``leave`` bytes of the file system at ``folder`` is taken inside the block."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(65536)):
                pass
        file.truncate(max(0, file.tell() // 4096 * 4096 - leave))
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be made in ``folder`` inside the block: by its mode, or for root by a mount."""
    if os.geteuid() != 0:
        folders = [folder, *(p for p in folder.rglob("*") if p.is_dir())]
        for each in folders:
            each.chmod(0o555)
        try:
            yield
        finally:
            for each in folders:
                each.chmod(0o755)
        return
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def moment(chance: random.Random, most: float) -> None:
    """A random moment: the only wait here, as the moment itself is what is tried."""
    time.sleep(chance.random() ** 2 * most)
