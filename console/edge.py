"""The edge of every subcommand: which instance is meant, and how an error becomes an exit code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from autosync.common import cli
from autosync.common.errors import Problem, exit_code
from autosync.common.git import GitError
from autosync.common.instance import Instance
from autosync.common.reader import Unreadable


def subcommand(body: Callable[..., int | None]) -> Callable[..., None]:
    """Make a click callback of ``body(instance, **options)``, whose result is the exit code.

    `--config` may stand before or after the subcommand's name; the one after it wins.
    """

    def callback(context: click.Context, /, config: Path | None, **options: Any) -> None:
        chosen = config or context.obj

        def run() -> int | None:
            try:
                return body(Instance.of(chosen), **options)
            except (GitError, Unreadable) as error:
                raise Problem(str(error), "what git says of it is the place to start") from error

        # as git has it, a name for its subcommand too: `autosync status`
        context.exit(exit_code(context.command_path, run, lambda: Instance.of(chosen).state))

    # wraps: the options that click noted on the body, and its docstring, which is the help
    return cli.config_option(functools.update_wrapper(click.pass_context(callback), body))
