"""Manual pages and completion: as new as the commands, fit for man, and at work in the real shells."""

from __future__ import annotations

import importlib.util
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from click.testing import CliRunner

from autosync.common import version
from tests.support.programs import need

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"


@pytest.fixture(scope="module")
def generate():
    loader = SourceFileLoader("generate", str(PACKAGING / "generate"))
    spec = importlib.util.spec_from_loader("generate", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_files_are_as_the_commands_say(generate):
    wanted = generate.files()
    found = {
        str(path.relative_to(PACKAGING)): path.read_text()
        for folder in ("man", "completions")
        for path in (PACKAGING / folder).rglob("*")
        if path.is_file()
    }
    assert found == wanted, "make them anew: .venv/bin/python packaging/generate"


def test_every_page_says_what_help_says(generate):
    seen = 0
    for name, command in generate.COMMANDS.items():
        for page, context in generate._commands(generate._context(command, name, None)):
            text = bare(
                re.sub(r"^\.(TP|PP|SH|B|I|nf|fi|BR)\b", "", (PACKAGING / "man" / f"{page}.1").read_text(), flags=re.M)
            )
            for said in parts(CliRunner().invoke(context.command, ["--help"]).output):
                assert bare(said) in text, (page, said)
                seen += 1
    assert seen > 150


def bare(text: str) -> str:
    """Without what roff(7) needs, and without blanks: lines break elsewhere."""
    text = re.sub(r"\\f[BR]", "`", text).replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
    return "".join(text.split())


def parts(help_text: str) -> Iterator[str]:
    """The paragraphs of what `--help` says, each option with what it does, and each command's beginning."""
    for paragraph in re.split(r"\n\s*\n", help_text.strip()):
        heading, _, rest = paragraph.partition("\n")
        if heading == "Options:":
            yield from re.split(r"\n(?=  -)", rest)
        elif heading == "Commands:":
            for line in re.split(r"\n(?=  \w)", rest):
                name, _, what = line.strip().partition("  ")
                yield f"-{name}(1) {what.strip().removesuffix('...').removesuffix('.')}"
        elif not heading.startswith("Usage:"):
            yield paragraph


def test_man_has_nothing_to_warn_of():
    need("groff", "groff-base")
    pages = sorted((PACKAGING / "man").glob("autosync*.1"))
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", *pages], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    argv = [need("man", "man-db"), "-l", str(PACKAGING / "man" / "autosync-init.1")]
    shown = subprocess.run(argv, capture_output=True, text=True, env=os.environ | {"MANWIDTH": "80"}).stdout
    assert "--remote URL" in re.sub(".\b", "", shown)


# completion ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shell_environment(home):
    """The command of this environment first in the PATH."""
    folder = Path(os.path.abspath(sys.executable)).parent  # zsh finds no commands where the PATH has ".."
    assert (folder / "autosync").exists()
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb"}


def test_bash(shell_environment):
    script = f"""
source {PACKAGING}/completions/bash/autosync
COMP_WORDS=(autosync re) COMP_CWORD=1
_autosync_completion autosync
printf '%s\\n' "${{COMPREPLY[@]}}"
COMP_WORDS=(autosync enable re) COMP_CWORD=2
_autosync_completion autosync
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p autosync
"""
    argv = ["bash", "--norc", "--noprofile", "-c", script]
    done = subprocess.run(argv, env=shell_environment, capture_output=True, text=True)
    *found, told = done.stdout.splitlines()
    # the second call adds to what the first one found
    assert found == ["resume", "restore", "resume", "restore", "relay", "reflector"], done.stderr
    assert told == "complete -o nosort -F _autosync_completion autosync"


def test_fish(shell_environment):
    script = f"source {PACKAGING}/completions/fish/autosync.fish; complete -C 'autosync res'"
    argv = [need("fish"), "--no-config", "-c", script]
    done = subprocess.run(argv, env=shell_environment, capture_output=True, text=True)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["restore", "resume"], done.stderr


def test_zsh(shell_environment, tmp_path):
    """Typed at a terminal: zsh completes nothing elsewhere."""
    program = need("zsh")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(program, [program, "-f", "-i"], shell_environment)
    shown = ""
    reading = "\x1b[?2004h"  # zsh asks for bracketed paste when it begins to read a line

    def expect(text: str) -> None:
        nonlocal shown
        end = time.monotonic() + 60
        while text not in shown:
            assert time.monotonic() < end, shown
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 4096).decode(errors="replace")
        shown = shown.partition(text)[2]

    def type_in(text: str) -> None:
        os.write(terminal, text.encode())

    try:
        expect(reading)
        type_in(f"fpath=({PACKAGING}/completions/zsh $fpath); autoload -U compinit; compinit -D -u; echo re''ady\n")
        expect("ready")
        expect(reading)
        type_in("autosync stat\t")
        expect("autosync status")
        type_in("\x15echo over''now\n")
        expect("overnow")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


# the version -----------------------------------------------------------------------------------------------------


def test_a_tree_that_is_not_installed_has_a_version(tmp_path):
    assert re.fullmatch(r"\d+\.\d+\.\d+\+tree", version.of_tree(ROOT))
    assert version.of_tree(tmp_path) == "unknown"
    (tmp_path / "autosync").mkdir()
    for portion in ("common", "console"):
        (tmp_path / "autosync" / portion).symlink_to(ROOT / portion)
    code = "import sys; from autosync.console.main import main; sys.exit(main(['--version']))"
    hide = "import importlib.metadata as m\ndef gone(name): raise m.PackageNotFoundError\nm.version = gone\n"
    done = subprocess.run(
        [sys.executable, "-c", hide + code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert re.fullmatch(r"autosync, \S+\+tree\n|autosync \S+\+tree\n", done.stdout), done.stderr
