"""Who is there, and so who is told: worked out from presence, without a connection (docs/protocol.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .base import Peer
from .xmpp_stanza import Presence, tag

# Addresses remembered for the own account, and for another one or the room.
_OWN_ADDRESSES = 10_000
_ADDRESSES = 64


@dataclass(slots=True)
class _Contact:
    presence: Presence
    name: str | None
    heard: float


def bare(address: str) -> str:
    """An address without its resource (RFC 7622)."""
    return address.partition("/")[0]


class Audience:
    """The addresses of the own account and of ``peers``, all of them bare and normalised.

    A server delivers a headline for a bare address to every resource of it that has a priority of 0 or more, but
    none to the sender's own bare address (Prosody). So own resources are told one by one; peers at their bare
    address, and besides those of their machines that have a negative priority.
    """

    def __init__(self, own: str, peers: Iterable[str]) -> None:
        self.own = own
        self.peers = tuple(dict.fromkeys(peer for peer in peers if peer != own))
        #: A room whose occupants are shown, though not told one by one.
        self.room: str | None = None
        #: Our own full address on the current connection.
        self.me: str | None = None
        self._contacts: dict[str, _Contact] = {}
        self._counts: Counter[str] = Counter()

    @property
    def domain(self) -> str:
        """The server of the own account."""
        return self.own.partition("@")[2]

    def believes(self, address: str) -> bool:
        """Whether this account's words count."""
        return bare(address) == self.own or bare(address) in self.peers

    def begin(self, me: str) -> None:
        """A new connection: nobody is known yet."""
        self.me = me
        self._forget()

    def end(self) -> None:
        """The connection is gone."""
        self.me = None
        self._forget()

    def _forget(self) -> None:
        self._contacts.clear()
        self._counts.clear()

    def saw(self, presence: Presence, now: float) -> bool:
        """Take in somebody's presence; ``now`` in seconds since the epoch. Whether it was not known before."""
        address = presence.sender
        if address == self.me or "/" not in address or not (self.believes(address) or bare(address) == self.room):
            return False
        if not presence.available:
            if self._contacts.pop(address, None) is not None:
                self._counts[bare(address)] -= 1
            return False
        old = self._contacts.get(address)
        limit = _OWN_ADDRESSES if bare(address) == self.own else _ADDRESSES
        if old is None:
            if self._counts[bare(address)] >= limit:
                return False
            self._counts[bare(address)] += 1
        name = presence.machine.name if presence.machine else old.name if old else None
        self._contacts[address] = _Contact(presence, name, now)
        return old is None

    def heard(self, address: str, machine: str, now: float) -> None:
        """An announcement came from there."""
        contact = self._contacts.get(address)
        if contact is not None:
            contact.name = machine
            contact.heard = now

    def unmet(self) -> list[str]:
        """Peers of whom nobody has shown up."""
        present = {bare(address) for address in self._contacts}
        return [peer for peer in self.peers if peer not in present]

    def known(self) -> list[str]:
        """All addresses that have shown up."""
        return list(self._contacts)

    def is_machine(self, address: str) -> bool:
        """Whether an autosync machine is there, by its own word."""
        contact = self._contacts.get(address)
        return contact is not None and contact.presence.machine is not None

    def addresses(self) -> list[str]:
        """Where an announcement goes now."""
        return [*self.peers, *(address for address in self._contacts if self.needs_own_copy(address))]

    def needs_own_copy(self, address: str) -> bool:
        """Whether a headline has to be addressed to this one, rather than to its account."""
        contact = self._contacts.get(address)
        if contact is None:
            return False
        if bare(address) == self.own:
            return True
        return bare(address) != self.room and contact.presence.machine is not None and contact.presence.priority < 0

    def machines(self, repositories: Iterable[str] = ()) -> list[Peer]:
        """The other machines, as `status` shows them, with those of ``repositories`` (ids) that they have, too: in the
        room those machines only that are not known otherwise."""
        by_tag = {tag(repository): repository for repository in repositories}
        named = [(address, contact) for address, contact in self._contacts.items() if contact.name is not None]
        told = {contact.name for address, contact in named if bare(address) != self.room}
        return [
            _peer(address, contact, by_tag)
            for address, contact in named
            if bare(address) != self.room or contact.name not in told
        ]


def _peer(address: str, contact: _Contact, by_tag: Mapping[str, str]) -> Peer:
    machine = contact.presence.machine
    common = [name for tag, name in by_tag.items() if machine is not None and tag in machine.repositories]
    return Peer(contact.name or "", address, contact.heard, machine.version if machine else None, tuple(common))
