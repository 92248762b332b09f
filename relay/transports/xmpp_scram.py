"""Logging in: by proof that we know the password (SCRAM), tied to the very TLS connection where the server can do that.

A server names ways to tie (XEP-0440); Python's TLS offers `tls-unique` below TLS 1.3, and what `tls-server-end-point`
is made of. Who sits in between with a certificate of his own, however well that one is signed, cannot pass such a
login on to the real server.
"""

from __future__ import annotations

import hashlib
import secrets
import ssl
from collections.abc import Collection
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from slixmpp.util.sasl import sasl_mech
from slixmpp.util.sasl.client import SASLCancelled
from slixmpp.util.sasl.mechanisms import SCRAM

_PLUS = "-PLUS"
#: The only ways to log in: the password itself is never sent.
MECHANISMS = frozenset(f"SCRAM-{name}{plus}" for name in ("SHA-1", "SHA-256", "SHA-512") for plus in ("", _PLUS))
# Rounds of SCRAM: a server must not keep us busy for minutes.
_ROUNDS_LIMIT = 1_000_000
_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
_BINDINGS = "urn:xmpp:sasl-cb:0"
_UNIQUE, _END_POINT = "tls-unique", "tls-server-end-point"


class Binding(NamedTuple):
    """What ties a login to a TLS connection: a way of RFC 5929, and its value."""

    way: str
    value: bytes


def choose(features: ET.Element, tls: ssl.SSLObject) -> tuple[frozenset[str], Binding | None]:
    """By which mechanisms to log in, and tied to what, given a server's stream features.

    Where server and we have a way to tie in common, nothing that is not tied is left: what refuses the one must not
    get the other.
    """
    found = {element.text or "" for element in features.iterfind(f"{{{_SASL}}}mechanisms/{{{_SASL}}}mechanism")}
    offered = MECHANISMS & found
    tied = frozenset(name for name in offered if name.endswith(_PLUS))
    binding = _binding(_ways(features), tls) if tied else None
    return (tied if binding else offered - tied), binding


def _ways(features: ET.Element) -> set[str]:
    """The ways that a server names; servers that name none mean the one that there was before XEP-0440."""
    element = features.find(f"{{{_BINDINGS}}}sasl-channel-binding")
    if element is None:
        return {_UNIQUE}
    return {child.get("type", "") for child in element.iterfind(f"{{{_BINDINGS}}}channel-binding")}


def _binding(ways: Collection[str], tls: ssl.SSLObject) -> Binding | None:
    # `tls-unique` is not defined for TLS 1.3 (RFC 8446, appendix C.5)
    if _UNIQUE in ways and tls.version() != "TLSv1.3" and (value := tls.get_channel_binding(_UNIQUE)):
        return Binding(_UNIQUE, value)
    if _END_POINT in ways and (certificate := tls.getpeercert(binary_form=True)):
        return Binding(_END_POINT, end_point(certificate))
    return None


def end_point(certificate: bytes) -> bytes:
    """What `tls-server-end-point` stands for (RFC 5929, section 4.1), for a certificate (DER): its hash, with the
    function of its signature, but with SHA-256 for MD5 and SHA-1. Where the signature has no such function, too: the
    RFC leaves that open, and servers do so."""
    try:
        function = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        function = None
    name = function.name if function is not None and function.name not in ("md5", "sha1") else "sha256"
    return hashlib.new(name, certificate).digest()


@sasl_mech(60)
class _Scram(SCRAM):
    """slixmpp's, with ways to tie that it does not have, rounds done by OpenSSL (60 ms less per login) and a limit to
    them, and a nonce that nobody can guess. ``credentials`` has `binding_way` besides."""

    optional_credentials = {"channel_binding", "binding_way"}  # noqa: RUF012 - slixmpp has no other

    def process_1(self, challenge: bytes) -> bytes:
        """The first message (RFC 5802, section 7)."""
        self.step = 1
        self.cnonce = secrets.token_urlsafe(24).encode()
        if self.use_channel_binding:
            flag = b"p=" + self.credentials["binding_way"]
        elif self.security_settings["binding_proposed"]:
            flag = b"n"  # in no way that we have
        else:
            flag = b"y"  # a server that can do it knows by this that its offer was taken out on the way
        self.gs2_header = flag + b",,"
        user = self.saslname(self.credentials["username"])
        self.client_first_message_bare = b"n=" + user + b",r=" + self.cnonce
        return self.gs2_header + self.client_first_message_bare

    def Hi(self, text: Any, salt: bytes, iterations: int) -> bytes:
        if not 0 < iterations <= _ROUNDS_LIMIT:
            raise SASLCancelled("the server wants too many rounds")  # type: ignore[no-untyped-call]
        name = self.hash_name.lower().replace("sha-", "sha")
        return hashlib.pbkdf2_hmac(name, bytes(text), salt, iterations)
