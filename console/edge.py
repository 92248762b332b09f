"""The edge of every subcommand: which instance is meant, and how an error becomes an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from autosync.common import cli
from autosync.common.child import Missing
from autosync.common.errors import EXIT_INTERRUPTED, Problem, exit_code
from autosync.common.git import HOW_TO_GET_GIT, GitError
from autosync.common.instance import Instance
from autosync.common.reader import Unreadable

from . import terminal, wording


def subcommand(body: Callable[..., int | None]) -> Callable[..., None]:
    """Make a click callback of ``body(instance, **options)``, whose result is the exit code.

    `--config` may stand before or after the subcommand's name; the one after it wins.
    """

    def callback(context: click.Context, /, config: Path | None, **options: Any) -> None:
        chosen = config or context.obj

        def run() -> int | None:
            instance = Instance.of(chosen)
            config = None if instance.name == "default" else instance.config
            context.meta[terminal.CONFIG] = config
            try:
                return body(instance, **options)
            except click.Abort:
                return EXIT_INTERRUPTED
            except click.ClickException as error:
                error.show()
                return error.exit_code
            except (GitError, Unreadable) as error:
                raise Problem(str(error), "what git says of it is the place to start") from error
            except Missing as error:
                raise Problem(str(error), HOW_TO_GET_GIT) from error
            except Problem as problem:
                what = wording.of_instance(problem.what, config)
                problem = Problem(what, problem.remedy and wording.of_instance(problem.remedy, config))
                if not sys.stderr.isatty():
                    raise problem from None
                # for a person, as the person would write it
                home = Path.home()
                remedy = problem.remedy and wording.homely(problem.remedy, home)
                raise Problem(wording.homely(problem.what, home), remedy) from problem

        context.exit(exit_code(_typed(context), run, lambda: Instance.of(chosen).state))

    # wraps: the options that click noted on the body, and its docstring, which is the help
    return cli.config_option(functools.update_wrapper(click.pass_context(callback), body))


def _typed(context: click.Context) -> str:
    """What the person typed, as git has it with the subcommand's name: `autosync status`, `autosync peers`."""
    group = context.parent
    return group.command_path if group is not None and group.invoked_subcommand is None else context.command_path
