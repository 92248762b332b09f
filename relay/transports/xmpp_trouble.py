"""Why there is no XMPP connection, in words for people."""

from __future__ import annotations

import os
import ssl

from ..failures import Kind

_BY_ITSELF = "tried again by itself"
_SHOWN = 200


class Trouble(Exception):
    """What is wrong and what to do. ``kind`` AUTH needs the person; ``conflict``: another client took our address."""

    def __init__(self, what: str, remedy: str = _BY_ITSELF, kind: Kind = Kind.OFFLINE, conflict: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.kind = kind
        self.conflict = conflict


def unreachable(where: str, error: object) -> Trouble:
    """No connection, or none with TLS, to ``where`` (`host:port`)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble(
            f"the certificate of the XMPP server {where} is not to be trusted ({error.verify_message})",
            "have it renewed, or name its authority as ca-file in [xmpp]",
            Kind.AUTH,
        )
    if isinstance(error, ssl.SSLError):
        return Trouble(
            f"the XMPP server {where} does not speak TLS as expected ({error.reason or error})",
            "see whether direct-tls and port in [xmpp] go together",
        )
    if isinstance(error, ConnectionRefusedError):
        return Trouble(f"no XMPP server listens on {where}")
    if isinstance(error, TimeoutError):
        return Trouble(f"the XMPP server {where} does not answer")
    if isinstance(error, OSError) and error.errno:
        return Trouble(f"the XMPP server {where} cannot be reached ({os.strerror(error.errno)})")
    return Trouble(f"the XMPP server {where} cannot be reached ({error})")


def login_refused(jid: str, condition: str, tied: bool = False) -> Trouble:
    """The server did not let us in; ``condition`` as in RFC 6120, section 6.5. ``tied``: to this very connection."""
    if condition == "temporary-auth-failure":
        return Trouble(f"the XMPP server cannot check logins at the moment ({condition})")
    if condition in ("account-disabled", "credentials-expired"):
        return Trouble(f"the account {jid} is closed ({condition})", "ask whoever runs the XMPP server", Kind.AUTH)
    return Trouble(
        f"the XMPP server refuses the password of {jid} ({condition})",
        "correct password-file or password-command in [xmpp], or jid"
        + ("; if these are right, somebody between here and the server reads along" if tied else ""),
        Kind.AUTH,
    )


def no_mechanism() -> Trouble:
    """The server offers no way to log in that keeps the password secret."""
    return Trouble(
        "the XMPP server offers no login with SCRAM over TLS",
        "switch SCRAM on at the server; the password is sent in no other way",
        Kind.AUTH,
    )


def stream_ended(condition: str, text: str, address: str) -> Trouble:
    """A stream error of RFC 6120, section 4.9.3; ``address`` is ours."""
    if condition == "conflict" and text and "replaced" not in text.lower():
        # ejabberd's word also for an account that was removed; but servers may say that in other languages
        return Trouble(f"the XMPP server ended the session{_quoted(text)}", conflict=True)
    if condition == "conflict":
        return Trouble(
            f"another program uses the address {address}",
            "this one goes on under another name by itself; are there two machines with one name?",
            conflict=True,
        )
    domain = address.partition("/")[0].partition("@")[2]
    if condition in ("host-unknown", "host-gone"):
        return Trouble(f"the XMPP server does not serve {domain}", "correct jid or host in [xmpp]", Kind.AUTH)
    if condition in ("system-shutdown", "reset"):
        return Trouble("the XMPP server stops or starts again")
    return Trouble(f"the XMPP server ended the connection ({condition}{_quoted(text)})")


def _quoted(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text[:_SHOWN]).strip()
    return f": {shown}" if shown else ""
