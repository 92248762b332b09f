"""Passwords, resources, places, and the words for what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator

import aiodns
import pytest

from autosync.common.config import Xmpp
from autosync.common.errors import Problem
from autosync.relay.failures import Kind
from autosync.relay.transports import xmpp_login, xmpp_places, xmpp_trouble
from autosync.relay.transports.xmpp_places import Place
from autosync.relay.transports.xmpp_trouble import Trouble
from tests.support.wait import eventually, until


def section(**more) -> Xmpp:
    return Xmpp.model_validate({"jid": "rene@example.org", "password-command": ["true"], **more})


def script(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def ask(code: str, limit: float = 30.0) -> str:
    return asyncio.run(xmpp_login.ask(script(code), limit))


# password ---------------------------------------------------------------------------------------------


def test_the_first_line_of_a_command_is_the_password():
    assert ask("print('geheim \u00fc'); print('user: rene')") == "geheim \u00fc"
    assert ask("import sys; sys.stdout.write('x\\r\\n')") == "x"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; print('SECRET'); sys.exit(3)", "exit code 3"),
        ("pass", "printed no password"),
        ("print()", "printed no password"),
        ("import sys; sys.stdout.buffer.write(b'SECRET\\xff')", "not UTF-8"),
        ("import os; print('SECRET'); os.kill(os.getpid(), 9)", "exit code -9"),
    ],
)
def test_a_command_that_fails_is_named_but_not_quoted(code, says):
    with pytest.raises(Problem, match=says) as caught:
        ask(code)
    assert "SECRET" not in str(caught.value)
    assert "password-command" in caught.value.what


def test_a_command_that_is_not_there():
    with pytest.raises(Problem, match="cannot be started"):
        asyncio.run(xmpp_login.ask(["/does/not/exist"]))
    with pytest.raises(Problem, match="cannot be started"):
        asyncio.run(xmpp_login.ask(["a\0b"]))


def test_a_command_gets_no_terminal_and_ends_with_its_children(tmp_path):
    alive = tmp_path / "fifo"
    os.mkfifo(alive)
    # the reader sees the end of the file once nobody holds it open for writing
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    code = (
        f"import os, time; os.open({str(alive)!r}, os.O_WRONLY); os.fork(); print(input(), flush=True); time.sleep(600)"
    )
    with pytest.raises(Problem, match="exit code"):
        ask(code)
    code = f"import os, time; os.open({str(alive)!r}, os.O_WRONLY); os.fork(); print('x', flush=True); time.sleep(600)"
    with pytest.raises(Problem, match="did not end"):
        ask(code, limit=0.5)

    def ended() -> bool:
        try:
            return os.read(reader, 1) == b""
        except BlockingIOError:  # killed, and not yet gone
            return False

    until(ended, "nobody to be left")
    os.close(reader)


def test_a_cancelled_command_is_killed(tmp_path):
    mark = tmp_path / "started"

    async def scenario():
        code = f"import os, pathlib, time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(600)"
        task = asyncio.create_task(xmpp_login.ask(script(code)))
        await eventually(lambda: mark.exists() and mark.read_text(), "the command")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(ProcessLookupError):
            os.kill(int(mark.read_text()), 0)

    asyncio.run(scenario())


def test_a_command_that_prints_without_end_fails():
    with pytest.raises(Problem, match="exit code"):
        ask("while True: print('x' * 1000)")


def test_what_a_command_leaves_behind_is_not_waited_for(tmp_path):
    code = "import os, time; os.fork() or time.sleep(600); print('geheim')"
    assert ask(code) == "geheim"


def test_the_password_file_is_for_its_owner_only(tmp_path):
    file = tmp_path / "password"
    file.write_text("geheim\nmore\n")
    file.chmod(0o640)
    config = Xmpp.model_validate({"jid": "rene@example.org", "password-file": str(file)})
    with pytest.raises(Trouble, match="read by others") as caught:
        asyncio.run(xmpp_login.password(config))
    assert caught.value.kind is Kind.AUTH
    file.chmod(0o600)
    assert asyncio.run(xmpp_login.password(config)) == "geheim"


# resource ---------------------------------------------------------------------------------------------


def test_the_resource_is_stable_and_unique_to_the_instance():
    one = xmpp_login.resource("laptop", "default")
    assert one == xmpp_login.resource("laptop", "default")
    assert one != xmpp_login.resource("laptop", "other")
    assert one.startswith("autosync.")
    assert "@laptop." in one


@pytest.mark.parametrize("machine", ["R\u00e9n\u00e9's <laptop>/x", "\udc80", " ", "a" * 500, "\U0001f600"])
def test_any_name_makes_a_resource(machine):
    from slixmpp import JID

    made = xmpp_login.resource(machine, "default")
    assert JID(f"rene@example.org/{made}").resource == made


# trust ------------------------------------------------------------------------------------------------


def test_certificates_are_always_checked(tmp_path):
    context = xmpp_login.trust(None)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    for content in (None, "no certificate"):
        file = tmp_path / "ca.pem"
        if content:
            file.write_text(content)
        with pytest.raises(Trouble, match="ca-file"):
            xmpp_login.trust(file)


# places -----------------------------------------------------------------------------------------------


def find(monkeypatch, config: Xmpp, records=(), hosts=None) -> list[Place]:
    async def services(domain):
        return list(records)

    def getaddrinfo(host, port, **_):
        if host not in (hosts or {}):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in hosts[host]]

    monkeypatch.setattr(xmpp_places, "_services", services)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asyncio.run(xmpp_places.places(config, "example.org"))


def test_a_configured_host_is_the_only_one(monkeypatch):
    hosts = {"mail": ["::1", "127.0.0.1", "::1"]}
    config = section(host="mail", port=5299, **{"direct-tls": True})
    assert find(monkeypatch, config, [("other", 1, False)], hosts) == [
        Place("::1", 5299, True),
        Place("127.0.0.1", 5299, True),
    ]


def test_services_are_used_in_their_order_and_those_without_an_address_are_left_out(monkeypatch):
    records = [("a", 5223, True), ("lost", 1, False), ("b", 5222, False)]
    hosts = {"a": ["10.0.0.1"], "b": ["10.0.0.2"], "example.org": ["10.0.0.3"]}
    assert find(monkeypatch, section(), records, hosts) == [
        Place("10.0.0.1", 5223, True),
        Place("10.0.0.2", 5222, False),
    ]


def test_without_services_it_is_the_domain(monkeypatch):
    assert find(monkeypatch, section(), (), {"example.org": ["10.0.0.3"]}) == [Place("10.0.0.3", 5222, False)]


@pytest.mark.parametrize("host", ["nowhere", "a" * 70 + ".example.org", "a..b"])
def test_a_host_that_is_not_found(monkeypatch, host):
    with pytest.raises(Trouble, match=r"cannot be found|no name server"):
        asyncio.run(xmpp_places.places(section(host=host), "example.org"))


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for SRV records (RFC 1035, RFC 2782) from a table; silent for what is not in it."""

    def __init__(self, records: dict[str, list[tuple[int, int, int, str]]]) -> None:
        self._records = records

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, sender) -> None:
        end, labels = 12, []
        while data[end]:
            labels.append(data[end + 1 : end + 1 + data[end]].decode())
            end += 1 + data[end]
        question = data[12 : end + 5]
        found = self._records.get(".".join(labels).lower())
        if found is None:
            return
        answers = b""
        for priority, weight, port, host in found:
            name = b"".join(bytes([len(part)]) + part.encode() for part in host.split(".") if part) + b"\0"
            value = struct.pack("!HHH", priority, weight, port) + name
            answers += struct.pack("!HHHIH", 0xC00C, 33, 1, 60, len(value)) + value
        code = 0x8180 if found else 0x8183
        self._transport.sendto(data[:2] + struct.pack("!HHHHH", code, 1, len(found), 0, 0) + question + answers, sender)


