"""A room and a node whose server plays a part: names that are taken or changed, words that are refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from autosync.relay.failures import PAUSES, Kind
from autosync.relay.transports.xmpp_audience import Audience
from autosync.relay.transports.xmpp_channel import Channel
from autosync.relay.transports.xmpp_node import Node
from autosync.relay.transports.xmpp_room import Room
from autosync.relay.transports.xmpp_stanza import CLIENT, STANZAS
from autosync.relay.transports.xmpp_trouble import Trouble
from tests.support.wait import eventually
from tests.support.xmpp import announcement

OWN, ROOM, SERVICE = "rene@example.org", "team@conference.example.org", "pubsub.example.org"
MUC, DISCO, PUBSUB = (f"http://jabber.org/protocol/{name}" for name in ("muc", "disco#info", "pubsub"))
MEMBERS_ONLY = f"<iq type='result'><query xmlns='{DISCO}'><feature var='muc_membersonly'/></query></iq>"


class Line:
    """A connection whose requests are answered by ``answer``, and whose other words are kept."""

    me = f"{OWN}/laptop"

    def __init__(self, answer: Callable[[ET.Element], str]) -> None:
        self._answer = answer
        self.said: list[ET.Element] = []

    def say(self, stanza: ET.Element) -> None:
        self.said.append(stanza)

    async def ask(self, request: ET.Element, limit: float) -> ET.Element:
        return stanza(self._answer(request))


def stanza(text: str) -> ET.Element:
    return ET.fromstring(text.replace(" ", f" xmlns='{CLIENT}' ", 1))


def error(condition: str, name: str = "iq") -> str:
    return f"<{name} type='error'><error type='cancel'><{condition} xmlns='{STANZAS}'/></error></{name}>"


def room(answer: Callable[[ET.Element], str] = lambda request: MEMBERS_ONLY) -> Room:
    def presence(to: str) -> ET.Element:
        return stanza(f"<presence to='{to}'/>")

    return Room(Line(answer), ROOM, presence, Audience(OWN, []), lambda: None)


def inside(nick: str, *codes: str) -> ET.Element:
    """Our own presence, as a room sends it to say that we are in."""
    statuses = "".join(f"<status code='{code}'/>" for code in ("110", *codes))
    return stanza(
        f"<presence from='{ROOM}/{nick}'><x xmlns='{MUC}#user'><item affiliation='member'/>{statuses}</x></presence>"
    )


@contextlib.asynccontextmanager
async def kept(channel: Channel):
    task = asyncio.create_task(channel.keep())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    for kind in (Kind.OFFLINE, Kind.AUTH):
        monkeypatch.setitem(PAUSES, kind, (0.01, 0.01))


def test_a_name_that_is_taken_is_not_fought_for():
    made = room()

    async def scenario():
        async with kept(made):
            await eventually(lambda: made.connection.said, "the first try")
            made.read(stanza(error("conflict", "presence").replace(" ", f" from='{made.us}' ", 1)))
            await eventually(lambda: len(made.connection.said) > 1, "the second")
            first, second = (join.get("to") for join in made.connection.said)
            assert (first, second == first, second.startswith(first)) == (f"{ROOM}/laptop", False, True)

    asyncio.run(scenario())


def test_a_name_that_the_server_has_changed_is_ours():
    made = room()

    async def scenario():
        async with kept(made):
            await eventually(lambda: made.connection.said, "the first try")
            made.read(inside("laptop-1", "210"))
            await eventually(lambda: made.open, "the room")
            assert made.us == f"{ROOM}/laptop-1"
            word = made.announcement(announcement())
            word.set("from", made.us)
            assert made.read(word) is None, "our own word, come back"
            word.set("from", f"{ROOM}/laptop")
            assert made.read(word) == announcement()

    asyncio.run(scenario())


def test_words_that_come_back_are_a_room_that_was_left():
    made = room()

    async def scenario():
        async with kept(made):
            await eventually(lambda: made.connection.said, "the first try")
            made.read(inside("laptop"))
            await eventually(lambda: made.open, "the room")
            word = made.announcement(announcement())
            word.set("from", ROOM)
            word.set("type", "error")
            assert made.read(word) is None
            await eventually(lambda: len(made.connection.said) > 1, "another entry")
            assert not made.open

    asyncio.run(scenario())


def test_a_room_that_is_open_to_everybody_is_left():
    made = room(lambda request: f"<iq type='result'><query xmlns='{DISCO}'/></iq>")

    async def scenario():
        async with kept(made):
            await eventually(lambda: made.connection.said, "the first try")
            made.read(inside("laptop"))
            await eventually(lambda: made.trouble, "the refusal")
            assert [said.get("type") for said in made.connection.said[:2]] == [None, "unavailable"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "there"),
    [
        ("<iq type='result'/>", True),
        (error("service-unavailable"), True),
        (error("feature-not-implemented"), True),
        (error("item-not-found"), True),
        (error("not-acceptable"), False),
        (error("remote-server-timeout"), False),
    ],
)
def test_what_a_ping_of_ourselves_proves(answer, there):
    """XEP-0410, section 3.2."""
    expected = contextlib.nullcontext() if there else pytest.raises(Trouble, match="was left")
    with expected:
        asyncio.run(room(lambda request: answer).check())


# nodes ------------------------------------------------------------------------------------------------


def node(answer: Callable[[ET.Element], str]) -> Node:
    return Node(Line(answer), f"{SERVICE}/fleet", Audience(OWN, ["anton@example.net"]), lambda: None)


def wants(request: ET.Element) -> str:
    return request[0][0].tag.partition("}")[2]


def test_two_machines_may_make_a_node_at_once():
    asked: list[str] = []

    def answer(request: ET.Element) -> str:
        asked.append(wants(request))
        if asked == ["subscribe"]:
            return error("item-not-found")
        return error("conflict") if asked[-1] == "create" else "<iq type='result'/>"

    asyncio.run(node(answer).enter())
    assert asked == ["subscribe", "create", "subscribe"]


def test_a_node_is_made_for_those_that_may_publish_and_keeps_nothing_for_others():
    asked: list[ET.Element] = []

    def answer(request: ET.Element) -> str:
        asked.append(request)
        return error("item-not-found") if len(asked) == 1 else "<iq type='result'/>"

    asyncio.run(node(answer).enter())
    create = ET.tostring(asked[1], encoding="unicode")
    for setting in ("whitelist", "publishers", "on_sub", "headline"):
        assert f">{setting}<" in create
    (peer,) = asked[2].iter(f"{{{PUBSUB}#owner}}affiliation")
    assert (peer.get("jid"), peer.get("affiliation")) == ("anton@example.net", "publisher")


def test_a_publication_that_is_refused_is_a_node_that_was_left():
    made = node(lambda request: "<iq type='result'/>")

    async def scenario():
        times: list[bool] = []
        made._changed = lambda: times.append(made.open)
        async with kept(made):
            await eventually(lambda: made.open, "the node")
            assert made.read(stanza(error("forbidden"))) is None
            await eventually(lambda: times == [True, False, True], "another subscription")

    asyncio.run(scenario())


def test_another_node_of_the_service_is_none_of_ours():
    made = node(lambda request: "<iq type='result'/>")
    element = ET.tostring(made.announcement(announcement())[0][0][0], encoding="unicode")

    def event(name: str) -> ET.Element:
        items = f"<items node='{name}'>{element.replace(PUBSUB, f'{PUBSUB}#event')}</items>"
        return stanza(f"<message type='headline'><event xmlns='{PUBSUB}#event'>{items}</event></message>")

    assert made.read(event("fleet")) == announcement()
    assert made.read(event("other")) is None
