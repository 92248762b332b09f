"""The Debian package: built by its one command, installed into a folder as dpkg does, used there, removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import need

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


@pytest.mark.timeout(600)
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


def test_this_machine_is_as_it_was(package):
    assert shutil.which("dpkg-query")
    done = subprocess.run(["dpkg-query", "-W", "-f=${db:Status-Status}", "autosync"], capture_output=True, text=True)
    assert "installed" not in done.stdout.split()
    assert sys.prefix != "/usr/lib/autosync"
