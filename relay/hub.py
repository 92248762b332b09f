"""Between workers and transports: who is told what, and whom an announcement is for."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .announcement import Announcement, Kind, Malformed
from .attention import Attention
from .state import Move
from .transports.base import Messenger, Subscription, Transport
from .worker import Worker

_log = logging.getLogger(__name__)
#: Seconds over which the looks after a reconnect are spread.
_SPREAD = 0.3
_SPARKLESHARE = ".sparkleshare"


class Hub:
    """Passes announcements from workers to every transport and from transports to the workers they are for.

    What a worker says while a transport is offline is kept for that transport, the newest of each ref, and
    told when it is back: nobody else would know before the next poll. ``machine`` is this machine's name.
    ``subscribed`` is called with all subscriptions whenever they are others, ``spoken`` with what another machine says
    of a worker's repository.
    """

    def __init__(
        self,
        machine: str,
        subscribed: Callable[[Sequence[Subscription]], None] = lambda subscriptions: None,
        spoken: Callable[[Announcement, Worker], None] = lambda announcement, worker: None,
    ) -> None:
        self.machine = machine
        self._spoken = spoken
        self._subscribed = subscribed
        self._workers: dict[Path, Worker] = {}
        self._attention: dict[Path, Attention] = {}
        self._transports: dict[str, Transport] = {}
        self._untold: dict[str, dict[tuple[str, str, str], Announcement]] = {}
        self._wanted: dict[Path, list[Subscription]] = {}
        self._subscriptions: list[Subscription] = []
        self._due: asyncio.Handle | None = None

    def set_workers(self, workers: Iterable[Worker]) -> None:
        self._workers = {worker.repo.path: worker for worker in workers}
        for path in self._attention.keys() - self._workers.keys():
            self._attention.pop(path).close()
        for path, worker in self._workers.items():
            if path in self._attention and self._attention[path].worker is not worker:
                self._attention.pop(path).close()
            self._attention.setdefault(path, Attention(worker))
        self._wanted = {path: _wanted(worker) for path, worker in self._workers.items()}
        self._subscribe()

    def set_transports(self, transports: Sequence[Transport]) -> None:
        """These, in this order; others are forgotten."""
        self._transports = {transport.name: transport for transport in transports}
        self._untold = {name: self._untold.get(name, {}) for name in self._transports}
        for transport in transports:
            transport.subscribe(self._subscriptions)

    @property
    def transports(self) -> list[Transport]:
        return list(self._transports.values())

    # what workers say --------------------------------------------------------------------------------

    def announce(self, worker: Worker, move: Move, kind: Kind = "pushed") -> None:
        """Tell everybody that a push from here moved a ref on the remote, or is about to (`committed`)."""
        if worker.identity.id is None:
            return
        try:
            announcement = Announcement(kind, worker.identity.id, move.ref, move.commit, self.machine)
        except Malformed as error:
            _log.warning("%s: %s cannot be announced: %s", worker.repo.path, move.ref, error)
            return
        for name, transport in self._transports.items():
            if transport.health.state == "online":
                transport.announce(announcement)
            elif kind != "committed":
                self._untold[name][(announcement.repository, announcement.ref, kind)] = announcement

    def has_untold(self, transport: str) -> bool:
        """Whether something waits for the transport to come online."""
        return bool(self._untold.get(transport))

    def tell(self, persons: Sequence[str], text: str) -> None:
        """Send a text to persons, over the first transport that reaches people; over one that is online if there is."""
        messengers = [transport for transport in self._transports.values() if isinstance(transport, Messenger)]
        # sorting keeps the order of those that are alike
        for messenger in sorted(messengers, key=_is_away)[:1]:
            messenger.tell(persons, text)

    # what transports say -----------------------------------------------------------------------------

    def heard(self, announcement: Announcement, transport: str) -> None:
        """Look at the repositories that an announcement is for."""
        for path, worker in self._workers.items():
            if worker.identity.matches(announcement.repository):
                if announcement.machine != self.machine:
                    self._spoken(announcement, worker)
                # where a machine is makes no work: what it has was announced as a push
                if announcement.kind != "has":
                    self._attention[path].hear(announcement)

    def look(self, transport: str, repository: str | None = None) -> None:
        """Look at one repository (by id) or all."""
        for path, worker in self._workers.items():
            if repository is None or worker.identity.matches(repository):
                self._attention[path].hear(None)

    def connected(self, transport: str) -> None:
        """What was announced while the transport was away was missed, in both directions."""
        untold = self._untold.get(transport, {})
        for announcement in untold.values():
            self._transports[transport].announce(announcement)
        untold.clear()
        for worker in self._workers.values():
            soon(worker.retry)

    # ------------------------------------------------------------------------------------------------

    def changed(self, worker: Worker) -> None:
        """A worker's identity or status is another: subscriptions may have to follow."""
        path = worker.repo.path
        if self._workers.get(path) is not worker:
            return
        self._attention[path].changed()
        wanted = _wanted(worker)
        if wanted != self._wanted.get(path):
            self._wanted[path] = wanted
            if self._due is None:
                # many change together when the relay starts
                self._due = asyncio.get_running_loop().call_soon(self._subscribe)

    def _subscribe(self) -> None:
        self._due = None
        subscriptions = [one for wanted in self._wanted.values() for one in wanted]
        if subscriptions == self._subscriptions:
            return
        self._subscriptions = subscriptions
        for transport in self._transports.values():
            transport.subscribe(subscriptions)
        self._subscribed(subscriptions)


def _is_away(transport: Transport) -> bool:
    return transport.health.state != "online"


def _wanted(worker: Worker) -> list[Subscription]:
    names = sorted(worker.identity.names)
    # a bare repository fetches from nowhere, and so has nothing to hear
    if not names or (worker.seen is not None and worker.seen.bare):
        return []
    channel, urls = _sparkleshare(worker.repo.path), worker.remote.urls
    tracked = worker.remote.tracked if worker.repo.settings.notify_ssh else None
    return [Subscription(name, channel, urls, tracked) for name in names]


def soon(call: Callable[[], None]) -> None:
    """Call within the next moments, at a random one."""
    delay = random.uniform(0, _SPREAD)  # noqa: S311 - spreads load, hides nothing
    asyncio.get_running_loop().call_later(delay, call)


def _sparkleshare(root: Path) -> str | None:
    """The channel name in a tracked `.sparkleshare` file, by which SparkleShare knows a repository."""
    try:
        with (root / _SPARKLESHARE).open("rb") as file:
            text = file.read(200).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) in (40, 64) and all(c in "0123456789abcdef" for c in text) else None
