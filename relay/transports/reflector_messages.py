"""What machines say to each other over a reflector: three formats of an announcement, as pure rules.

- plain: `1 <kind> <commit> <tag> <ref> <machine>`, or `1 look <tag>`, on the channel named like the repository id;
- sealed: the same text, sealed, on a channel that only holders of the secret can name;
- SparkleShare's: the commit alone, on the channel that the repository's `.sparkleshare` file names.

`<tag>` is chosen at random by each process, so that it knows its own words when the reflector returns them.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..announcement import Announcement, Malformed
from ..reflector.protocol import is_sparkleshare_channel

if TYPE_CHECKING:
    from .sealing import Sealer

#: Longest text in bytes. With it, sealed or not, a line stays below 900 bytes.
TEXT_LIMIT = 560
_COMMIT = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_TAG = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Look:
    """The repository is worth a look: nothing more is known."""


@dataclass(frozen=True, slots=True)
class Echo:
    """Our own word, returned by the reflector."""


Word = Announcement | Look | Echo


class Known(ValueError):
    """An authentic message that was heard before."""


class Untimely(ValueError):
    """An authentic message that is too many ``seconds`` old (negative: ahead), or somebody's clock is wrong."""

    def __init__(self, machine: str | None, seconds: float) -> None:
        super().__init__(f"sealed {seconds:.0f} seconds ago")
        self.machine = machine
        self.seconds = seconds


class Format(Protocol):
    """How announcements of a repository look on the wire."""

    def encode(self, announcement: Announcement, channel: bytes, now: float) -> bytes:
        """The message for ``channel`` at ``now``, in seconds since the epoch."""

    def decode(self, repository: str, channel: bytes, message: bytes, now: float) -> Word:
        """What a message means that came on ``channel``, which stands for ``repository``. Raises Malformed, Known
        or Untimely."""


class PlainFormat:
    """For a reflector that one trusts, as everybody who reaches it can read and speak."""

    def __init__(self, tag: str) -> None:
        self._tag = tag

    def encode(self, announcement: Announcement, channel: bytes, now: float) -> bytes:
        return write(announcement, self._tag)

    def decode(self, repository: str, channel: bytes, message: bytes, now: float) -> Word:
        return read(message, repository, self._tag)


class SealedFormat:
    """For any reflector."""

    def __init__(self, tag: str, sealer: Sealer) -> None:
        from .sealing import ReplayGuard

        self._tag = tag
        self._sealer = sealer
        self._guard = ReplayGuard()

    def encode(self, announcement: Announcement, channel: bytes, now: float) -> bytes:
        return self._sealer.seal(channel, write(announcement, self._tag), now)

    def decode(self, repository: str, channel: bytes, message: bytes, now: float) -> Word:
        opened = self._sealer.open(channel, message)
        word = read(opened.text, repository, self._tag)
        if isinstance(word, Echo):
            return word
        verdict = self._guard.judge(opened, now)
        if verdict == "known":
            raise Known
        if verdict == "untimely":
            raise Untimely(word.machine if isinstance(word, Announcement) else None, now - opened.sealed_at)
        return word


class SparkleShareFormat:
    """For SparkleShare's clients, which announce the commit that they pushed and use it for nothing."""

    #: How many own commits of a channel are remembered; SparkleShare's client remembers as many.
    MEMORY = 10

    def __init__(self) -> None:
        self._own: deque[tuple[bytes, bytes]] = deque(maxlen=self.MEMORY)

    def encode(self, announcement: Announcement, channel: bytes, now: float) -> bytes:
        commit = announcement.commit.encode()
        self._own.append((channel, commit))
        return commit

    def decode(self, repository: str, channel: bytes, message: bytes, now: float) -> Word:
        if not _COMMIT.fullmatch(message):
            raise Malformed("not a commit")
        return Echo() if (channel, message) in self._own else Look()


def write(announcement: Announcement, tag: str) -> bytes:
    """The text of an announcement; one that cannot be said in TEXT_LIMIT bytes of UTF-8 becomes a mere hint to look."""
    one = announcement
    try:
        text = f"1 {one.kind} {one.commit} {tag} {one.ref} {one.machine}".encode()
    except UnicodeEncodeError:  # a branch whose name is not UTF-8
        text = b""
    return text if 0 < len(text) <= TEXT_LIMIT else f"1 look {tag}".encode()


def read(text: bytes, repository: str, tag: str) -> Word:
    """What a text says of ``repository``. Raises Malformed."""
    if len(text) > TEXT_LIMIT:
        raise Malformed("too long")
    try:
        fields = text.decode().split(" ", 5)
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    match fields:
        case ["1", "look", sender]:
            word: Word = Look()
        case ["1", kind, commit, sender, ref, machine]:
            word = Announcement(kind, repository, ref, commit, machine)
        case _:
            raise Malformed("not an announcement")
    if not _TAG.fullmatch(sender):
        raise Malformed("tag is not well-formed")
    return Echo() if sender == tag else word


def sparkleshare_channel(content: str | None) -> bytes | None:
    """The channel that a `.sparkleshare` file names; None when there is no such file, or no such name in it."""
    name = (content or "").strip().encode("ascii", "replace")
    return name if is_sparkleshare_channel(name) else None
