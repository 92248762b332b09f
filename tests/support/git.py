"""git as a person would type it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(where: Path, *args: str, input: bytes | None = None, check: bool = True) -> str:
    """Run git and return what it printed without the last newline, surrogate-escaped."""
    done = subprocess.run(["git", *args], cwd=where, input=input, capture_output=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"git {args} in {where}: {done.returncode}\n{os.fsdecode(done.stdout + done.stderr)}")
    return os.fsdecode(done.stdout).removesuffix("\n")
