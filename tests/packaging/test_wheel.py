"""sdist and wheel: what is in them, and that the wheel works where pipx would put it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTIONS = ("common", "console", "hooks", "relay", "watcher")
BUILD = (
    "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]), file=sys.stderr)"
)


def tree() -> list[str]:
    """The files of the project, as git has them, and new ones."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in listed if name and (ROOT / name).is_file()]


def build(what: str, source: Path, out: Path) -> Path:
    done = subprocess.run([sys.executable, "-c", BUILD, what, str(out)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """Made from a copy: a build leaves folders in the tree."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for name in tree():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    return build("build_sdist", copy, out)


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    """Made from the sdist, as a person would who has only that."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build("build_wheel", source, sdist.parent)


def test_the_sdist_has_the_whole_tree(sdist):
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    missing = set(tree()) - inside - {".gitignore", ".ci/run"}
    assert not {name for name in missing if not name.startswith(".")}


def test_the_wheel_has_what_the_program_needs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    data = next(name for name in names if ".data/" in name).partition("/")[0]
    info = data.replace(".data", ".dist-info")
    code = {f"autosync/{name}" for name in tree() if name.split("/")[0] in PORTIONS}
    assert "autosync/hooks/note.sh" in code
    assert "autosync/console/systemd/user/autosync-relay.service" in code
    assert "autosync/common/py.typed" in code
    shared = {
        *(f"man/man1/{path.name}" for path in (ROOT / "packaging" / "man").iterdir()),
        "bash-completion/completions/autosync",
        "zsh/site-functions/_autosync",
        "fish/vendor_completions.d/autosync.fish",
    }
    rest = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}
    assert names == code | {f"{data}/data/share/{name}" for name in shared} | {f"{info}/{name}" for name in rest}


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """An environment like pipx's, with the wheel in it; what it needs is taken from where this Python has it."""
    folder = tmp_path_factory.mktemp("pipx") / "venvs" / "autosync"
    venv.create(folder, symlinks=True, with_pip=False)
    install = [sys.executable, "-m", "pip", "--python", str(folder), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "present.pth").write_text(f"{Path(click.__file__).parents[1]}\n")
    return folder


def run(environment: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # as a person calls it: by a link in ~/.local/bin
    folder = home / ".local" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "autosync"
    if not link.is_symlink():
        link.symlink_to(environment / "bin" / "autosync")
    env = {"HOME": str(home), "PATH": f"{folder}:{os.defpath}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    return subprocess.run(["autosync", *arguments], env=env, cwd=home, capture_output=True, text=True)


def test_it_runs_the_demo(environment, tmp_path):
    done = run(environment, tmp_path, "demo", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it happened" in done.stdout


def test_it_comes_with_its_hooks_units_and_version(environment, tmp_path):
    assert "0." in run(environment, tmp_path, "--version").stdout
    assert "tree" not in run(environment, tmp_path, "--version").stdout
    done = run(environment, tmp_path, "init", str(tmp_path / "notes"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "notes/.git/hooks/post-commit").exists()
    argv = [
        environment / "bin" / "python",
        "-c",
        "from autosync.console import units as u; u.write(u.commands_folder(), 'relay')",
    ]
    subprocess.run(argv, env={"HOME": str(tmp_path), "PATH": os.defpath}, check=True)
    unit = (tmp_path / ".config/systemd/user/autosync-relay.service").read_text()
    assert f'ExecStart="{environment}/bin/autosync-relay"\n' in unit
    assert (environment / "share/man/man1/autosync.1").exists()