@contextlib.asynccontextmanager
async def name_server(monkeypatch, records) -> AsyncIterator[None]:
    """Questions for SRV records go to a server of ours."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(records), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    ours = functools.partial(aiodns.DNSResolver, nameservers=["127.0.0.1"], udp_port=port)
    monkeypatch.setattr(aiodns, "DNSResolver", ours)
    try:
        yield
    finally:
        transport.close()


def services(monkeypatch, records) -> list[tuple[str, int, bool]]:
    async def scenario():
        async with name_server(monkeypatch, records):
            return await xmpp_places._services("example.org")

    monkeypatch.setattr(xmpp_places, "_LIMIT", 1.0)
    return asyncio.run(scenario())


def test_services_are_asked_of_the_name_servers(monkeypatch):
    records = {
        "_xmpp-client._tcp.example.org": [(20, 0, 5222, "old.example.org"), (5, 0, 5222, "new.example.org")],
        "_xmpps-client._tcp.example.org": [(10, 0, 443, "new.example.org")],
    }
    assert services(monkeypatch, records) == [
        ("new.example.org", 5222, False),
        ("new.example.org", 443, True),
        ("old.example.org", 5222, False),
    ]


@pytest.mark.parametrize(
    "records",
    [
        {},
        {"_xmpp-client._tcp.example.org": [], "_xmpps-client._tcp.example.org": []},
        {"_xmpp-client._tcp.example.org": [(0, 0, 0, ".")], "_xmpps-client._tcp.example.org": []},
    ],
    ids=["silence", "none", "not offered"],
)
def test_a_domain_without_services(monkeypatch, records):
    assert services(monkeypatch, records) == []


def test_places_are_shown_as_people_write_them():
    assert str(Place("127.0.0.1", 5222, False)) == "127.0.0.1:5222"
    assert str(Place("::1", 5222, False)) == "[::1]:5222"


# words ------------------------------------------------------------------------------------------------


def tls_error() -> ssl.SSLError:
    error = ssl.SSLError(1, "wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (xmpp_trouble.unreachable("h:1", certificate_error()), Kind.AUTH, "expired"),
        (xmpp_trouble.unreachable("h:1", tls_error()), Kind.OFFLINE, "TLS"),
        (xmpp_trouble.unreachable("h:1", ConnectionRefusedError()), Kind.OFFLINE, "listens"),
        (xmpp_trouble.unreachable("h:1", TimeoutError()), Kind.OFFLINE, "answer"),
        (xmpp_trouble.unreachable("h:1", OSError(errno.ENETUNREACH, "x")), Kind.OFFLINE, "Network is unreachable"),
        (xmpp_trouble.unreachable("h:1", "no DNS"), Kind.OFFLINE, "no DNS"),
        (xmpp_trouble.login_refused("a@b", "not-authorized"), Kind.AUTH, "password"),
        (xmpp_trouble.login_refused("a@b", "account-disabled"), Kind.AUTH, "closed"),
        (xmpp_trouble.login_refused("a@b", "temporary-auth-failure"), Kind.OFFLINE, "moment"),
        (xmpp_trouble.no_mechanism(), Kind.AUTH, "SCRAM"),
        (xmpp_trouble.stream_ended("host-unknown", "", "a@b/c"), Kind.AUTH, "serve b"),
        (xmpp_trouble.stream_ended("system-shutdown", "", "a@b/c"), Kind.OFFLINE, "stops"),
        (xmpp_trouble.stream_ended("policy-violation", "\x1b[2Jbe\nquiet" + "x" * 500, "a@b/c"), Kind.OFFLINE, "quiet"),
        (xmpp_trouble.stream_ended("conflict", "", "a@b/c"), Kind.OFFLINE, "another program uses the address a@b/c"),
        (xmpp_trouble.stream_ended("conflict", "Replaced by new connection", "a@b/c"), Kind.OFFLINE, "another program"),
        (
            xmpp_trouble.stream_ended("conflict", "User removed", "a@b/c"),
            Kind.OFFLINE,
            "ended the session: User removed",
        ),
    ],
)
def test_every_trouble_has_words_and_a_remedy(trouble, kind, words):
    assert trouble.kind is kind
    assert words in trouble.what
    assert trouble.remedy
    assert trouble.what.isprintable()
    assert len(trouble.what) < 400
    assert trouble.conflict == ("another program" in trouble.what or "ended the session" in trouble.what)
