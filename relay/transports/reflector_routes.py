"""Which channel stands for which repositories, in which format, and how much of it is listened to."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..reflector.rates import Bucket
from .base import Subscription
from .reflector_messages import Format, PlainFormat, SealedFormat, SparkleShareFormat, sparkleshare_channel

if TYPE_CHECKING:
    from .sealing import Sealer

#: What is listened to on one channel: so many messages a second, and so many at once.
RATE = 20.0
BURST = 40.0


class Route:
    """A channel, and what has been going on there on this connection."""

    __slots__ = ("again", "allowance", "channel", "echoes", "fresh", "looked", "repositories", "style")

    def __init__(self, channel: bytes, style: Format) -> None:
        self.channel = channel
        self.style = style
        self.repositories: list[str] = []
        self.allowance = Bucket(RATE, BURST)
        self.rest()

    def rest(self) -> None:
        """The connection is gone."""
        #: The next message is the first since we subscribed, and so may be an old one that the server remembered.
        self.fresh = True
        #: Own messages that the server has not returned yet.
        self.echoes = 0
        #: A look was asked for a moment ago, and again since.
        self.looked = self.again = False

    @property
    def sparkleshare(self) -> bool:
        """Whether SparkleShare's clients listen here."""
        return isinstance(self.style, SparkleShareFormat)


class Routes:
    """The routes of all repositories of interest. With a ``sealer``, all are sealed; with ``sparkleshare``, a
    repository that has a `.sparkleshare` file goes by that."""

    def __init__(self, sealer: Sealer | None = None, sparkleshare: bool = False) -> None:
        tag = secrets.token_hex(4)
        self._sealer = sealer
        self._style: Format = SealedFormat(tag, sealer) if sealer else PlainFormat(tag)
        self._sparkleshare = SparkleShareFormat() if sparkleshare else None
        self._subscriptions: list[Subscription] = []
        self._routes: dict[bytes, Route] = {}
        self._by_repository: dict[str, Route] = {}

    def replace(self, subscriptions: Sequence[Subscription]) -> tuple[list[Route], list[Route]]:
        """From now on these are of interest; returns the routes that are new, and those that have ended."""
        if subscriptions == self._subscriptions:  # it is repeated whenever any repository changes
            return [], []
        self._subscriptions = [*subscriptions]
        before, self._routes, self._by_repository = self._routes, {}, {}
        for subscription in subscriptions:
            channel, style = self._place(subscription)
            route = self._routes.get(channel) or before.get(channel) or Route(channel, style)
            if channel not in self._routes:
                self._routes[channel] = route
                route.repositories = []
            if subscription.repository not in route.repositories:
                route.repositories.append(subscription.repository)
            if route.sparkleshare or subscription.repository not in self._by_repository:
                self._by_repository[subscription.repository] = route
        return (
            [route for channel, route in self._routes.items() if channel not in before],
            [route for channel, route in before.items() if channel not in self._routes],
        )

    def all(self) -> list[Route]:
        """The routes of all subscriptions."""
        return list(self._routes.values())

    def on(self, channel: bytes) -> Route | None:
        """The route of a channel that we subscribed to."""
        return self._routes.get(channel)

    def of(self, repository: str) -> Route:
        """Where to announce a repository, subscribed to or not."""
        known = self._by_repository.get(repository)
        return known or Route(*self._place(Subscription(repository)))

    def _place(self, subscription: Subscription) -> tuple[bytes, Format]:
        if self._sparkleshare:
            channel = sparkleshare_channel(subscription.sparkleshare)
            if channel is not None:
                return channel, self._sparkleshare
        if self._sealer:
            return self._sealer.channel(subscription.repository), self._style
        return subscription.repository.encode(), self._style
