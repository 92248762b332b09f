"""Running a click command so that `main(argv)` returns an exit code and nothing else."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import click

from .errors import EXIT_INTERRUPTED, EXIT_OK


class AnyPath(click.Path):
    """A path as it was typed. click itself would ask the file system for it, which may hang."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path. Raises nothing."""
        return Path(os.fsdecode(value))


#: The option that every command has.
config_option = click.option(
    "--config", metavar="FILE", type=AnyPath(), help="Configuration file, instead of the usual one."
)
#: The option of every service.
log_file_option = click.option(
    "--log-file", metavar="FILE", type=AnyPath(), help="Log there, instead of to standard error."
)


def run(command: click.Command, program: str, argv: list[str] | None) -> int:
    """Run ``command`` as ``program``; a wrong usage is explained on standard error and gives 2."""
    # who started us may ignore how children end (a web server does): every git would count as a success then (wait(2))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        result: Any = command.main(argv, prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return EXIT_INTERRUPTED
    # click returns what `Context.exit` was given
    return result if isinstance(result, int) else EXIT_OK
