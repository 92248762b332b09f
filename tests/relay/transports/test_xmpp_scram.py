"""Logins that are tied to their TLS connection."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from xml.etree import ElementTree as ET

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from autosync.relay.transports import xmpp_login
from autosync.relay.transports.xmpp_scram import MECHANISMS, Binding, choose, end_point
from tests.support.certificates import Authority, self_signed
from tests.support.ejabberd import Ejabberd
from tests.support.played_xmpp import Stage, Talk, failed
from tests.support.prosody import Prosody
from tests.support.wait import eventually
from tests.support.xmpp import Machine, machines, settings

UNIQUE, END_POINT, EXPORTER = "tls-unique", "tls-server-end-point", "tls-exporter"
KEY = ec.generate_private_key(ec.SECP256R1())
PLAIN_ONES, TIED_ONES = {"SCRAM-SHA-1", "SCRAM-SHA-256"}, {"SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"}


class Tls:
    """What is asked of a TLS connection."""

    def __init__(self, version: str, der: bytes = b"") -> None:
        self.version = lambda: version
        self.getpeercert = lambda binary_form: der or self_signed(KEY, hashes.SHA256())
        self.get_channel_binding = lambda way: b"finished" if way == UNIQUE else None


def features(offered, ways=None) -> ET.Element:
    text = "".join(f"<mechanism>{name}</mechanism>" for name in offered)
    text = f"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{text}</mechanisms>"
    if ways is not None:
        inside = "".join(f"<channel-binding type='{way}'/>" for way in ways)
        text += f"<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{inside}</sasl-channel-binding>"
    return ET.fromstring(f"<features xmlns='http://etherx.jabber.org/streams'>{text}</features>")


@pytest.mark.parametrize(
    ("version", "ways", "way"),
    [
        ("TLSv1.2", None, UNIQUE),
        ("TLSv1.2", [UNIQUE, END_POINT], UNIQUE),
        ("TLSv1.2", [END_POINT], END_POINT),
        ("TLSv1.3", [END_POINT, EXPORTER], END_POINT),
        # what Python's TLS does not have, or is not to be used
        ("TLSv1.3", None, None),
        ("TLSv1.3", [UNIQUE], None),
        ("TLSv1.3", [EXPORTER], None),
        ("TLSv1.3", [], None),
    ],
)
def test_what_a_login_is_tied_to(version, ways, way):
    offered = {*PLAIN_ONES, *TIED_ONES, "PLAIN", "EXTERNAL", "SCRAM-MD5-PLUS"}
    allowed, binding = choose(features(offered, ways), Tls(version))
    assert (binding and binding.way) == way
    # with a way in common nothing else is tried, whatever is refused
    assert allowed == (TIED_ONES if way else PLAIN_ONES)


def test_a_server_that_cannot_tie_is_logged_in_to_as_well():
    assert choose(features({*PLAIN_ONES, "PLAIN"}, [END_POINT]), Tls("TLSv1.3")) == (PLAIN_ONES, None)
    assert choose(features({"PLAIN"}), Tls("TLSv1.3")) == (set(), None)
    assert choose(features({"SCRAM-SHA-1-PLUS"}), Tls("TLSv1.3")) == (set(), None)


@pytest.mark.parametrize(
    ("key", "function", "used"),
    [
        (KEY, hashes.SHA256(), "sha256"),
        (KEY, hashes.SHA384(), "sha384"),
        (KEY, hashes.SHA512(), "sha512"),
        (ed25519.Ed25519PrivateKey.generate(), None, "sha256"),
    ],
    ids=["sha256", "sha384", "sha512", "ed25519"],
)
def test_the_hash_of_a_certificate_is_that_of_its_signature(key, function, used):
    der = self_signed(key, function)
    assert end_point(der) == hashlib.new(used, der).digest()
    assert choose(features(TIED_ONES, [END_POINT]), Tls("TLSv1.3", der))[1] == Binding(END_POINT, end_point(der))


def test_the_hash_of_an_old_signature_is_not_its_own(tmp_path):
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha1", "-subj", "/CN=x", "-outform", "DER"]
    subprocess.run([*made, "-keyout", tmp_path / "k", "-out", tmp_path / "c"], check=True, capture_output=True)
    der = (tmp_path / "c").read_bytes()
    assert x509.load_der_x509_certificate(der).signature_hash_algorithm.name == "sha1"
    assert end_point(der) == hashlib.sha256(der).digest()


def test_what_is_no_certificate_has_a_hash_too():
    assert end_point(b"nonsense") == hashlib.sha256(b"nonsense").digest()


# what is said ------------------------------------------------------------------------------------------


@pytest.fixture
def play(tmp_path):
    return Stage(tmp_path, Authority(tmp_path / "authority"))


def offer(*names: str, ways: Sequence[str] = ()) -> str:
    return ET.tostring(features(names, ways), encoding="unicode").replace("ns0:", "stream:")


def test_a_login_is_tied_to_the_certificate(play):
    headers = []
    offered = offer("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", ways=[EXPORTER, END_POINT])

    async def part(talk: Talk) -> None:
        headers.append(await talk.scram(offer=offered, tied_to=end_point(play.certificate)))
        await talk.bind()

    play(part, lambda machine, _: machine.state == "online")
    assert headers == ["p=tls-server-end-point,,"]


def test_a_server_with_another_certificate_is_told_nothing_less(play):
    rest = []
    offered = offer("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", ways=[END_POINT])

    async def part(talk: Talk) -> None:
        await talk.scram(offer=offered, tied_to=end_point(b"another"))
        rest.append(await talk.everything())

    play(part, lambda m, s: failed(m, s) and "reads along" in m.transport.health.remedy and rest)
    assert "<auth" not in rest[0]


@pytest.mark.parametrize(
    ("names", "header"),
    [
        # the server will know by this whether its offer was taken out on the way
        (["SCRAM-SHA-1"], "y,,"),
        (["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"], "n,,"),
    ],
)
def test_the_server_is_told_why_a_login_is_not_tied(play, names, header):
    headers = []

    async def part(talk: Talk) -> None:
        headers.append(await talk.scram(offer=offer(*names, ways=[EXPORTER])))
        await talk.bind()

    play(part, lambda machine, _: machine.state == "online")
    assert headers == [header]


# real servers: those of today have a way in common with us below TLS 1.3 only -----------------------------


@pytest.fixture(params=[Prosody, Ejabberd], ids=["prosody", "ejabberd"])
def server(request, tmp_path, monkeypatch):
    trust = xmpp_login.trust

    def old(ca_file):
        context = trust(ca_file)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    monkeypatch.setattr(xmpp_login, "trust", old)
    with request.param(tmp_path) as server:
        server.add_account("rene", "secret")
        yield server


@pytest.mark.parametrize("direct_tls", [False, True])
def test_a_login_is_tied_where_the_server_can(server, tmp_path, direct_tls):
    more = {"port": server.tls_port, "direct-tls": True} if direct_tls else {}

    async def scenario():
        async with machines((settings(server, "rene", "secret", tmp_path, **more), "laptop")) as (laptop,):
            used = laptop.transport._connection._login.mech
            assert used.name == "SCRAM-SHA-1-PLUS"
            assert used.gs2_header == b"p=tls-unique,,"

    asyncio.run(scenario())


def test_who_reads_along_with_a_certificate_of_his_own_is_found_out(server, tmp_path):
    """It is signed by whom we trust. The real server refuses what we said to the other, and we say nothing less."""
    server.authority.issue(tmp_path / "c.pem", tmp_path / "k.pem", server.domain)

    async def scenario():
        async with reads_along(tmp_path, server) as (port, heard):
            config = settings(server, "rene", "secret", tmp_path, port=port, **{"direct-tls": True})
            machine = Machine(config, "laptop")
            try:
                await eventually(lambda: machine.state == "failed", "the refusal")
                assert "reads along" in machine.transport.health.remedy
            finally:
                await machine.stop()
            said = b"".join(heard)
            assert said.count(b"<auth") == 1
            assert b"SCRAM-SHA-1-PLUS" in said

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def reads_along(folder, server) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Somebody who ends our TLS connection and makes another to the server: his port, and what he heard from us."""
    heard: list[bytes] = []
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(folder / "c.pem", folder / "k.pem")
    theirs = ssl.create_default_context(cafile=server.ca_file)
    theirs.maximum_version = ssl.TLSVersion.TLSv1_2

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: list[bytes] | None) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if log is not None:
                    log.append(data)
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(
            "127.0.0.1", server.tls_port, ssl=theirs, server_hostname=server.domain
        )
        await asyncio.gather(carry(reader, back, heard), carry(there, writer, None))

    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        task.set_name("proxy")
        tasks.add(task)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=ours)
    try:
        yield listening.sockets[0].getsockname()[1], heard
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_the_password_is_never_sent():
    assert all(name.startswith("SCRAM-") for name in MECHANISMS)
