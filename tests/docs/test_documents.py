"""The documentation: every command in it is run, every configuration in it is read, every message in it is ours."""

from __future__ import annotations

import re
import shlex
from collections import Counter

import click
import pytest
import tomli

from autosync.common.config.model import Config, Shared
from autosync.console.main import group
from autosync.hooks.main import command as install_hooks
from autosync.relay.main import command as relay
from autosync.relay.reflector.main import command as reflector
from autosync.watcher.main import command as watcher
from tests.support.wait import until

from .page import PAGES, ROOT, Block, blocks, inline
from .sandbox import Sandbox

BLOCKS = [block for page in PAGES for block in blocks(page)]
# Commands that cannot run here. One more is a decision: change the number.
NOT_RUN = {
    "needs systemd": 7,
    "needs root": 4,
    "needs another machine": 1,
    "tested by tests/install": 1,
    "tested by tests/packaging": 1,
    "what runs this test": 1,
}
COMMANDS: dict[str, click.Command] = {
    "autosync": group,
    "git autosync": group,
    "autosync-watcher": watcher,
    "autosync-relay": relay,
    "autosync-reflector": reflector,
    "autosync-install-hooks": install_hooks,
}


def test_every_block_says_what_it_is():
    assert {block.language for block in BLOCKS} <= {"sh", "text", "toml", "xml", "json"}
    known = {"on", "in", "exit", "not run", "prepare", "crontab"}
    assert [str(block) for block in BLOCKS if set(block.said) - known] == []


def test_what_is_not_run_is_counted():
    assert Counter(block.said["not run"] for block in BLOCKS if "not run" in block.said) == NOT_RUN


@pytest.mark.parametrize("page", [p for p in PAGES if any(b.language == "sh" for b in blocks(p))], ids=lambda p: p.name)
def test_every_command_runs(page, tmp_path):
    run = 0
    with Sandbox(tmp_path) as sandbox:
        for block in blocks(page):
            machine = block.said.get("on", "laptop")
            if "prepare" in block.said:
                done = sandbox.run(block.said["prepare"], machine)
                assert done.returncode == 0, f"{block}: {done.stdout}"
            if block.language == "sh" and "not run" not in block.said:
                run_block(sandbox, block, machine)
                run += 1
        check = CHECKS.get(page.name)
        if check is not None:
            check(sandbox)
    assert run


def run_block(sandbox: Sandbox, block: Block, machine: str) -> None:
    folder = block.said.get("in", "~")
    shell = "sh"
    if folder == "bash":
        folder, shell = "~", "bash"
    allowed = {int(code) for code in block.said.get("exit", "0").split()}
    # one by one where each may fail
    parts = block.text.splitlines() if len(allowed) > 1 else [block.text]
    for part in parts:
        done = sandbox.run(part, machine, folder, shell)
        assert done.returncode in allowed, f"{block}: {part}\n{done.stdout}"
        assert "bug in autosync" not in done.stdout, done.stdout


def check_readme(sandbox: Sandbox) -> None:
    """What the services were started for."""
    (sandbox.home("laptop") / "notes" / "todo.txt").write_text("milk\n")
    until(
        lambda: (
            "todo.txt" in sandbox.run("git -C /srv/git/notes.git ls-tree --name-only main || true", "server").stdout
        ),
        "the file on the server",
    )


def check_setup(sandbox: Sandbox) -> None:
    assert (sandbox.home("desk") / "notes" / "shopping.txt").read_text() == "milk, bread\n"
    assert (sandbox.root / "srv" / "www" / ".git").is_dir()


def check_services(sandbox: Sandbox) -> None:
    logs = sandbox.home("laptop") / ".local" / "state" / "autosync"
    # there is no configuration on this machine
    until(lambda: (logs / "watcher.log").exists() and (logs / "relay.log").exists(), "the logs")


