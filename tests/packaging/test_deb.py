"""The Debian package: built by its one command, installed into a folder as dpkg does, used there, removed; and on a
machine with a real systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.booted import Booted
from tests.support.programs import need
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]
# Packages come from where this machine's pip has them: tests give themselves another home.
_HOME = os.environ.get("HOME", "/")
# what dpkg leaves to itself
_BOOKS = ("var/lib/dpkg", "var/log")


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    if os.getuid() != 0:
        pytest.skip("dpkg installs as root only")
    need("dpkg-deb", "dpkg")
    if subprocess.run(["/usr/bin/python3", "-c", "import ensurepip, venv"], capture_output=True).returncode:
        need("no-venv", "python3-venv")
    out = tmp_path_factory.mktemp("deb")
    env = os.environ | {"HOME": _HOME, "COMPRESSION": "0"}
    done = subprocess.run([ROOT / "packaging" / "deb", out], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = out.iterdir()
    return found


@pytest.fixture(scope="module")
def system(tmp_path_factory) -> Path:
    """A folder that dpkg takes for a system."""
    root = tmp_path_factory.mktemp("system")
    for folder in ("var/lib/dpkg/updates", "var/lib/dpkg/info", "var/log", "etc", "var/lib"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "var/lib/dpkg/status").touch()
    return root


def dpkg(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """dpkg on that folder, without chroot: the scripts of the package heed DPKG_ROOT."""
    argv = ["dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", *map(str, arguments)]
    done = subprocess.run(
        argv, capture_output=True, text=True, env=os.environ | {"PATH": f"/usr/sbin:/sbin:{os.environ['PATH']}"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def listed(root: Path) -> set[str]:
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    return {name for name in found if not name.startswith(_BOOKS)}


@pytest.mark.timeout(1200)
def test_it_says_what_it_needs(package):
    shown = said("dpkg-deb", "--field", package)
    minor = int(said("/usr/bin/python3", "-c", "import sys; print(sys.version_info[1])"))
    assert f"Depends: python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}), git (>= 1:2.38)\n" in shown
    contents = said("dpkg-deb", "-c", package)
    assert {line.split()[1] for line in contents.splitlines()} == {"root/root"}
    for wanted in (
        "hooks/note.sh",
        "common/py.typed",
        "systemd/user/autosync-relay.service",
        "share/man/man1/autosync-init.1.gz",
        "completions/autosync",
        "vendor-completions/_autosync",
        "share/doc/autosync/copyright",
        "licenses/LICENSE",
        "sysusers.d/autosync.conf",
        "tmpfiles.d/autosync.conf",
    ):
        assert wanted in contents, wanted


def said(*argv: object) -> str:
    return subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=True).stdout


def test_it_is_installed_used_and_removed(package, system, tmp_path):
    before = listed(system)
    dpkg(system, "--install", package)
    assert "autosync:" in (system / "etc" / "passwd").read_text()
    assert (system / "var/lib/autosync").is_dir()

    base = system / "usr/lib/autosync"
    commands = sorted(os.listdir(system / "usr/bin"))
    assert commands == [
        "autosync",
        "autosync-install-hooks",
        "autosync-reflector",
        "autosync-relay",
        "autosync-watcher",
        "git-autosync",
    ]
    for name in commands:
        script = (system / "usr/bin" / name).read_text()
        assert script.startswith("#!/usr/lib/autosync/bin/python -P\n")
        done = run(system, name, tmp_path, "--version")
        assert "0." in done.stdout, done.stderr
    done = run(system, "autosync", tmp_path, "demo", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it happened" in done.stdout
    # users may not write there
    assert not [path for path in base.rglob("*.py") if not list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))]
    unit = (system / "usr/lib/systemd/system/autosync-relay.service").read_text()
    assert 'ExecStart="/usr/bin/autosync-relay" --config /etc/autosync/config.toml\n' in unit

    (system / "var/lib/autosync" / "notes.git").mkdir()
    dpkg(system, "--purge", "autosync")
    # the account stays, as Debian's policy has it, and repositories do
    left = listed(system) - before
    accounts = {name for name in left if name.startswith("etc/")}
    assert left - accounts == {"var/lib/autosync", "var/lib/autosync/notes.git"}
    assert "etc/autosync" not in left


def run(system: Path, name: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, by the interpreter that its first line names: here it is not below /."""
    argv = [system / "usr/lib/autosync/bin/python", "-P", system / "usr/bin" / name, *arguments]
    env = {"HOME": str(home), "PATH": os.defpath + ":" + os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    return subprocess.run(argv, env=env, cwd=home, capture_output=True, text=True)


# on a real system ---------------------------------------------------------------------------------------------------


@pytest.fixture
def server(package, tmp_path) -> Iterator[Booted]:
    """A machine with the package, and a person who is logged in and uses it."""
    with Booted(tmp_path, source=package.parent) as booted:
        booted.run("useradd", "--create-home", "--shell", "/bin/bash", "person")
        booted.stay("person")
        booted.run("dpkg", "--install", f"/mnt/{package.name}")
        yield booted


def account(server: Booted, name: str, command: str) -> str:
    """What a command says that an account runs, as `sudo -u NAME -H` would."""
    return server.run(
        "runuser", "-u", name, "--", "env", f"HOME={home_of(server, name)}", "sh", "-ec", f"cd; {command}"
    ).stdout


def home_of(server: Booted, name: str) -> str:
    return server.run("getent", "passwd", name).stdout.split(":")[5]


def show(server: Booted, unit: str, name: str) -> str:
    return server.run("systemctl", "show", "-P", name, unit).stdout.strip()


@pytest.mark.timeout(1200)
def test_a_central_server_as_documented(server, package):
    """The steps of docs/services.md, with units that systemd runs."""
    assert show(server, "autosync-relay", "ActiveState") == "inactive", "nothing is started by installing"
    account(server, "autosync", "git init -q --bare -b main notes.git")
    server.path("/etc/autosync/config.toml").write_text('[[repository]]\npath = "/var/lib/autosync/*.git"\n')
    account(server, "autosync", "autosync-install-hooks --all --config /etc/autosync/config.toml")
    server.run("systemctl", "enable", "--now", "--quiet", "autosync-relay", "autosync-reflector.socket")
    assert show(server, "autosync-relay", "StatusText") == "keeping 1 repository"
    assert server.run("stat", "-c", "%U", f"/proc/{show(server, 'autosync-relay', 'MainPID')}").stdout == "autosync\n"
    said = account(server, "autosync", "autosync --config /etc/autosync/config.toml status || true")
    assert "in sync" in said
    assert "watcher not needed" in said

    # a push is announced to a machine that has never heard of the server, by the reflector that its connection starts
    person = "exec 2>&1; git config --global user.name P; git config --global user.email p@example.org"
    server.login("person", person)
    server.login("person", """set -e
        autosync init notes
        printf '[reflector]\\nurl = "tcp://127.0.0.1:1986"\\n' >>.config/autosync/config.toml
        autosync enable
    """)  # fmt: skip
    until(lambda: show(server, "autosync-reflector", "ActiveState") == "active", "the reflector, started by its socket")
    assert show(server, "autosync-reflector", "StatusText") == "listening on [::]:1986"
    assert show(server, "autosync-reflector", "User") == "autosync"

    # another account's repositories, as documented
    server.run("useradd", "--system", "--create-home", "git")
    account(server, "git", "git init -q --bare -b main ~/other.git")
    folder = server.path("/etc/systemd/system/autosync-relay.service.d")
    folder.mkdir()
    (folder / "override.conf").write_text("[Service]\nUser=git\n")
    server.path("/etc/autosync/config.toml").write_text('[[repository]]\npath = "/home/git/*.git"\n')
    server.run("systemctl", "daemon-reload")
    server.run("systemctl", "restart", "autosync-relay")
    assert show(server, "autosync-relay", "StatusText") == "keeping 1 repository"

    # upgraded while all of it runs
    before = running(server)
    assert all(before.values()), before
    server.run("dpkg", "--install", f"/mnt/{package.name}")
    after = running(server)
    assert all(after.values()), after
    assert not set(before.values()) & set(after.values())

    server.run("dpkg", "--remove", "autosync")
    assert server.run("pgrep", "-f", "autosync-(relay|watcher|reflector)", check=False).stdout == ""
    assert "autosync" not in server.run("systemctl", "list-units", "--all", "--no-legend").stdout
    assert server.path("/etc/autosync/config.toml").exists()
    server.run("dpkg", "--purge", "autosync")
    assert server.path("/var/lib/autosync/notes.git/HEAD").exists()


def running(server: Booted) -> dict[str, str]:
    """The services and their processes."""
    found = {unit: show(server, unit, "MainPID") for unit in ("autosync-relay", "autosync-reflector")}
    for unit in ("autosync-relay", "autosync-watcher"):
        found[f"person's {unit}"] = server.login("person", f"systemctl --user show -P MainPID {unit}").stdout.strip()
    return {unit: "" if pid == "0" else pid for unit, pid in found.items()}


def test_this_machine_is_as_it_was(package):
    assert shutil.which("dpkg-query")
    done = subprocess.run(["dpkg-query", "-W", "-f=${db:Status-Status}", "autosync"], capture_output=True, text=True)
    assert "installed" not in done.stdout.split()
    assert sys.prefix != "/usr/lib/autosync"
