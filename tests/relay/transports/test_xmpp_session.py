"""A session without a connection: whatever comes in, it goes on, and believes only whom it may."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosync.common.config import Xmpp
from autosync.relay.transports.base import Command
from autosync.relay.transports.xmpp_audience import Audience, bare
from autosync.relay.transports.xmpp_session import BURST, Memory, Session
from autosync.relay.transports.xmpp_stanza import CLIENT, Machine, headline
from autosync.relay.transports.xmpp_trouble import Trouble
from tests.support.xmpp import Recorder, announcement

OWN, ME, PEER, STRANGER = "rene@example.org", "rene@example.org/me", "anton@example.net", "mallory@example.org"
ROOM, SERVICE = "team@conference.example.org", "pubsub.example.org"


class Line:
    """A connection that takes everything and answers nothing."""

    def __init__(self) -> None:
        self.me = ME
        self.congested = False
        self.said: list[ET.Element] = []
        self.lost = SimpleNamespace(done=lambda: False)

    def say(self, stanza: ET.Element) -> None:
        self.said.append(ET.fromstring(ET.tostring(stanza)))


def session(**more):
    config = Xmpp.model_validate({"jid": OWN, "password-command": ["true"], "peers": [PEER], **more})
    recorder, line = Recorder(), Line()

    async def run() -> str:
        return "done"

    memory = Memory(commands={"status": Command("status", "Status", run)})
    made = Session(config, Machine("laptop", "1"), Audience(OWN, [PEER]), memory, recorder, lambda: None)
    made.begin(line)
    return made, recorder, line, memory


def stamped(stanza: ET.Element, sender: str) -> ET.Element:
    stanza.set("from", sender)
    return stanza


@pytest.mark.parametrize(
    ("sender", "believed"),
    [
        (f"{OWN}/desk", True),
        (f"{PEER}/x", True),
        (PEER, True),
        (ME, False),
        (STRANGER, False),
        (f"{STRANGER}/x", False),
        (f"{OWN}.evil.example/x", False),
        (f"evil@{OWN}/x", False),
        ("example.org", False),
        (f"{ROOM}/anton", False),
        (SERVICE, False),
    ],
)
def test_who_is_believed(sender, believed):
    made, recorder, _, memory = session()
    made.heard(stamped(headline(ME, announcement()), sender))
    assert bool(recorder.announcements) is believed
    assert memory.dropped == (0 if believed or sender == ME else 1)


def test_what_a_channel_brings_is_believed_only_once_it_is_open():
    made, recorder, _, _ = asyncio.run(_with_room())
    word = stamped(headline(ME, announcement()), f"{ROOM}/anton")
    word.set("type", "groupchat")
    made.heard(word)
    assert not recorder.announcements
    made.channel.open = True
    made.heard(word)
    made.heard(stamped(headline(ME, announcement()), f"{ROOM}/anton"))
    assert recorder.announcements == [announcement()]


def test_who_turns_up_is_told_by_the_channel_when_it_is_open():
    made, _, line, memory = asyncio.run(_with_room())
    memory.outbox.add(announcement(), time.monotonic())
    there = line.said[0]
    for is_open, told in ((True, []), (False, [f"{OWN}/attic"])):
        made.channel.open, made.channel.trouble = is_open, None if is_open else Trouble("left")
        before = len(line.said)
        made.heard(stamped(there, f"{OWN}/{'desk' if is_open else 'attic'}"))
        assert [stanza.get("to") for stanza in line.said[before:] if stanza.get("type") == "headline"] == told


async def _with_room():
    return session(room=ROOM)


def test_dvcs_autosync_gets_our_presence_each_time_it_shows_itself():
    """It passes over presence while it logs in, and over the words of whose presence it has not had."""

    def greeted(sender, **more):
        made, _, line, _ = session(**more)
        there = ET.fromstring(f"<presence xmlns='{CLIENT}'/>")
        before = len(line.said)
        for _ in range(2):
            made.heard(stamped(there, sender))
        return [stanza.get("to") for stanza in line.said[before:]]

    ancestor = f"{OWN}/AutosyncJabberBot on attic"
    assert greeted(ancestor, **{"dvcs-autosync": True}) == [ancestor] * 2
    assert greeted(f"{PEER}/phone", **{"dvcs-autosync": True}) == []
    assert greeted(ancestor) == []


def test_machines_do_not_greet_each_other_for_ever():
    made, _, line, _ = session(**{"dvcs-autosync": True})
    before = len(line.said)
    there = line.said[0]
    for _ in range(2):
        made.heard(stamped(there, f"{OWN}/desk"))
    assert line.said[before:] == []


def test_dvcs_autosync_is_told_again_after_a_reconnect():
    made, _, line, _ = session(**{"dvcs-autosync": True})
    made._memory.outbox.add(announcement(), time.monotonic())
    before = len(line.said)
    made.begin(line)
    chats = [stanza for stanza in line.said[before:] if stanza.get("type") == "chat"]
    assert [(chat.get("to"), chat.findtext(f"{{{CLIENT}}}body")) for chat in chats] == [
        (OWN, "pushed refs/heads/main\n")
    ]


def test_dvcs_autosync_is_told_of_pushes_alone():
    made, _, line, _ = session(**{"dvcs-autosync": True})
    before = len(line.said)
    for kind in ("committed", "has", "pushed"):
        made.announce(announcement(kind=kind))
    assert len([stanza for stanza in line.said[before:] if stanza.get("type") == "chat"]) == 1


def test_a_ping_of_the_server_is_answered():
    made, _, line, _ = session()
    before = len(line.said)
    for sender in ("example.org", "elsewhere.example"):
        ping = ET.fromstring(f"<iq xmlns='{CLIENT}' type='get' id='7'><ping xmlns='urn:xmpp:ping'/></iq>")
        made.heard(stamped(ping, sender))
    assert [(said.get("to"), said.get("type")) for said in line.said[before:]] == [("example.org", "result")]


def test_nothing_more_is_said_to_a_server_that_does_not_take_it():
    made, _, line, memory = session()
    before = len(line.said)
    line.congested = True
    memory.outbox.letters.append((OWN, "hello"))
    made.announce(announcement())
    made.post()
    assert len(line.said) == before
    line.congested = False
    made.post()
    assert [said.get("type") for said in line.said[before:]] == ["chat"]


def test_other_repositories_are_told_to_all_that_had_our_presence():
    made, _, line, memory = asyncio.run(_with_room())
    made.channel.open = True
    made.heard(stamped(line.said[0], f"{PEER}/desk"))
    before = len(line.said)
    memory.repositories = ("notes",)
    made.renew()
    said = line.said[before:]
    assert [stanza.get("to") for stanza in said] == [None, PEER, f"{PEER}/desk", made.channel.us]
    assert all(stanza.find("{urn:autosync:0}machine").get("repositories") for stanza in said)


def test_what_was_said_before_a_room_was_entered_is_said_in_it():
    made, _, line, memory = asyncio.run(_with_room())
    memory.outbox.add(announcement(), time.monotonic())
    before = len(line.said)
    made.announce(announcement())
    assert len(line.said) == before
    made.channel._become(None)
    assert [(said.get("to"), said.get("type")) for said in line.said[before:]] == [(ROOM, "groupchat")]


def test_one_sender_cannot_crowd_out_another():
    made, recorder, _, memory = session()
    for n in range(1000):
        made.heard(stamped(headline(ME, announcement(f"{n:040x}")), f"{PEER}/{n}"))
    assert len(recorder.announcements) <= BURST + 5
    assert memory.dropped >= 1000 - BURST - 5
    made.heard(stamped(headline(ME, announcement("f" * 40)), f"{OWN}/desk"))
    assert recorder.commits[-1] == "f" * 40


def test_memory_stays_small_whoever_writes():
    made, _, _, _ = session()
    for n in range(5000):
        made.heard(stamped(headline(ME, announcement()), f"{OWN}/{n}"))
    assert len(made._rates) <= 256


SENDERS = st.sampled_from(
    [
        ME,
        f"{OWN}/desk",
        OWN,
        f"{PEER}/x",
        STRANGER,
        f"{ROOM}/anton",
        f"{ROOM}/me",
        ROOM,
        SERVICE,
        "example.org",
        "",
        "/",
        "@",
    ]
)
SPACES = st.sampled_from(
    [
        CLIENT,
        "urn:autosync:0",
        "urn:xmpp:ping",
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
        "http://jabber.org/protocol/commands",
        "http://jabber.org/protocol/muc#user",
        "http://jabber.org/protocol/pubsub#event",
        "urn:ietf:params:xml:ns:xmpp-stanzas",
    ]
)
NAMES = st.sampled_from(
    [
        "announcement",
        "machine",
        "body",
        "priority",
        "x",
        "query",
        "ping",
        "command",
        "status",
        "item",
        "items",
        "event",
        "error",
        "conflict",
    ]
)
# as a parser gives it: what XML cannot carry never comes in
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=40)
VALUES = st.one_of(
    TEXTS,
    st.sampled_from(["pushed", "a" * 40, "refs/heads/main", "110", "201", "status", "set", "get", "fleet", "pushed x"]),
)
KEYS = st.sampled_from(["kind", "repository", "ref", "commit", "machine", "name", "version", "node", "code", "id"])


@st.composite
def children(draw, depth=3):
    element = ET.Element(f"{{{draw(SPACES)}}}{draw(NAMES)}", draw(st.dictionaries(KEYS, VALUES, max_size=6)))
    element.text = draw(st.one_of(st.none(), VALUES))
    if depth:
        element.extend(draw(st.lists(children(depth - 1), max_size=2)))
    return element


@st.composite
def stanzas(draw):
    stanza = ET.Element(f"{{{CLIENT}}}{draw(st.sampled_from(['message', 'presence', 'iq', 'other']))}")
    kinds = ["", "error", "get", "set", "result", "headline", "groupchat", "chat", "unavailable", "subscribe"]
    for key, value in (
        ("type", draw(st.sampled_from(kinds))),
        ("from", draw(SENDERS)),
        ("id", draw(TEXTS)),
    ):
        if value:
            stanza.set(key, value)
    stanza.extend(draw(st.lists(children(), max_size=3)))
    return stanza


@pytest.mark.parametrize(
    "more",
    [{}, {"room": ROOM}, {"pubsub": f"{SERVICE}/fleet"}, {"dvcs-autosync": True}],
    ids=["plain", "room", "node", "dvcs"],
)
@settings(deadline=None)
@given(data=st.data())
def test_nothing_that_comes_in_ends_a_session(more, data):
    incoming = data.draw(st.lists(stanzas(), min_size=1, max_size=5))

    async def scenario():
        made, recorder, line, _ = session(**more)
        if made.channel is not None:
            made.channel.open = True
        for stanza in incoming:
            made.heard(stanza)
        await asyncio.sleep(0)
        await made.end()
        senders = {bare(stanza.get("from", OWN)) for stanza in incoming}
        if not senders & {OWN, PEER, ROOM, SERVICE, ""}:
            assert not recorder.announcements
            assert not recorder.looks
        for said in line.said:
            assert bare(said.get("to") or OWN) != STRANGER

    asyncio.run(scenario())
