"""Real programs that tests drive: installed from Debian where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import pytest


def need(program: str, package: str | None = None) -> str:
    """The path of a program; installs its Debian package as root. Without it the test is skipped, in CI it fails."""
    found = shutil.which(program) or _installed(program, package or program)
    if found:
        return found
    missing = f"{program} is missing: apt-get install {package or program}"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@cache
def _installed(program: str, package: str) -> str | None:
    if os.getuid() != 0 or not shutil.which("apt-get"):
        return None
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", package]
    if subprocess.run(install, env=env, capture_output=True).returncode:
        subprocess.run(["apt-get", "update", "-qq"], env=env, capture_output=True)
        subprocess.run(install, env=env, capture_output=True)
    return shutil.which(program)
