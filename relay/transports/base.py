"""What the relay knows of a transport. Several run at once, each with its own health; none can delay another."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from ..announcement import Announcement
from ..remote import Tracked

#: `failed` needs the person (wrong password, refused certificate); the others heal by themselves.
State = Literal["offline", "connecting", "online", "failed"]


@dataclass(frozen=True, slots=True)
class Health:
    """How a transport is; ``since`` in seconds since the epoch, ``error`` and ``remedy`` plain sentences. One that is
    ``quiet`` was only tried on the chance, and is not worth a word while it does not work."""

    state: State
    error: str | None = None
    remedy: str | None = None
    since: float = field(default_factory=time.time)
    quiet: bool = False

    def then(self, state: State, error: str | None = None, remedy: str | None = None, quiet: bool = False) -> Health:
        """How it is after this: the same where nothing is new, and ``since`` as it was while the state is."""
        if (self.state, self.error, self.quiet) == (state, error, quiet):
            return self
        return Health(state, error, remedy, self.since if self.state == state else time.time(), quiet)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another machine as the transport knows it: its word of its name and version, ``last_heard`` in seconds since
    the epoch, and the ids of ``repositories`` that it is known to have in common with this one."""

    name: str
    address: str
    last_heard: float | None = None
    version: str | None = None
    repositories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """A repository to hear about: its id, the content of its `.sparkleshare` file, if it has one, the URLs of its
    upstream, as dvcs-autosync names it, and its branch on an ssh server, if that is where it is."""

    repository: str
    sparkleshare: str | None = None
    urls: tuple[str, ...] = ()
    tracked: Tracked | None = None


class Listener(Protocol):
    """What a transport tells the relay. Called in the event loop; returns at once."""

    def heard(self, announcement: Announcement, transport: str) -> None:
        """A well-formed announcement from somebody to be believed."""

    def look(self, transport: str, repository: str | None = None) -> None:
        """A hint without a commit: one repository, or None for all, is worth a look."""

    def connected(self, transport: str) -> None:
        """The transport is online (again): what was announced meanwhile was missed."""


class Transport(Protocol):
    """One way to carry announcements."""

    @property
    def name(self) -> str:
        """`xmpp`, `reflector`, `ssh server`: as shown in `status`, another for each."""

    @property
    def health(self) -> Health: ...

    @property
    def dropped(self) -> int:
        """Incoming messages that were malformed, forged or over a limit."""

    async def run(self, listener: Listener) -> None:
        """Connect, listen, reconnect with capped and jittered pauses, until cancelled. Trouble with the network
        or the server never ends it; it shows in ``health`` and is logged once when it changes."""

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """The repositories of interest from now on, all of them. At any time, also before ``run``."""

    def announce(self, announcement: Announcement) -> None:
        """Hand an announcement over. Never waits and never fails: while offline it is dropped, as whoever comes
        back looks for itself."""

    async def flush(self) -> None:
        """Wait until what was announced has left this process (for one-shot runs)."""

    def peers(self) -> list[Peer]:
        """The other machines that can be told at the moment, as far as the transport can know."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something a person may ask for over a transport. ``run`` returns words for the person; raises Problem."""

    name: str
    title: str
    run: Callable[[], Awaitable[str]]


@runtime_checkable
class Attendant(Protocol):
    """A transport that takes commands from people."""

    def offer(self, commands: Sequence[Command], persons: Sequence[str]) -> None:
        """What may be asked for from now on, by the person whose account it is and by these addresses."""


@runtime_checkable
class Messenger(Protocol):
    """A transport that reaches people too."""

    def tell(self, persons: Sequence[str], text: str) -> None:
        """Send a readable message to each address. Never waits and never fails; while offline, the newest few are
        kept and sent when the transport is back."""


@runtime_checkable
class Resting(Protocol):
    """A transport that pauses between its attempts to connect."""

    def retry(self) -> None:
        """The network may be back: end a pause."""
