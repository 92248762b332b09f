"""Secrets that stand in what others print: nothing of them goes into logs, reports or messages to people."""

from __future__ import annotations

import re

# who and password, or a token, before the host (RFC 3986, 3.2.1); an ssh user is no secret
_LOGIN = re.compile(r"(\b(?:https?|ftps?)://)[^/@\s'\"]+@", re.IGNORECASE)
_LOGIN_BYTES = re.compile(_LOGIN.pattern.encode(), re.IGNORECASE)


def masked(text: str) -> str:
    """The text without the logins in its URLs."""
    return _LOGIN.sub(r"\1***@", text)


def masked_bytes(data: bytes) -> bytes:
    """The same for what a process has printed."""
    return _LOGIN_BYTES.sub(rb"\1***@", data)
