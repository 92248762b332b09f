"""Sealing: with a shared secret, a reflector learns neither which repositories there are nor what is said of them.

Keys come from the secret by HKDF-SHA256 (RFC 5869). A channel's name is HMAC-SHA256 of the repository id. A message is
ChaCha20-Poly1305 (RFC 8439) with a random nonce, and the channel's name as associated data, so that a message cannot be
moved to another channel. The time of sealing is inside, and a message is believed once, and within WINDOW of that time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from autosync.common.errors import Problem

from ..announcement import Malformed

#: Shortest secret in characters. A secret is no password: whoever carries the messages may try guesses without end.
SHORTEST = 16
#: Seconds by which the clocks of two machines may differ.
WINDOW = 600.0
#: Longest text that can be sealed into one line, in bytes.
LONGEST = 568

_NONCE = 12
_TAG = 16
_TIME = 8
# Texts are padded to a multiple of this, so that their length says little.
_BLOCK = 192
_SEALED_LIMIT = 4 * (_NONCE + 3 * _BLOCK + _TAG) // 3 + 4
_CONTEXT = b"autosync reflector 1 "


class Forged(Malformed):
    """A message that was not sealed with our secret for this channel."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An authentic message: when it was sealed (seconds since the epoch), and its text."""

    nonce: bytes
    sealed_at: float
    text: bytes


class Sealer:
    """Seals and opens with one secret. Raises Problem when the secret is too short to be one."""

    def __init__(self, secret: str) -> None:
        if len(secret) < SHORTEST:
            raise Problem(
                f"the reflector's secret has {len(secret)} characters, which can be guessed",
                f"make one of {SHORTEST} or more, the same for all machines: openssl rand -base64 32",
            )
        self._names = _derive(secret, b"channels")
        self._cipher = ChaCha20Poly1305(_derive(secret, b"messages"))

    def channel(self, repository: str) -> bytes:
        """The channel of a repository id: 43 letters, digits, dashes and underscores."""
        return _encode(hmac.digest(self._names, repository.encode(), "sha256"))

    def seal(self, channel: bytes, text: bytes, now: float) -> bytes:
        """A message for ``channel`` with ``text`` (at most LONGEST bytes) in it, sealed at ``now``."""
        if len(text) > LONGEST:
            raise ValueError("the text is too long to be sealed")
        plain = int(now * 1000).to_bytes(_TIME, "big") + text
        plain += b"\0" * (-len(plain) % _BLOCK)
        nonce = os.urandom(_NONCE)
        return _encode(nonce + self._cipher.encrypt(nonce, plain, _CONTEXT + channel))

    def open(self, channel: bytes, message: bytes) -> Opened:
        """What a message that came on ``channel`` holds. Raises Forged."""
        data = _decode(message)
        nonce = data[:_NONCE]
        try:
            plain = self._cipher.decrypt(nonce, data[_NONCE:], _CONTEXT + channel)
        except InvalidTag:
            raise Forged("not sealed with our secret") from None
        return Opened(nonce, int.from_bytes(plain[:_TIME], "big") / 1000, plain[_TIME:].rstrip(b"\0"))


Verdict = Literal["new", "known", "untimely"]


class ReplayGuard:
    """Which authentic messages to believe: each once, and within ``window`` seconds of its sealing.

    Remembers at most ``capacity`` messages, the newest; only holders of the secret can fill it.
    """

    def __init__(self, window: float = WINDOW, capacity: int = 10_000) -> None:
        self._window = window
        self._capacity = capacity
        self._seen: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def judge(self, message: Opened, now: float) -> Verdict:
        """Whether to believe ``message`` at ``now`` (seconds since the epoch); a new one is known from then on."""
        if abs(now - message.sealed_at) > self._window:
            return "untimely"
        if message.nonce in self._seen:
            return "known"
        for nonce in [*self._outdated(now)]:
            del self._seen[nonce]
        self._seen[message.nonce] = message.sealed_at
        if len(self._seen) > self._capacity:
            del self._seen[next(iter(self._seen))]
        return "new"

    def _outdated(self, now: float) -> Iterator[bytes]:
        # in order of arrival, which is nearly that of sealing: what is kept too long costs memory only
        for nonce, sealed_at in self._seen.items():
            if now - sealed_at <= self._window:
                return
            yield nonce


def _derive(secret: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_CONTEXT + purpose).derive(secret.encode())


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(message: bytes) -> bytes:
    if len(message) > _SEALED_LIMIT:
        raise Forged("too long")
    try:
        data = base64.b64decode(message + b"=" * (-len(message) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Forged("not in base64") from None
    if len(data) < _NONCE + _TIME + _TAG:
        raise Forged("too short")
    return data
