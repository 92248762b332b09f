"""Announcements over a TCP reflector: one connection for all repositories, opened again for as long as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence

from autosync.common.config import Reflector, read_secret

from ..announcement import Announcement, Malformed
from ..reflector import protocol
from .base import Health, Listener, Peer, State, Subscription
from .reflector_link import Endpoint, Link, Trouble, connect
from .reflector_messages import Echo, Known, Look, Untimely, Word
from .reflector_routes import Route, Routes

_log = logging.getLogger(__name__)

#: Seconds after which a silent server is asked for a sign of life, and seconds for its answer: below 30 together.
IDLE = 15.0
PATIENCE = 10.0
#: Longest pause in seconds between two tries to connect.
LONGEST_PAUSE = 30.0
#: Seconds between two lines to SparkleShare's clients, which lose what comes quicker.
SPARKLESHARE_INTERVAL = 1.5
#: Seconds between two hints to look at one repository, however many come.
LOOK_INTERVAL = 1.0

# A connection that held for so many seconds was a good one: the next pause is a short one.
_STEADY = 60.0
# Other machines that are remembered.
_PEERS = 64
# Seconds that `flush` waits at most.
_FLUSH = 5.0


class ReflectorTransport:
    """The transport ``name``. Raises Problem when the address or the secret cannot be used.

    ``machine`` is this machine's name. ``idle``, ``patience`` and ``longest_pause`` are as the constants above.
    """

    def __init__(
        self,
        config: Reflector,
        machine: str,
        *,
        name: str = "reflector",
        idle: float = IDLE,
        patience: float = PATIENCE,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        self._name = name
        self._endpoint = Endpoint.of(config.url, config.ca_file)
        self._machine = machine
        self._idle = idle
        self._patience = patience
        self._longest_pause = longest_pause
        sealer = None
        if config.secret_file is not None:
            from .sealing import Sealer

            sealer = Sealer(read_secret(config.secret_file))
        self._routes = Routes(sealer, config.sparkleshare)
        self._outbox: dict[tuple[str, str], Announcement] = {}
        self._next_sparkleshare = 0.0
        self._timers: dict[bytes, asyncio.TimerHandle] = {}
        self._link: Link | None = None
        self._listener: Listener | None = None
        self._health = Health("offline")
        self._sent = asyncio.Event()
        self._nudge = asyncio.Event()
        self._dropped = 0
        self._skew: Untimely | None = None
        self._peers: dict[str, tuple[float, dict[str, None]]] = {}

    @property
    def name(self) -> str:
        return self._name

    @property
    def health(self) -> Health:
        if self._health.state != "online" or self._skew is None:
            return self._health
        who, minutes = self._skew.machine or "another machine", round(abs(self._skew.seconds) / 60)
        age = f"{minutes} minutes old" if self._skew.seconds > 0 else f"from {minutes} minutes ahead"
        return Health(
            "online",
            f"an announcement of {who} is {age} and was dropped",
            f"set the clocks of both machines (timedatectl); until then {who} is heard at the next poll only",
            self._health.since,
        )

    @property
    def dropped(self) -> int:
        return self._dropped

    def peers(self) -> list[Peer]:
        return [
            Peer(machine, self._endpoint.url, heard, None, tuple(repositories))
            for machine, (heard, repositories) in self._peers.items()
        ]

    async def run(self, listener: Listener) -> None:
        self._listener = listener
        self._become("connecting")
        loop = asyncio.get_running_loop()
        failures = 0
        try:
            while True:
                began = loop.time()
                trouble = await self._session(listener)
                if self._health.state == "online" and loop.time() - began >= _STEADY:
                    failures = 0
                self._become("failed" if trouble.lasting else "offline", trouble)
                self._nudge.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause(failures, self._longest_pause, random.random())):  # noqa: S311
                        await self._nudge.wait()
                failures += 1
        finally:
            self._listener = None
            self._become("offline")

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        added, removed = self._routes.replace(subscriptions)
        if self._link is not None:
            self._link.send(b"".join(protocol.unsubscribe(route.channel) for route in removed))
            self._link.send(b"".join(protocol.subscribe(route.channel) for route in added))

    def announce(self, announcement: Announcement) -> None:
        if self._health.state == "online":
            # of what has to wait for its turn, the newest of each branch is enough
            self._outbox[announcement.repository, announcement.ref] = announcement
            self._pump()

    def retry(self) -> None:
        """As in Resting; a connection that stands is asked for a sign of life."""
        self._nudge.set()
        if self._link is not None:
            self._link.ask()

    async def flush(self) -> None:
        """As in Transport: until the server has dealt with all, but for some seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH):
                while self._outbox:
                    self._sent.clear()
                    await self._sent.wait()
                if self._link is not None:
                    await self._link.pong()

    async def _session(self, listener: Listener) -> Trouble:
        """Connect, and stay connected for as long as it goes; returns why it ended."""
        try:
            link = await connect(self._endpoint, lambda: Link(self._line, self._pump, self._idle, self._patience))
        except Trouble as trouble:
            return trouble
        try:
            try:
                async with asyncio.timeout(self._patience):
                    await self._introduce(link)
            except TimeoutError:
                return Trouble(
                    f"{self._endpoint.url} does not answer as a reflector does",
                    "is url in [reflector] the address of a reflector, and tls:// right for it?",
                )
            if not link.lost.done():
                self._become("online")
                listener.connected(self.name)
                self._pump()
            return await asyncio.shield(link.lost)
        finally:
            self._link = None
            self._rest()
            await link.close()

    async def _introduce(self, link: Link) -> None:
        await link.greeted()
        link.send(protocol.GREETING + protocol.unsubscribe(protocol.EVERYBODY))
        link.send(b"".join(protocol.subscribe(route.channel) for route in self._routes.all()))
        self._link = link
        # the answer proves that the subscriptions hold: what is announced from now on is not missed
        await link.pong()

    def _rest(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._outbox.clear()
        self._sent.set()
        for route in self._routes.all():
            route.rest()

    def _become(self, state: State, trouble: Trouble | None = None) -> None:
        old = self._health
        error, remedy = (trouble.what, trouble.remedy) if trouble else (None, None)
        self._health = old.then(state, error, remedy)
        if self._health is old:
            return
        if trouble is not None:
            _log.warning("%s: %s: %s; trying again and again", self._name, trouble.what, trouble.remedy)
        elif state == "online":
            _log.info("%s: connected to %s", self._name, self._endpoint.url)

    def _pump(self) -> None:
        """Send what waits, as far as it may go out now."""
        link = self._link
        if link is None or self._health.state != "online":
            return
        now = asyncio.get_running_loop().time()
        for key, announcement in [*self._outbox.items()]:
            if link.congested:
                return
            route = self._routes.of(announcement.repository)
            if route.sparkleshare:
                if announcement.kind != "pushed":
                    del self._outbox[key]
                    continue
                if now < self._next_sparkleshare:
                    self._later(b"", self._next_sparkleshare - now, self._pump)
                    continue
                self._next_sparkleshare = now + SPARKLESHARE_INTERVAL
            del self._outbox[key]
            route.echoes += 1
            link.send(protocol.announce(route.channel, route.style.encode(announcement, route.channel, time.time())))
        if not self._outbox:
            self._sent.set()

    def _line(self, link: Link, line: bytes) -> None:
        answer = protocol.parse_answer(line)
        if not isinstance(answer, protocol.Delivery):
            return
        if self._link is None:  # the server's first words; later, the same may be somebody's on a channel
            if line + b"\n" == protocol.BUSY:
                link.fail(Trouble("the server has no room for another client", "raise its --max-connections"))
            return
        route = self._routes.on(answer.channel)
        if route is None or self._listener is None:
            return
        if route.allowance.charge(asyncio.get_running_loop().time()):
            # not even looked into, so that a flood costs next to nothing
            self._dropped += 1
            self._look(route)
            return
        fresh, route.fresh = route.fresh, False
        try:
            word = route.style.decode(route.repositories[0], route.channel, answer.message, time.time())
        except Known:
            self._dropped += not fresh
        except Untimely as untimely:
            # what the server remembered may be old; anything else that is old should not come at all
            if fresh:
                self._look(route)
            else:
                self._dropped += 1
                self._skew = untimely
        except Malformed:
            self._dropped += 1
        else:
            self._hear(route, word)

    def _hear(self, route: Route, word: Word) -> None:
        assert self._listener is not None
        if isinstance(word, Echo):
            if route.echoes:
                route.echoes -= 1
                route.allowance.refund()
            return
        if isinstance(word, Look):
            self._look(route)
            return
        if self._skew is not None and self._skew.machine == word.machine:
            self._skew = None
        if word.machine != self._machine:
            _, repositories = self._peers.pop(word.machine, (0.0, {}))
            self._peers[word.machine] = (time.time(), repositories | {word.repository: None})
            if len(self._peers) > _PEERS:
                del self._peers[next(iter(self._peers))]
        self._listener.heard(word, self.name)

    def _look(self, route: Route) -> None:
        """Pass a hint on at once, and others that follow within LOOK_INTERVAL as one at its end."""
        if route.looked:
            route.again = True
            return
        route.looked = True
        self._later(route.channel, LOOK_INTERVAL, lambda: self._look_again(route))
        if self._listener is not None:
            for repository in route.repositories:
                self._listener.look(self.name, repository)

    def _look_again(self, route: Route) -> None:
        again = route.again
        route.looked = route.again = False
        if again:
            self._look(route)

    def _later(self, key: bytes, delay: float, action: Callable[[], None]) -> None:
        """Do something once, ``delay`` seconds from now, unless that is planned already."""
        if key in self._timers:
            return

        def now() -> None:
            del self._timers[key]
            action()

        self._timers[key] = asyncio.get_running_loop().call_later(delay, now)


def pause(failures: int, longest: float, dice: float) -> float:
    """Seconds until the next try after so many ``failures`` before: doubling up to ``longest``, half of it by chance
    (``dice`` from 0 to 1), so that not all clients come back at once."""
    return float(min(longest, 2.0 ** min(failures, 16))) * (0.5 + dice / 2)
