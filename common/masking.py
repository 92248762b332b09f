"""Secrets that stand in what others print: nothing of them goes into logs, reports or messages to people."""

from __future__ import annotations

import re

# What stands before the last `@` of the authority of a URL (RFC 3986, 3.2), and in git's words for an unknown host.
_LOGIN = re.compile(r"(://|(?<=unable to look up ))([^\s/?#]*)@", re.ASCII)
# Over ssh the name is no secret, and nothing works without it. Elsewhere a token may stand in its place.
_NAMED = ("ssh", "ssh+git")


def masked(text: str) -> str:
    """The text without the passwords and tokens in its URLs, which can be used as they are then."""
    return _LOGIN.sub(_shown, text) if "@" in text else text


def masked_bytes(data: bytes) -> bytes:
    """The same for what a process has printed."""
    return masked(data.decode("latin-1")).encode("latin-1")


def _shown(found: re.Match[str]) -> str:
    mark, login = found[1], found[2]
    scheme = found.string[max(0, found.start() - 10) : found.start()].lower()
    return f"{mark}{login.partition(':')[0]}@" if mark and scheme.endswith(_NAMED) else mark
