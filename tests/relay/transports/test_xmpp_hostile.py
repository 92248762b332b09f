"""Servers, and people between us and the server, that do not keep to the rules."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree as ET

import pytest

from autosync.relay.transports.xmpp_stanza import headline
from tests.support.certificates import Authority
from tests.support.played_xmpp import BIND, SASL, STREAM, Stage, Talk, failed, mechanisms, offline
from tests.support.wait import eventually
from tests.support.xmpp import Machine, announcement


@pytest.fixture
def play(tmp_path):
    return Stage(tmp_path, Authority(tmp_path / "authority"))


def test_the_played_server_can_be_logged_in_to(play):
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
