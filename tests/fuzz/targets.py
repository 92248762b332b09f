"""Everything that takes bytes from elsewhere, each as a function of bytes that fails when something is wrong.

hypothesis calls them in every test run (test_targets.py), atheris for as long as one likes (tests/fuzz/run).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

from autosync.common.config import Xmpp
from autosync.common.control import ControlServer
from autosync.relay import ssh_protocol
from autosync.relay.announcement import Announcement, Malformed, is_branch, is_commit
from autosync.relay.listen_refs import _Lines
from autosync.relay.notes import parse_push
from autosync.relay.reflector import protocol
from autosync.relay.reflector.hub import Hub, LastWords
from autosync.relay.remote import parse as parse_url
from autosync.relay.transports.reflector_messages import (
    Echo,
    Known,
    Look,
    PlainFormat,
    SealedFormat,
    SparkleShareFormat,
    Untimely,
)
from autosync.relay.transports.sealing import Forged, Sealer
from autosync.relay.transports.xmpp_audience import Audience, bare
from autosync.relay.transports.xmpp_session import Memory, Session
from autosync.relay.transports.xmpp_stanza import CLIENT, Machine

OWN, ME, PEER = "rene@example.org", "rene@example.org/me", "anton@example.net"
_CHANNEL, _REPOSITORY, _NOW = b"channel", "notes", 1_800_000_000.0
_SEALER = Sealer("a secret that nobody has to guess")
_PLAIN, _SPARKLESHARE = PlainFormat("00000000"), SparkleShareFormat()


def _well_formed(word: object) -> None:
    assert isinstance(word, (Announcement, Look, Echo))
    if isinstance(word, Announcement):
        assert word.repository == _REPOSITORY
        assert is_branch(word.ref)
        assert is_commit(word.commit)


class _Line:
    """An XMPP connection that takes everything and answers nothing."""

    me, congested = ME, False

    class lost:
        @staticmethod
        def done() -> bool:
            return False

    def __init__(self) -> None:
        self.said: list[ET.Element] = []

    def say(self, stanza: ET.Element) -> None:
        self.said.append(ET.fromstring(ET.tostring(stanza)))


class _Ear:
    def heard(self, announcement: Announcement, transport: str) -> None:
        assert isinstance(announcement, Announcement)

    def look(self, transport: str, repository: str | None = None) -> None:
        assert repository is None or repository == _REPOSITORY

    def connected(self, transport: str) -> None: ...


def stanza(data: bytes) -> None:
    """A stanza, from whom it claims to be, to a session."""
    try:
        inside = data.decode()
        root = ET.fromstring(f"<stream xmlns='{CLIENT}'>{inside}</stream>")
    except (UnicodeDecodeError, ET.ParseError, ValueError):
        return
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_hear(list(root)[:5]))
    finally:
        loop.close()


async def _hear(stanzas: list[ET.Element]) -> None:
    config = Xmpp.model_validate(
        {"jid": OWN, "password-command": ["true"], "peers": [PEER], "dvcs-autosync": True, "room": "r@c.example.org"}
    )
    memory, line = Memory(by_url={"url": {_REPOSITORY}}), _Line()
    session = Session(config, Machine("laptop", "1"), Audience(OWN, [PEER]), memory, _Ear(), lambda: None)
    session.begin(line)  # type: ignore[arg-type]
    for one in stanzas:
        session.heard(one)
    await session.end()
    trusted = {OWN, PEER, "r@c.example.org", "example.org", ""}
    for said in line.said:
        assert bare(said.get("to") or "") in trusted


def server_lines(data: bytes) -> None:
    """Lines from a client to a reflector: cut, understood, carried out."""
    lines, hub, last = protocol.Lines(), Hub[int](8), LastWords(2048)
    for start in range(0, len(data), 97):
        lines.feed(data[start : start + 97])
        try:
            while (line := lines.take()) is not None:
                request = protocol.parse_request(line)
                match request.verb if request else None:
                    case "subscribe":
                        hub.add(len(line) % 4, request.channel)
                    case "unsubscribe":
                        hub.remove(len(line) % 4, request.channel)
                    case "announce":
                        assert protocol.delivery(request.channel, request.message).count(b"\n") == 1
                        last.put(request.channel, request.message)
        except protocol.LineTooLong:
            return
    assert hub.subscriptions <= 16
    for reader in range(4):
        hub.forget(reader)
    assert (hub.subscriptions, hub.channels) == (0, 0)


def client_lines(data: bytes) -> None:
    """Lines from a reflector to a client."""
    for line in data.split(b"\n"):
        answer = protocol.parse_answer(line)
        if not isinstance(answer, protocol.Delivery):
            continue
        for style in (_PLAIN, _SPARKLESHARE):
            try:
                _well_formed(style.decode(_REPOSITORY, _CHANNEL, answer.message, _NOW))
            except Malformed:
                pass


def sealed(data: bytes) -> None:
    """A sealed message from one who has not the secret, and what is inside from one who has."""
    try:
        _SEALER.open(_CHANNEL, data)
        raise AssertionError("opened what was never sealed")
    except Forged:
        pass
    if len(data) > 560:
        return
    message = _SEALER.seal(_CHANNEL, data, _NOW)
    style = SealedFormat("00000000", _SEALER)
    try:
        word = style.decode(_REPOSITORY, _CHANNEL, message, _NOW)
    except Malformed:
        return
    _well_formed(word)
    if not isinstance(word, Echo):
        try:
            style.decode(_REPOSITORY, _CHANNEL, message, _NOW)
            raise AssertionError("believed twice")
        except Known:
            pass
        try:
            SealedFormat("00000000", _SEALER).decode(_REPOSITORY, _CHANNEL, message, _NOW + 1e5)
            raise AssertionError("believed late")
        except Untimely:
            pass


def note(data: bytes) -> None:
    """A note that a hook, or somebody else, has left."""
    found = parse_push(data)
    if found is not None:
        assert 0 < found.pid < 10**10
        assert all(is_commit(oid) and ref.startswith("refs/heads/") for oid, ref in found.updates)


def control(data: bytes) -> None:
    """A request on the control socket."""
    asked: list[object] = []

    async def handler(request: dict[str, object], progress: Callable[[str], None]) -> dict[str, object]:
        asked.append(request.get("paths"))
        return {}

    server = ControlServer(Path("/nowhere"), {"status": handler, "sync": handler}, Path("/nowhere"))
    loop = asyncio.new_event_loop()
    try:
        answer = loop.run_until_complete(server._answer(data, lambda _: None))
    finally:
        loop.close()
    assert set(answer) in ({"result"}, {"error", "remedy"})
    json.dumps(answer)


def ssh_requests(data: bytes) -> None:
    """Lines from a client to `autosync-relay --listen-refs`."""
    lines = _Lines()
    for start in range(0, len(data), 61):
        for line in lines.cut(data[start : start + 61]):
            said = ssh_protocol.parse_request(line)
            if isinstance(said, ssh_protocol.Watch):
                assert is_branch(said.ref)
                assert 0 < len(said.path) <= 4096
                assert "\0" not in said.path
                assert ssh_protocol.parse_request(ssh_protocol.write(said)) == said
    assert len(lines._held) < ssh_protocol.LINE_LIMIT


def ssh_answers(data: bytes) -> None:
    """Lines from `autosync-relay --listen-refs`, or what else a server runs."""
    for line in data.split(b"\n"):
        said = ssh_protocol.parse_answer(line)
        if isinstance(said, ssh_protocol.Report):
            assert said.commit is None or is_commit(said.commit)
        elif isinstance(said, ssh_protocol.Hello):
            assert said.name.isprintable()
            assert said.version.isprintable()


def url(data: bytes) -> None:
    """A remote's URL that may name a login."""
    found = parse_url(data.decode(errors="surrogateescape"))
    if found is not None:
        assert not found[0].destination.startswith("-")
        assert not set(found[0].destination) & set(" \t\n;&|$`'\"<>()\\")


TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function
    for function in (
        stanza,
        server_lines,
        client_lines,
        sealed,
        note,
        control,
        ssh_requests,
        ssh_answers,
        url,
    )
}

_OID = "c0ffee00" * 5
_WATCH = b'{"watch": 1, "path": "/srv/a.git", "ref": "refs/heads/main"}\n'
#: Well-formed inputs: what is nearly one finds more than noise.
SEEDS: dict[str, list[bytes]] = {
    "stanza": [
        f"<message from='{OWN}/x' type='headline'><announcement xmlns='urn:autosync:0' kind='pushed' "
        f"repository='notes' ref='refs/heads/main' commit='{_OID}' machine='desk'/></message>".encode(),
        f"<presence from='{PEER}/x'><priority>-1</priority><machine xmlns='urn:autosync:0' name='a' version='1' "
        "repositories='0123abcd'/></presence>".encode(),
        f"<message from='{OWN}/x' type='chat'><body>pushed url</body></message>".encode(),
        f"<iq from='{OWN}/x' id='1' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>".encode(),
        f"<iq from='{OWN}/x' id='1' type='set'><command xmlns='http://jabber.org/protocol/commands' node='status'/>"
        "</iq>".encode(),
        b"<presence from='r@c.example.org/me'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x>"
        b"</presence>",
    ],
    "server_lines": [b"autosync 1\nsubscribe a\nannounce a b\nping\ninfo\nunsubscribe a\n"],
    "client_lines": [
        f"notes!1 pushed {_OID} 01234567 refs/heads/main desk\n1795467114\nnotes!1 look 01234567".encode(),
        f"a!{_OID}".encode(),
    ],
    "sealed": [f"1 pushed {_OID} 01234567 refs/heads/main desk".encode(), b"1 look 01234567", b"QUJD" * 60],
    "note": [f"1 pre-push 4711\nremote origin url\nrefs/heads/a {_OID} refs/heads/b {'0' * 40}\nend\n".encode()],
    "control": [b'{"command": "status"}\n', b'{"command": "sync", "paths": ["/x"]}\n'],
    "ssh_requests": [_WATCH, b'{"unwatch": 1}\n{"ping": true}\n'],
    "ssh_answers": [
        b'{"autosync": 1, "name": "server", "version": "0.1"}\n{"pong": true}\n',
        f'{{"watch": 1, "commit": "{_OID}"}}\n{{"watch": 2, "error": "no"}}\n'.encode(),
    ],
    "url": [b"ssh://rene@[::1]:22/~/notes.git", b"rene@server:notes", b"[server:22]:x"],
}
