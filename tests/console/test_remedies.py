"""The commands that messages tell people to type: they exist, and what is filled in is quoted."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from autosync.console.main import group, main
from autosync.hooks.main import command as install_hooks
from autosync.relay.main import command as relay
from autosync.relay.reflector.main import command as reflector
from autosync.watcher.main import command as watcher

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for portion in ("common", "console", "hooks", "relay", "watcher") for path in (ROOT / portion).rglob("*.py")
)
COMMANDS: dict[str, click.Command] = {
    "autosync": group,
    "autosync-watcher": watcher,
    "autosync-relay": relay,
    "autosync-reflector": reflector,
    "autosync-install-hooks": install_hooks,
}
# A command ends where its sentence goes on.
_COMMAND = re.compile(r"\b(autosync(?:-(?:watcher|relay|reflector|install-hooks))?)((?: [^ \n;:,()`→]+)+)")
# What else follows the program's name in a sentence. One more is a decision.
_PROSE = {
    *(
        "X",
        "any",
        "bug",
        "carry",
        "did",
        "installed",
        "installed?",
        "knows",
        "made",
        "of",
        "repository",
        "that",
        "too",
        "whole",
    ),
    *("=", "made."),
}
# What begins a command of another program: what is filled in behind it is typed into a shell.
_OURS = "|".join(group.list_commands(click.Context(group)))
_FILLED_IN = re.compile(
    r"(?:^|[\s(&])(?:git -C|chmod [0-7a-z+]+|git clone|git ls-remote|kill|rm|mv) $"
    rf"|\bautosync (?:{_OURS})(?: --?[a-z-]+)* $"
)
# Functions that make words which a shell reads back, and names of what they made.
_QUOTED_BY = {"typed", "command_line", "quoted", "join"}
_QUOTED_NAMES = {
    "here",
    "there",
    "quoted",
    "again",
    "pid",
    "pids",
    "running",
    "service",
    "shown",
    "first",
    "command_line",
}


def texts(path: Path) -> Iterator[tuple[ast.AST, list[ast.expr]]]:
    """Each text of a module that people may read, in parts: constants, and what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docs = {id(node.body[0].value) for node in ast.walk(tree) if _documented(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node, node.values
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner | docs:
            yield node, [node]


def _documented(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and bool(node.body) and isinstance(node.body[0], ast.Expr)


def commands() -> Iterator[tuple[str, str]]:
    """Each command of ours in a text, with where it stands; ``X`` for what is filled in."""
    for path in SOURCES:
        for node, parts in texts(path):
            text = "".join(part.value if isinstance(part, ast.Constant) else "X" for part in parts)
            for found in _COMMAND.finditer(text):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", found[0]


FOUND = [(where, text) for where, text in commands() if text.startswith("autosync-") or text.split()[1] not in _PROSE]


def test_there_are_many():
    assert len(FOUND) > 60


@pytest.mark.parametrize(("where", "text"), FOUND, ids=[f"{where} {text}" for where, text in FOUND])
def test_a_command_in_a_message_can_be_typed(where, text):
    try:
        program, *words = shlex.split(text)
    except ValueError:  # the rest of a word in quotes stands behind what ends the command
        program, *words = shlex.split(text + "'")
    try:
        parsed(COMMANDS[program], program, words)
    except (click.MissingParameter, click.BadParameter):
        pass  # what is filled in, or is the person's to say
    except click.UsageError as error:
        # the sentence goes on
        if "unexpected extra argument" not in error.message:
            raise


def parsed(command: click.Command, name: str, words: list[str], parent: click.Context | None = None) -> None:
    """Let click read the words, through all subcommands. Raises click.UsageError."""
    # click keeps the help option that it makes for the first context, and manual pages are made in other tests
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    command.parse_args(context, list(words))
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if rest:
            name, below, rest = command.resolve_command(context, rest)
            assert below is not None
            parsed(below, name, rest, context)


def test_what_is_filled_into_a_command_is_quoted():
    bare = []
    for path in SOURCES:
        for node, parts in texts(path):
            before = ""
            for part in parts:
                if isinstance(part, ast.FormattedValue) and _FILLED_IN.search(before) and not _is_quoted(part.value):
                    bare.append(f"{path.relative_to(ROOT)}:{node.lineno} {before[-30:]}{ast.unparse(part.value)}")
                before = part.value if isinstance(part, ast.Constant) else ""
    assert bare == []


def _is_quoted(value: ast.expr) -> bool:
    if isinstance(value, ast.Name):
        return value.id in _QUOTED_NAMES
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    return (called.attr if isinstance(called, ast.Attribute) else called.id) in _QUOTED_BY


def test_a_second_instance_is_named_in_what_is_to_be_typed(machine, tmp_path, capsys):
    config = machine.config.rename(machine.config.with_name("second one.toml"))
    machine.config = config
    option = f"autosync --config '{config}' "
    assert f"go on with: {option}resume ~/notes\n" in machine.said("pause")[1]
    assert f"{option}resume ~/notes\n" in machine.said("status")[1]
    assert f"{option}init" in machine.said("sync", tmp_path)[2]
    # and where it was said after the subcommand
    assert main(["sync", str(tmp_path), "--config", str(config)]) == 1
    assert f"{option}init" in capsys.readouterr().err