def check_moving(sandbox: Sandbox) -> None:
    text = (sandbox.home("laptop") / ".config" / "autosync" / "config.toml").read_text()
    assert 'jid = "rene@example.org"' in text
    assert (sandbox.home("laptop") / "notes-new" / ".git" / "hooks" / "post-commit").exists()


CHECKS = {
    "README.md": check_readme, "setup.md": check_setup, "services.md": check_services, "moving.md": check_moving,
}  # fmt: skip


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=str)
def test_every_configuration_is_valid(block):
    data = tomli.loads(block.text)
    if set(data) <= {field.alias or name for name, field in Shared.model_fields.items()}:
        Shared.model_validate(data)
    else:
        Config.model_validate(data)


# in the other two such words stand for something on the wire
@pytest.mark.parametrize("page", [p for p in PAGES if not p.name.endswith("protocol.md")], ids=lambda p: p.name)
def test_every_command_in_the_text_exists(page):
    for code in inline(page):
        name = next((n for n in sorted(COMMANDS, key=len, reverse=True) if code == n or code.startswith(f"{n} ")), None)
        if name is None:
            continue
        words = re.split(r"\s+", code[len(name) :].replace("[", " ").replace("]", " ").strip())
        command = COMMANDS[name]
        context = click.Context(command, info_name=name, **command.context_settings)
        while words and isinstance(command, click.Group) and words[0] in command.list_commands(context):
            command = command.get_command(context, words.pop(0))
            context = click.Context(command, info_name=name, parent=context, **command.context_settings)
        if isinstance(command, click.Group) and words and not words[0].startswith("-"):
            assert words[0] in ("", "…"), f"{page.name}: {code}"
        options = {opt for p in command.get_params(context) for opt in (*p.opts, *p.secondary_opts)}
        assert {w.partition("=")[0] for w in words if w.startswith("-") and len(w) > 1} <= options, (
            f"{page.name}: {code}"
        )


def test_every_message_of_the_trouble_page_is_ours():
    """Each title there is a message; `…` stands for what is put in."""
    sources = "\n".join(
        path.read_text()
        for portion in ("common", "console", "hooks", "relay", "watcher")
        for path in (ROOT / portion).rglob("*.py")
    )
    # what is put in, and where a long text goes on in the next line
    plain = re.sub(r'"\s*\n\s*f?"', "", sources)
    plain = re.sub(r"\{[^{}\n]*\}", "…", plain)
    titles = re.findall(r"^### (.*)$", (ROOT / "docs" / "trouble.md").read_text(), re.MULTILINE)
    messages = [message for title in titles if title.startswith("`") for message in re.findall(r"`([^`]+)`", title)]
    assert len(messages) > 25
    missing = [message for message in messages if message not in plain]
    assert missing == []


def test_the_crontab_starts_what_it_says(tmp_path):
    """cron runs each line by sh, with hardly an environment, and without a terminal."""
    (block,) = [block for block in BLOCKS if "crontab" in block.said]
    with Sandbox(tmp_path) as sandbox:
        bin_folder = sandbox.home("laptop") / ".local" / "bin"
        bin_folder.mkdir(parents=True)
        for name in ("autosync-watcher", "autosync-relay"):
            where = sandbox.run(f"command -v {name}", "laptop").stdout.strip()
            (bin_folder / name).symlink_to(where)
        sandbox.run("autosync init ~/notes", "laptop")
        for line in block.text.splitlines():
            when, _, command = line.partition(" ")
            assert when == "@reboot"
            cron = "env -i HOME=$HOME SANDBOX=$SANDBOX LOGNAME=me SHELL=/bin/sh setsid --fork sh -c"
            sandbox.run(f"{cron} {shlex.quote(command)}", "laptop")
        logs = sandbox.home("laptop") / ".local" / "state" / "autosync"
        until(lambda: (logs / "relay.log").exists() and "relay of" in (logs / "relay.log").read_text(), "the relay")
        until(lambda: (logs / "watcher.log").exists(), "the watcher")
