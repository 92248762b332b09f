"""XMPP servers that play a part, and need not keep to the rules."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import inspect
import re
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from autosync.common.config import Xmpp
from autosync.relay.transports.xmpp import Limits

from .certificates import Authority
from .wait import eventually
from .xmpp import Machine

PASSWORD = "geheim"
STREAM = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    " id='1' from='localhost' version='1.0'>"
)
SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
BIND = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"


def mechanisms(*names: str) -> str:
    inside = "".join(f"<mechanism>{name}</mechanism>" for name in names)
    return f"<stream:features><mechanisms {SASL}>{inside}</mechanisms></stream:features>"


class Talk:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = ""

    def say(self, text: str) -> None:
        self._writer.write(text.encode())

    async def sent(self) -> None:
        await self._writer.drain()
        # drain() need not let others run
        await asyncio.sleep(0)

    async def hear(self, pattern: str) -> re.Match[str]:
        """Wait for something that matches, and forget everything up to it."""
        while not (found := re.search(pattern, self._buffer, re.DOTALL)):
            data = await self._reader.read(65536)
            if not data:
                raise ConnectionResetError
            self._buffer += data.decode()
        self._buffer = self._buffer[found.end() :]
        return found

    async def everything(self) -> str:
        """What comes until the client hangs up."""
        with contextlib.suppress(ConnectionError):
            self._buffer += (await self._reader.read(-1)).decode()
        return self._buffer

    async def stream(self, features: str) -> None:
        await self.hear("<stream:stream[^>]*>")
        self.say(STREAM + features)

    async def scram(self, rounds: int = 4096, prove: bool = True, offer: str = "", tied_to: bytes | None = None) -> str:
        """RFC 5802, the server's part; ``offer`` are stream features, ``tied_to`` what the login has to be tied to.

        Returns the header of the client's first message, which says how it ties.
        """
        await self.stream(offer or mechanisms("SCRAM-SHA-1", "PLAIN"))
        first = base64.b64decode((await self.hear("<auth[^>]*>([^<]*)</auth>"))[1]).decode()
        header, bare = "".join(re.findall("^[^,]*,[^,]*,", first)), first.split(",", 2)[2]
        nonce = bare.split("r=")[1] + "server"
        salt = b"salt"
        challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i={rounds}"
        self.say(f"<challenge {SASL}>{base64.b64encode(challenge.encode()).decode()}</challenge>")
        final = base64.b64decode((await self.hear("<response[^>]*>([^<]*)</response>"))[1]).decode()
        if base64.b64decode(final.split(",")[0][2:]) != header.encode() + (tied_to or b""):
            self.say(f"<failure {SASL}><malformed-request/></failure>")
            return header
        salted = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), salt, rounds)
        text = f"{bare},{challenge},{final.rsplit(',p=', 1)[0]}".encode()
        signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha1"), text, "sha1")
        value = base64.b64encode(b"v=" + base64.b64encode(signature)).decode() if prove else ""
        self.say(f"<success {SASL}>{value}</success>")
        return header

    async def bind(self, address: str = "", more: str = "") -> None:
        """RFC 6120, section 7, for the wanted address or another one; ``more`` are further stream features."""
        await self.stream(BIND.replace("</stream", f"{more}</stream"))
        asked = await self.hear("<iq [^>]*id=['\"]([^'\"]*)['\"].*?<resource>([^<]*)</resource>.*?</iq>")
        jid = address or f"user@localhost/{asked[2]}"
        self.say(
            f"<iq type='result' id='{asked[1]}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<jid>{jid}</jid></bind></iq>"
        )


Part = Callable[[Talk], Awaitable[None]]


class Server:
    """Plays a part on each connection. ``part`` may return to leave the connection open."""

    def __init__(self, part: Part, context: ssl.SSLContext | None) -> None:
        self._part = part
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer)
        try:
            with contextlib.suppress(ConnectionError):
                await self._part(talk)
                await talk.everything()
        finally:
            writer.transport.abort()


class Stage:
    """Runs machines against servers that play a part; their certificate is in ``folder``."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self._folder = folder
        self._authority = authority
        self._certificate = folder / "c.pem"
        authority.issue(self._certificate, folder / "k.pem", "localhost")

    @property
    def certificate(self) -> bytes:
        """What the server shows (DER)."""
        return ssl.PEM_cert_to_DER_cert(self._certificate.read_text())

    def __call__(self, part: Part, goal: Callable[..., object], tls: bool = True) -> Machine:
        """Run a machine against a part until ``goal(machine, server)``; returns the machine."""
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate, self._folder / "k.pem")

        async def scenario() -> Machine:
            async with Server(part, context) as server:
                config = Xmpp.model_validate(
                    {
                        "jid": "user@localhost",
                        "password-file": str(password),
                        "host": "127.0.0.1",
                        "port": server.port,
                        "ca-file": str(self._authority.file),
                        "direct-tls": tls,
                    }
                )
                machine = Machine(config, "laptop", Limits(0.3, 0.5, 1.0, 1.0))
                try:
                    if inspect.iscoroutinefunction(goal):
                        await goal(machine)
                    else:
                        await eventually(lambda: goal(machine, server), "the goal")
                finally:
                    await machine.stop()
                return machine

        return asyncio.run(scenario())


def failed(machine: Machine, server: Server) -> bool:
    return machine.state == "failed"


def offline(machine: Machine, server: Server) -> bool:
    return machine.state == "offline"
