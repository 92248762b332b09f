"""Servers, and people between us and the server, that do not keep to the rules."""

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
from xml.etree import ElementTree as ET

import pytest

from autosync.common.config import Xmpp
from autosync.relay.transports.xmpp import Limits
from autosync.relay.transports.xmpp_stanza import headline
from tests.support.certificates import Authority
from tests.support.wait import eventually
from tests.support.xmpp import Machine, announcement

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

    async def scram(self, rounds: int = 4096, prove: bool = True) -> None:
        """RFC 5802, the server's part."""
        await self.stream(mechanisms("SCRAM-SHA-1", "PLAIN"))
        first = base64.b64decode((await self.hear("<auth[^>]*>([^<]*)</auth>"))[1]).decode()
        bare = first.split(",", 2)[2]
        nonce = bare.split("r=")[1] + "server"
        salt = b"salt"
        challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i={rounds}"
        self.say(f"<challenge {SASL}>{base64.b64encode(challenge.encode()).decode()}</challenge>")
        final = base64.b64decode((await self.hear("<response[^>]*>([^<]*)</response>"))[1]).decode()
        salted = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), salt, rounds)
        text = f"{bare},{challenge},{final.rsplit(',p=', 1)[0]}".encode()
        signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha1"), text, "sha1")
        value = base64.b64encode(b"v=" + base64.b64encode(signature)).decode() if prove else ""
        self.say(f"<success {SASL}>{value}</success>")

    async def bind(self, address: str = "") -> None:
        await self.stream(BIND)
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def play(authority, tmp_path):
    """Run a machine against a part until ``goal(machine, server)``; returns the machine."""

    def run(part: Part, goal: Callable[..., object], tls: bool = True) -> Machine:
        password = tmp_path / "password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        context = None
        if tls:
            authority.issue(tmp_path / "c.pem", tmp_path / "k.pem", "localhost")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")

        async def scenario() -> Machine:
            async with Server(part, context) as server:
                config = Xmpp.model_validate(
                    {
                        "jid": "user@localhost",
                        "password-file": str(password),
                        "host": "127.0.0.1",
                        "port": server.port,
                        "ca-file": str(authority.file),
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

    return run


def failed(machine: Machine, server: Server) -> bool:
    return machine.state == "failed"


def offline(machine: Machine, server: Server) -> bool:
    return machine.state == "offline"


def test_the_fake_server_can_be_logged_in_to(play):
    async def part(talk: Talk) -> None:
        await talk.scram()
        await talk.bind()

    play(part, lambda machine, server: machine.state == "online")


def test_it_says_goodbye(play):
    said = []

    async def part(talk: Talk) -> None:
        await talk.scram()
        await talk.bind()
        said.append(await talk.everything())

    async def farewell(machine: Machine) -> None:
        await eventually(lambda: machine.state == "online", "the session")
        await machine.stop()
        await eventually(lambda: said, "the end of the stream")

    play(part, farewell)
    assert re.search("<presence[^>]*type=['\"]unavailable['\"].*</stream:stream>", said[0], re.DOTALL)


def test_the_password_is_not_sent_in_plain_text_even_over_tls(play):
    said = []

    async def part(talk: Talk) -> None:
        await talk.stream(mechanisms("PLAIN", "LOGIN", "ANONYMOUS", "CRAM-MD5"))
        said.append(await talk.everything())

    play(part, lambda m, s: failed(m, s) and said)
    assert "<auth" not in said[0]


def test_a_connection_without_tls_is_not_logged_in_to(play):
    """Somebody on the way took the offer of STARTTLS out."""
    said = []

    async def part(talk: Talk) -> None:
        await talk.stream(mechanisms("SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "ANONYMOUS"))
        said.append(await talk.everything())

    play(part, lambda m, s: failed(m, s) and said, tls=False)
    assert "<auth" not in said[0]


def test_nothing_is_heard_before_the_session(play):
    stanza = ET.tostring(headline("user@localhost/x", announcement()), encoding="unicode")
    stanza = stanza.replace("type=", "from='user@localhost/other' type=", 1)

    async def part(talk: Talk) -> None:
        await talk.stream(f"<stream:features/>{stanza}{stanza}")

    machine = play(part, offline, tls=False)
    assert not machine.recorder.announcements


def test_a_session_without_a_login_is_refused(play):
    async def part(talk: Talk) -> None:
        await talk.bind()

    machine = play(part, offline)
    assert machine.recorder.connections == 0


def test_a_session_of_somebody_else_is_refused(play):
    async def part(talk: Talk) -> None:
        await talk.scram()
        await talk.bind("mallory@localhost/x")

    machine = play(part, offline)
    assert machine.recorder.connections == 0


def test_a_server_that_does_not_know_the_password_is_refused(play):
    async def part(talk: Talk) -> None:
        await talk.scram(prove=False)
        await talk.bind()

    machine = play(part, offline)
    assert machine.recorder.connections == 0


def test_a_server_cannot_keep_us_busy_with_rounds(play):
    async def part(talk: Talk) -> None:
        await talk.scram(rounds=300_000_000)

    play(part, offline)


@pytest.mark.parametrize("challenge", ["", "bm9uc2Vuc2U=", "!!!", base64.b64encode(b"r=,s=,i=x").decode()])
def test_malformed_challenges(play, challenge):
    async def part(talk: Talk) -> None:
        await talk.stream(mechanisms("SCRAM-SHA-1"))
        await talk.hear("<auth")
        talk.say(f"<challenge {SASL}>{challenge}</challenge>")

    play(part, offline)


@pytest.mark.parametrize(
    "text",
    [
        "\0\0\0 not XML at all",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]>" + STREAM + "<message>&a;</message>",
        STREAM + "<a>" * 100_000,
        STREAM + "</stream:stream>",
        STREAM
        + "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>127.0.0.1:1</see-other-host>"
        + "</stream:error>",
        STREAM + "<stream:error/>",
        STREAM + "<iq/><presence/><message/><iq type='result'/><features/>",
    ],
    ids=["binary", "http", "doctype", "deep", "end", "redirect", "error", "empty"],
)
@pytest.mark.parametrize("tls", [True, False])
def test_nonsense(play, text, tls):
    async def part(talk: Talk) -> None:
        talk.say(text)

    play(part, lambda m, s: offline(m, s) and s.connections >= 2, tls=tls)


def test_a_stanza_without_end_is_not_kept(play):
    async def part(talk: Talk) -> None:
        talk.say(STREAM + "<message><body>")
        for _ in range(2000):
            talk.say("x" * 1000)
            await talk.sent()

    play(part, lambda m, s: "512 KiB" in (m.transport.health.error or ""))


def test_absurd_stanzas_within_a_session_do_not_end_it(play):
    good = ET.tostring(headline("user@localhost/x", announcement()), encoding="unicode")
    sender = "from='user@localhost/other'"
    machine = "<machine xmlns='urn:autosync:0'/>"

    async def part(talk: Talk) -> None:
        await talk.scram()
        await talk.bind()
        talk.say(f"<message {sender}>{'<a>' * 40_000}{'</a>' * 40_000}</message>")
        talk.say(f"<presence {sender}>{machine * 1000}</presence>")
        talk.say(
            "<iq/><iq type='get'/><iq type='set' id=''/><iq type='result' id='x'/><message/><presence/><x xmlns='y'/>"
        )
        talk.say(
            "<message from='@/'/><message from='\U0001f600@\u0130/\u202e'/><presence from='///' type='subscribe'/>"
        )
        talk.say(f"<message type='error' {sender}>{good}</message>")
        talk.say(good.replace("type=", f"{sender} type=", 1))

    played = play(part, lambda m, s: m.recorder.commits)
    assert played.recorder.commits == [announcement().commit]
    assert played.recorder.connections == 1


def test_a_refused_binding_leads_to_another_name(play):
    asked = []

    async def part(talk: Talk) -> None:
        await talk.scram()
        await talk.stream(BIND)
        request = await talk.hear("<iq [^>]*id=['\"]([^'\"]*)['\"].*?<resource>([^<]*)</resource>.*?</iq>")
        asked.append(request[2])
        talk.say(
            f"<iq type='error' id='{request[1]}'><error type='modify'>"
            "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )

    play(part, lambda m, s: len(asked) >= 2)
    assert asked[0] != asked[1]
    assert asked[1].startswith(asked[0])
