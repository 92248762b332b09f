"""The version that commands print and machines tell each other."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


@cache
def version() -> str:
    """The installed version; for a source tree that is not installed, the one it declares and `+tree`."""
    # it takes longer to import than all else that a small command needs
    from importlib import metadata

    try:
        return metadata.version("autosync")
    except metadata.PackageNotFoundError:
        return of_tree(Path(__file__).resolve().parents[1])


def of_tree(folder: Path) -> str:
    """The version that the source tree in ``folder`` declares, or `unknown`."""
    try:
        declared = (folder / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    found = re.search(r'^name = "autosync"\nversion = "([^"]+)"$', declared, re.MULTILINE)
    return f"{found[1]}+tree" if found else "unknown"
