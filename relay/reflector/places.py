"""Whose turn it is to give way when the reflector is full, so that no stranger can have all places."""

from __future__ import annotations

import ipaddress
import sys
from collections import Counter
from typing import Generic, TypeVar

_Client = TypeVar("_Client")
#: Bits of an IPv6 address that are one customer's (RFC 6177).
_SITE = 64


class Places(Generic[_Client]):
    """``most`` places of one kind (connections, subscriptions). A client may have several; each has an address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[str, dict[_Client, int]] = {}
        self._sums: Counter[str] = Counter()
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether no place is left."""
        return self.taken >= self._most

    def take(self, client: _Client, address: str) -> None:
        """The client has one place more."""
        held = self._held.setdefault(address, {})
        held[client] = held.get(client, 0) + 1  # an old one keeps its rank
        self._sums[address] += 1
        self.taken += 1

    def leave(self, client: _Client, address: str, number: int | None = None) -> None:
        """It has ``number`` places less; None: it is gone."""
        held = self._held.get(address, {})
        had = held.get(client, 0)
        gone = had if number is None else min(number, had)
        if had > gone:
            held[client] = had - gone
        else:
            held.pop(client, None)
        self._sums[address] -= gone
        self.taken -= gone
        if not held:
            self._held.pop(address, None)
            del self._sums[address]

    def giving_way(self, address: str) -> _Client | None:
        """Whose place somebody from ``address`` gets: the newest client's at the address that has most. Nobody's if
        that would only turn the tables."""
        most = max(self._sums, key=self._sums.__getitem__, default=None)
        if most is None or self._sums[most] < self._sums[address] + 2:
            return None
        return next(reversed(self._held[most]))


def of(peer: object) -> str:
    """What counts as one address: an IPv4 address, or the site of an IPv6 one; "" for a local socket."""
    if not isinstance(peer, tuple):
        return ""
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return sys.intern(str(address.ipv4_mapped))
        return sys.intern(str(ipaddress.ip_network((address, _SITE), strict=False)))
    return sys.intern(str(address))
