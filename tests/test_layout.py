"""The structure that docs/architecture.md promises."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pygit2
import pytest
import tomli
from packaging.requirements import Requirement

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


#: Who starts programs, and which; the first is for the git runner alone.
STARTERS = {
    "common/child.py": "what the git runner asks for",
    "common/buttons.py": "our own commands, from a notice's button",
    "common/desktop.py": "xdg-open",
    "console/demo/children.py": "our own services",
    "console/enable.py": "systemctl",
    "console/pager.py": "the person's pager",
    "relay/agent.py": "systemctl",
    "relay/transports/ssh_line.py": "ssh",
    "relay/transports/xmpp_login.py": "password-command",
    "watcher/asking.py": "a dialogue's program",
    "watcher/context.py": "message-command",
}
_STARTING = re.compile(
    r"(create_)?subprocess(_exec|_shell|es)?|_posixsubprocess|multiprocessing|pty|popen\d?|Popen|system|startfile|getoutput|"
    r"getstatusoutput|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|fork(pty)?"
)


def starting(source: str) -> set[str]:
    """The names in a module by which programs can be started."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) != "platform":  # its system() starts nothing
            found.add(node.attr)
    return {name for name in found if _STARTING.fullmatch(name)}


def texts(source: str) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_only_those_listed_start_programs_and_only_the_runner_git():
    found = {str(path.relative_to(ROOT)) for path in modules() if starting(path.read_text())}
    assert found == set(STARTERS)
    users = {str(path.relative_to(ROOT)) for path in modules() if re.search(r"import .*\bChild\b", path.read_text())}
    assert users == {"common/git.py"}
    for name in found:
        programs = {text.split(" ")[0] for text in texts((ROOT / name).read_text())}
        assert not programs & {"git", "/usr/bin/git"}, name


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "from subprocess import run",
        "import os\nos.system('git')",
        "from os import execvp",
        "import asyncio\nasyncio.create_subprocess_exec('git')",
        "from asyncio import create_subprocess_shell",
        "loop.subprocess_exec(p, 'git')",
        "import multiprocessing.context",
        "import os\nos.posix_spawnp('git', [], {})",
        "import os\nos.fork()",
    ],
)
def test_the_rule_sees_every_way_to_start_a_program(source):
    assert starting(source)


#: All that is asked of libgit2; nothing in this list writes.
LIBGIT_READS = {
    *("Repository", "Commit", "Tree", "GitError", "InvalidSpecError"),
    *("lookup_reference", "references", "get", "resolve", "target", "name", "peel", "id", "log", "oid_old", "oid_new"),
    *("message", "ahead_behind", "descendant_of", "merge_base", "config", "get_multivar", "path_is_ignored", "read"),
}


def test_only_one_module_has_libgit2_and_it_only_reads():
    users = {str(path.relative_to(ROOT)) for path in modules() if re.search(r"\bpygit2\b(?!_)", code(path))}
    assert users == {"common/libgit.py"}
    tree = ast.parse((ROOT / "common/libgit.py").read_text())
    lists = ("found", "others")  # of our own
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in lists)
    }
    known = {name for kind in vars(pygit2).values() if isinstance(kind, type) for name in dir(kind)} | set(dir(pygit2))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert (used & known) - own - LIBGIT_READS == set()
    # repo.config[...] = ... , del repo.references[...], repo.head = ...
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            root = node.value
            assert isinstance(root, ast.Name), ast.unparse(node)
            assert root.id in ("self", "found"), ast.unparse(node)


def code(path: Path) -> str:
    """A module without its comments and texts."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)


#: Modules through which a network can be reached.
_NETWORK = re.compile(r"socket|ssl|slixmpp|aiodns|http|urllib|ftplib|smtplib|asyncio_dgram")
_CONNECTING = ("open_connection", "start_server", "create_connection", "create_server", "create_datagram_endpoint")


@pytest.mark.parametrize("portion", ["watcher", "hooks"])
def test_watcher_and_hooks_have_nothing_for_a_network(portion):
    for path in sorted((ROOT / portion).rglob("*.py")):
        tree = ast.parse(path.read_text())
        imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level}
        assert not {name for name in imported if _NETWORK.fullmatch(name.split(".")[0])}, path
        assert not {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)} & set(_CONNECTING), path


def test_the_relay_makes_no_commits_but_merges():
    # undo.py is what `autosync undo` runs for a person, not the service
    makers = {path.name for path in (ROOT / "relay").rglob("*.py") if texts(path.read_text()) & {"commit-tree"}}
    assert makers == {"merge_commit.py", "undo.py"}
    for path in sorted((ROOT / "relay").rglob("*.py")):
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call) and n.args]
        asked = {
            c.args[0].value for c in calls if isinstance(c.args[0], ast.Constant) and isinstance(c.func, ast.Attribute)
        }
        assert not asked & {"commit", "cherry-pick", "revert", "am", "rebase", "pull", "reset", "stash", "clean"}, path
    # and nothing of the service takes undo.py
    for path in sorted((ROOT / "relay").rglob("*.py")):
        assert "undo" not in {
            a.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) for a in n.names
        }


def project() -> dict:
    return tomli.loads((ROOT / "pyproject.toml").read_text())


def test_each_dependency_has_its_reason():
    table = (
        (ROOT / "docs/architecture.md").read_text().partition("## What each library is for")[2].partition("\n## ")[0]
    )
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines() if row.startswith("|")][
        2:
    ]
    assert {name for name, *_ in rows} == {Requirement(text).name for text in project()["project"]["dependencies"]}
    assert all(reason for *_, reason in rows)


@pytest.mark.parametrize(
    ("file", "extra"),
    [("requirements.lock", None), ("requirements-dev.lock", "dev"), ("requirements-build.lock", "build")],
)
def test_lock_files_have_hashes_and_what_the_project_asks_for(file, extra):
    entries = re.findall(
        r"^([^\s#-].*?)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", (ROOT / file).read_text(), re.MULTILINE
    )
    pinned = [line for line in (ROOT / file).read_text().splitlines() if line and line[0] not in " #"]
    assert len(entries) == len(pinned)
    locked = {}
    for text, _ in entries:
        requirement = Requirement(text)
        (version,) = requirement.specifier
        assert version.operator == "=="
        locked[requirement.name] = version.version
    settings = project()
    wanted = settings["build-system"]["requires"] if extra == "build" else list(settings["project"]["dependencies"])
    wanted += settings["project"]["optional-dependencies"].get(extra, [])
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[requirement.name]), requirement


def test_both_lock_files_pin_the_same():
    def pins(file: str) -> set[str]:
        return {
            line.partition(" ")[0] for line in (ROOT / file).read_text().splitlines() if line and line[0] not in " #"
        }

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_the_commands_of_the_design():
    names = {
        "autosync",
        "git-autosync",
        "autosync-watcher",
        "autosync-relay",
        "autosync-reflector",
        "autosync-install-hooks",
    }
    assert set(project()["project"]["scripts"]) == names


def test_checks_are_strict():
    tool = project()["tool"]
    assert tool["mypy"]["strict"] is True
    assert set(tool["mypy"]["packages"]) == {f"autosync.{portion}" for portion in PORTIONS}
    assert {"E", "F", "B", "ASYNC", "BLE", "ANN", "S"} <= set(tool["ruff"]["lint"]["select"])
    assert "error" in tool["pytest"]["ini_options"]["filterwarnings"]
