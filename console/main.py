"""`autosync`, also as `git autosync`: what people type. Each subcommand is imported only when it is used."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

import click

from autosync.common import cli
from autosync.common.errors import exit_code
from autosync.common.instance import Instance
from autosync.common.version import version

# In the order in which `autosync --help` shows them: a module of this portion, and its help in short, so
# that showing the list imports none of them.
_COMMANDS = {
    "init": ("init", "Keep a folder in sync from now on: make, clone or adopt a repository."),
    "invite": ("invite", "Print the line that sets the same up on another machine."),
    "status": ("status", "How each repository and each connection is."),
    "sync": ("sync", "Commit, pull and push now, and wait."),
    "pause": ("pause", "Let repositories alone until they are resumed."),
    "resume": ("resume", "Go on with paused repositories, or with a held deletion."),
    "explain": ("explain", "Why a file is not synchronised, and what to do about it."),
    "log": ("log", "What autosync did of its own accord."),
    "describe": ("describe", "Give the newest automatic commits a message of your own."),
    "undo": ("undo", "Take back the newest commit or merge that autosync made."),
    "restore": ("restore", "Bring an earlier version of a file back."),
    "peers": ("peers", "The other machines, and fetching from them directly."),
    "doctor": ("doctor", "Look for what is wrong, and say how to mend it."),
    "enable": ("enable", "Start the services now and at each login, together or one by one."),
    "disable": ("enable", "Stop the services, together or one by one, until they are enabled again."),
    "import": ("import_", "Take over the configuration of dvcs-autosync."),
    "demo": ("demo", "See two machines keep a repository in sync, in a temporary folder."),
}


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f".{_COMMANDS[cmd_name][0]}", __package__)
        # a module with several commands has each under its own name, or under `command`
        command: click.Command = getattr(module, cmd_name, None) or module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            alike = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            if not alike:
                raise
            raise click.UsageError(f"{error.message} Did you mean {alike[0]!r}?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"autosync {version()}")
        context.exit()


@click.group("autosync", cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@cli.config_option
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def group(context: click.Context, config: Path | None) -> None:
    """Git repositories that keep themselves in sync between machines.

    Start with `autosync demo`, or `autosync init PATH --remote URL`.
    """
    context.obj = config


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    # a subcommand ends its own errors; what is left is a bug in loading one
    return exit_code("autosync", lambda: cli.run(group, "autosync", argv), lambda: Instance.of().state)
