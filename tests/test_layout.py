"""The structure that docs/architecture.md promises."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).resolve().parent.parent
PORTIONS = ("common", "console", "hooks", "relay", "watcher")
MAY_IMPORT = {
    "common": set(),
    "hooks": {"common"},
    "relay": {"common"},
    "watcher": {"common"},
    "console": {"common", "hooks", "relay", "watcher"},
}


def imported_portions(source: str, module: str, package: bool) -> set[str]:
    """The portions of `autosync.` that a module (dotted name) imports, relative imports resolved."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                keep = len(parts) - node.level + (1 if package else 0)
                base = ".".join(parts[:keep] + ([base] if base else []))
            names = [f"{base}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("autosync.") and name.count(".")}
    return found & set(PORTIONS)


def modules() -> list[Path]:
    return [path for portion in PORTIONS for path in sorted((ROOT / portion).rglob("*.py"))]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_portion_imports_only_what_it_may(path):
    relative = path.relative_to(ROOT)
    portion = relative.parts[0]
    package = path.name == "__init__.py"
    name = ".".join(["autosync", *relative.with_suffix("").parts])
    found = imported_portions(path.read_text(), name.removesuffix(".__init__"), package) - {portion}
    assert found <= MAY_IMPORT[portion]


def test_the_import_rule_sees_every_way_to_import():
    source = (
        "from autosync.relay import x\nfrom ..watcher.a import y\nimport autosync.hooks.main\nfrom .. import console"
    )
    assert imported_portions(source, "autosync.common.z", False) == {"relay", "watcher", "hooks", "console"}
    assert imported_portions("from .z import w\nfrom ..relay import q", "autosync.common", True) == {"common", "relay"}


def test_every_package_is_listed_for_packaging():
    listed = tomli.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {"autosync." + ".".join(path.parent.relative_to(ROOT).parts) for path in modules()}
    assert sorted(listed) == sorted(folders)


@pytest.mark.parametrize("portion", PORTIONS)
def test_every_portion_is_typed(portion):
    assert (ROOT / portion / "py.typed").exists()


def test_only_the_runner_starts_git():
    for path in modules():
        if path.relative_to(ROOT) == Path("common/git.py"):
            continue
        source = path.read_text()
        assert '["git"' not in source, path
        assert '"git",' not in source or "subprocess" not in source, path
