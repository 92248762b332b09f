"""The transports' tasks: those that the configuration asks for, and one for each ssh server that a repository is on."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from pathlib import Path

from autosync.common.errors import bug

from .failures import Backoff, Kind
from .hub import Hub
from .remote import Place
from .transports.base import Resting, Subscription, Transport
from .transports.ssh import SshTransport

_log = logging.getLogger(__name__)


class Carriers:
    """Runs transports in ``group`` and lets them talk to ``hub``. Trouble with one is no other's."""

    def __init__(self, group: asyncio.TaskGroup, hub: Hub, reports: Path) -> None:
        self._group = group
        self._hub = hub
        self._reports = reports
        self._configured: list[Transport] = []
        self._ssh: dict[Place, SshTransport] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def replace(self, transports: Sequence[Transport]) -> None:
        """From now on the configuration asks for these."""
        for transport in self._configured:
            self._tasks.pop(transport.name).cancel()
        self._configured = [*transports]
        self._tell()
        for transport in transports:
            self._begin(transport)

    def follow(self, subscriptions: Sequence[Subscription]) -> None:
        """From now on these repositories are of interest, and so the ssh servers that they are on."""
        places = dict.fromkeys(one.tracked.place for one in subscriptions if one.tracked is not None)
        gone, new = self._ssh.keys() - places.keys(), [place for place in places if place not in self._ssh]
        if not gone and not new:
            return
        for place in gone:
            self._tasks.pop(self._ssh.pop(place).name).cancel()
        for place in new:
            self._ssh[place] = SshTransport(place, self._name(place))
        self._tell()
        for place in new:
            self._begin(self._ssh[place])

    def retry(self) -> None:
        """The network may be back."""
        for transport in self._hub.transports:
            if isinstance(transport, Resting):
                transport.retry()

    def _name(self, place: Place) -> str:
        """`ssh server`; two logins that differ in the command alone are numbered."""
        taken = {transport.name for transport in self._ssh.values()}
        names = (f"ssh {place}" + (f" ({number})" if number > 1 else "") for number in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)

    def _tell(self) -> None:
        self._hub.set_transports([*self._configured, *self._ssh.values()])

    def _begin(self, transport: Transport) -> None:
        self._tasks[transport.name] = self._group.create_task(self._carry(transport), name=transport.name)

    async def _carry(self, transport: Transport) -> None:
        pauses = Backoff(random.random)
        while True:
            try:
                await transport.run(self._hub)
            except Exception as error:  # noqa: BLE001 - a bug in one transport must not end the others
                _log.error("the transport %s failed: %s", transport.name, bug(error, self._reports))
            await asyncio.sleep(pauses.pause(Kind.BUG))
