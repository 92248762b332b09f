"""A room, or a node, through which all are told at once."""

from __future__ import annotations

import asyncio
import itertools
from xml.etree import ElementTree as ET

import pytest

from tests.support.ejabberd import Ejabberd
from tests.support.prosody import Prosody
from tests.support.wait import eventually
from tests.support.xmpp import Person, announcement, machines, settings

_numbers = itertools.count()
MUC = "http://jabber.org/protocol/muc"


@pytest.fixture(scope="module", params=[Prosody, Ejabberd], ids=["prosody", "ejabberd"])
def server(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def users(server):
    """Two accounts that no other test uses."""
    names = [f"room{next(_numbers)}" for _ in range(2)]
    for name in names:
        server.add_account(name, "secret")
    return names


@pytest.fixture
def room(server):
    return f"team{next(_numbers)}@conference.{server.domain}"


def jid(server, user):
    return f"{user}@{server.domain}"


def opened(*started) -> bool:
    return all(machine.transport._session and machine.transport._session.channel.open for machine in started)


# rooms ------------------------------------------------------------------------------------------------


def test_a_room_is_made_for_members_and_carries_words_once(server, users, room, tmp_path):
    one, two = users
    ours = settings(server, one, "secret", tmp_path, peers=[jid(server, two)], room=room)
    theirs = settings(server, two, "secret", tmp_path, peers=[jid(server, one)], room=room)

    async def scenario():
        async with machines((ours, "laptop"), (ours, "desk")) as (laptop, desk):
            await eventually(lambda: opened(laptop, desk), "the room")
            async with machines((theirs, "peer")) as (peer,):
                await eventually(lambda: opened(peer), "the peer to enter")
                laptop.transport.announce(announcement())
                peer.transport.announce(announcement("b" * 40, "peer"))
                await eventually(lambda: laptop.recorder.commits and len(desk.recorder.commits) == 2, "all to hear")
                await eventually(lambda: peer.recorder.commits, "the peer to hear")
                for machine in (laptop, desk, peer):
                    await machine.transport.flush()
                assert laptop.recorder.commits == ["b" * 40]
                assert peer.recorder.commits == ["a" * 40]
                assert sorted(desk.recorder.commits) == ["a" * 40, "b" * 40]
                assert laptop.knows() == {"desk", "peer"}
                assert len(laptop.transport.peers()) == 2
                assert laptop.transport.health.error is None

    asyncio.run(scenario())


def test_words_before_the_room_is_entered_wait_for_it(server, users, room, tmp_path):
    config = settings(server, users[0], "secret", tmp_path, room=room)

    async def scenario():
        async with machines((config, "desk")) as (desk,):
            await eventually(lambda: opened(desk), "the room")
            async with machines((config, "laptop")) as (laptop,):
                laptop.transport.announce(announcement())
                await laptop.transport.flush()
                await eventually(lambda: desk.recorder.commits, "it to be heard")
                assert desk.recorder.commits == ["a" * 40]

    asyncio.run(scenario())


def test_who_is_no_member_is_told_so_and_tells_directly(server, users, room, tmp_path):
    one, two = users
    ours = settings(server, one, "secret", tmp_path, room=room)
    theirs = settings(server, two, "secret", tmp_path, room=room)

    async def scenario():
        async with machines((ours, "laptop")) as (laptop,):
            await eventually(lambda: opened(laptop), "the room")
            async with machines((theirs, "one"), (theirs, "two")) as (first, second):
                await eventually(lambda: first.transport.health.error, "the refusal")
                assert first.state == "online"
                assert "member" in first.transport.health.remedy
                first.transport.announce(announcement())
                await eventually(lambda: second.recorder.commits, "the other to hear directly")
                assert not laptop.recorder.commits

    asyncio.run(scenario())


def test_a_room_that_is_open_to_everybody_is_not_used(server, users, room, tmp_path):
    one, two = users
    config = settings(server, one, "secret", tmp_path, room=room)

    async def scenario():
        async with Person(server, two, "secret", "phone") as person:
            person.send_raw(f"<presence to='{room}/owner'><x xmlns='{MUC}'/></presence>")
            await eventually(lambda: [p for p in person.presences if p.get("from") == f"{room}/owner"], "the room")
            await configure(person, room, "0")
            async with machines((config, "laptop"), (config, "desk")) as (laptop, desk):
                await eventually(lambda: laptop.transport.health.error and desk.transport.health.error, "the refusal")
                assert "members-only" in laptop.transport.health.remedy
                body = f"<body>x</body>{ET.tostring(_payload(), encoding='unicode')}"
                person.send_raw(f"<message type='groupchat' to='{room}'>{body}</message>")
                laptop.transport.announce(announcement("b" * 40))
                await eventually(lambda: desk.recorder.commits, "the direct word")
                assert desk.recorder.commits == ["b" * 40]

    asyncio.run(scenario())


def _payload() -> ET.Element:
    from autosync.relay.transports.xmpp_stanza import announcement_element

    return announcement_element(announcement())


async def configure(person: Person, room: str, members_only: str) -> None:
    from autosync.relay.transports.xmpp_stanza import form

    query = person.make_iq_set(ito=room)
    element = ET.Element(f"{{{MUC}#owner}}query")
    element.append(form({"FORM_TYPE": f"{MUC}#roomconfig", "muc#roomconfig_membersonly": members_only}))
    query.append(element)
    await query.send()


def test_who_is_thrown_out_of_a_room_comes_back(server, users, room, tmp_path):
    one, two = users
    ours = settings(server, one, "secret", tmp_path, peers=[jid(server, two)], room=room)
    theirs = settings(server, two, "secret", tmp_path, peers=[jid(server, one)], room=room)

    async def scenario():
        async with machines((ours, "desk")) as (desk,):
            await eventually(lambda: opened(desk), "the room")
            async with machines((theirs, "laptop")) as (laptop,), Person(server, one, "secret", "phone") as owner:
                await eventually(lambda: opened(laptop), "its entry")
                owner.send_raw(f"<presence to='{room}/owner'><x xmlns='{MUC}'/></presence>")
                await eventually(lambda: [p for p in owner.presences if p.get("from") == f"{room}/owner"], "ours")
                query = owner.make_iq_set(ito=room)
                element = ET.Element(f"{{{MUC}#admin}}query")
                nick = laptop.transport._session.channel._nick
                ET.SubElement(element, f"{{{MUC}#admin}}item", {"nick": nick, "role": "none"})
                query.append(element)
                await query.send()
                await eventually(lambda: not opened(laptop), "the loss")
                await eventually(lambda: opened(laptop), "the return")
                desk.transport.announce(announcement())
                await eventually(lambda: laptop.recorder.commits, "it to hear again")

    asyncio.run(scenario())


def test_a_room_is_entered_again_after_a_restart(server, users, room, tmp_path):
    config = settings(server, users[0], "secret", tmp_path, room=room)

    async def scenario():
        async with machines((config, "laptop"), (config, "desk")) as (laptop, desk):
            await eventually(lambda: opened(laptop, desk), "the room")
            server.restart()
            await eventually(lambda: laptop.recorder.connections == desk.recorder.connections == 2, "the return")
            await eventually(lambda: opened(laptop, desk), "the room")
            desk.transport.announce(announcement())
            await eventually(lambda: laptop.recorder.commits, "it to hear again")

    asyncio.run(scenario())


def test_a_room_that_was_left_without_a_word_is_noticed(server, users, room, tmp_path, monkeypatch):
    from autosync.relay.transports import xmpp_channel

    monkeypatch.setattr(xmpp_channel, "CHECK", 0.2)
    config = settings(server, users[0], "secret", tmp_path, room=room)

    async def scenario():
        async with machines((config, "laptop"), (config, "desk")) as (laptop, desk):
            await eventually(lambda: opened(laptop, desk), "the room")
            channel = laptop.transport._session.channel
            # the room forgets us, and its word of it is lost
            channel.read, read = (lambda stanza: None), channel.read
            laptop.transport._connection.say(_leave(channel.us))
            await eventually(lambda: not channel.open, "the loss to be noticed")
            channel.read = read
            await eventually(lambda: opened(laptop), "the return")

    asyncio.run(scenario())


def _leave(address: str) -> ET.Element:
    from autosync.relay.transports.xmpp_stanza import farewell

    return farewell(address)


# nodes ------------------------------------------------------------------------------------------------


@pytest.fixture
def librarian(server):
    """Prosody lets administrators of the service make nodes, ejabberd here everybody."""
    server.add_account("librarian", "secret")
    return "librarian"


@pytest.fixture
def node(server):
    return f"pubsub.{server.domain}/node{next(_numbers)}"


def test_a_node_carries_words_once(server, librarian, users, node, tmp_path):
    ours = settings(server, librarian, "secret", tmp_path, peers=[jid(server, users[0])], pubsub=node)
    theirs = settings(server, users[0], "secret", tmp_path, peers=[jid(server, librarian)], pubsub=node)

    async def scenario():
        async with machines((ours, "laptop"), (ours, "desk")) as (laptop, desk):
            await eventually(lambda: opened(laptop, desk), "the node")
            async with machines((theirs, "peer")) as (peer,):
                await eventually(lambda: opened(peer), "the peer")
                laptop.transport.announce(announcement())
                await eventually(lambda: desk.recorder.commits and peer.recorder.commits, "all to hear")
                peer.transport.announce(announcement("b" * 40, "peer"))
                await eventually(lambda: laptop.recorder.commits and len(desk.recorder.commits) == 2, "all to hear")
                for machine in (laptop, desk, peer):
                    await machine.transport.flush()
                assert laptop.recorder.commits == ["b" * 40]
                assert peer.recorder.commits == ["a" * 40]
                assert desk.recorder.commits == ["a" * 40, "b" * 40]

    asyncio.run(scenario())


def test_the_last_word_is_heard_by_who_comes_later(server, librarian, node, tmp_path):
    config = settings(server, librarian, "secret", tmp_path, pubsub=node)

    async def scenario():
        async with machines((config, "laptop")) as (laptop,):
            await eventually(lambda: opened(laptop), "the node")
            laptop.transport.announce(announcement())
            laptop.transport.announce(announcement("b" * 40, ref="refs/heads/other"))
            await laptop.transport.flush()
        async with machines((config, "desk")) as (desk,):
            await eventually(lambda: desk.recorder.commits, "the last word")
            await desk.transport.flush()
            assert desk.recorder.commits == ["b" * 40]

    asyncio.run(scenario())


def test_a_node_is_entered_again_after_a_restart(server, librarian, node, tmp_path):
    config = settings(server, librarian, "secret", tmp_path, pubsub=node)

    async def scenario():
        async with machines((config, "laptop"), (config, "desk")) as (laptop, desk):
            await eventually(lambda: opened(laptop, desk), "the node")
            server.restart()
            await eventually(lambda: laptop.recorder.connections == desk.recorder.connections == 2, "the return")
            await eventually(lambda: opened(laptop, desk), "the node")
            desk.transport.announce(announcement())
            await eventually(lambda: laptop.recorder.commits, "it to hear again")

    asyncio.run(scenario())


def test_who_may_not_use_a_node_is_told_so_and_tells_directly(server, librarian, users, node, tmp_path):
    ours = settings(server, librarian, "secret", tmp_path, pubsub=node)
    theirs = settings(server, users[0], "secret", tmp_path, pubsub=node)

    async def scenario():
        async with machines((ours, "laptop")) as (laptop,):
            await eventually(lambda: opened(laptop), "the node")
            async with machines((theirs, "one"), (theirs, "two")) as (first, second):
                await eventually(lambda: first.transport.health.error, "the refusal")
                assert first.state == "online"
                first.transport.announce(announcement())
                await eventually(lambda: second.recorder.commits, "the other to hear directly")
                assert not laptop.recorder.commits

    asyncio.run(scenario())
