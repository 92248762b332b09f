"""`autosync demo`: two machines, a central repository and a reflector in a temporary folder, live."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from autosync.common.errors import EXIT_OK
from autosync.common.instance import Instance

from ..edge import subcommand
from ..terminal import progress
from .children import Ended, Endings
from .show import Show
from .stage import Stage, set_up
from .tour import steps

#: Seconds between two looks at what the person plays with.
_INTERVAL = 0.1


@click.command("demo")
@click.option("--once", is_flag=True, help="End after the tour, with 0 only if every step of it really happened.")
@subcommand
def command(_: Instance, once: bool) -> int:
    """Show two machines keep a repository in sync: no account, no network, nothing left behind.

    Real services in a temporary folder: `laptop` and `desk`, with a central repository and a reflector between them.
    After the tour it stays live, to be played with, until Ctrl-C.
    """
    show, endings = Show(), Endings()
    touring = True
    try:
        with endings.noticed(), progress() as waiting:
            waiting("starting two machines, a central repository and a reflector ...")
            with set_up(endings) as stage:
                _tour(stage, show, waiting)
                touring = False
                if not once:
                    _stay(stage, show, waiting)
                waiting("clearing up ...")
        show.success()
    except Ended as ended:
        if touring:
            # what the shell shows for a process that such a signal ended (bash(1), EXIT STATUS)
            return 128 + ended.number
        show.gone()
    return EXIT_OK


def _tour(stage: Stage, show: Show, waiting: Callable[[str], None]) -> None:
    waiting("")
    show.beginning(stage)
    for number, step in enumerate(steps(), 1):
        stage.check()
        show.step(number, step)
        waiting("   ...")
        moments = step.play(stage)
        waiting("")
        show.moments(moments)


def _stay(stage: Stage, show: Show, waiting: Callable[[str], None]) -> None:
    """Show what happens until a signal comes. Raises Problem when a process ends by itself."""
    show.invitation(stage)
    seen = time.time()
    while True:
        time.sleep(_INTERVAL)
        stage.check()
        news = [(machine, op) for machine in stage.machines for op in machine.operations(seen)]
        if news:
            waiting("")
        for machine, operation in sorted(news, key=lambda item: item[1].time):
            if operation.time > seen:
                show.news(machine, operation)
        seen = max([seen, *(operation.time for _, operation in news)])
        waiting("   ".join(f"{machine.name}: {text}" for machine in stage.machines if (text := machine.progress())))
