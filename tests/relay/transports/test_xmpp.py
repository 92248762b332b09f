"""The transport on real servers: finding each other, telling, hearing."""

from __future__ import annotations

import asyncio
from xml.etree import ElementTree as ET

import pytest
from slixmpp.exceptions import IqError

from autosync.common.config import Xmpp
from autosync.common.errors import Problem
from autosync.relay.transports.base import Command, Subscription
from autosync.relay.transports.xmpp import XmppTransport
from autosync.relay.transports.xmpp_stanza import headline
from tests.support.proxy import Proxy
from tests.support.wait import eventually
from tests.support.xmpp import Machine, Person, Recorder, announcement, machines


def _text(element: ET.Element) -> str:
    return ET.tostring(element, encoding="unicode")


# telling and hearing ----------------------------------------------------------------------------------


def test_an_announcement_reaches_the_other_machines_and_not_the_sender(config):
    async def scenario():
        async with machines((config, "laptop"), (config, "desk"), (config, "attic")) as (laptop, desk, attic):
            laptop.transport.announce(announcement())
            await eventually(lambda: desk.recorder.commits and attic.recorder.commits, "both to hear")
            desk.transport.announce(announcement("b" * 40, "desk"))
            await eventually(lambda: laptop.recorder.commits, "the first to hear")
            assert desk.recorder.announcements == attic.recorder.announcements[:1] == [announcement()]
            assert laptop.recorder.announcements == [announcement("b" * 40, "desk")]

    asyncio.run(scenario())


def test_machines_see_each_other(config):
    async def scenario():
        async with machines((config, "laptop"), (config, "desk")) as (laptop, desk):
            await eventually(lambda: laptop.knows() == {"desk"} and desk.knows() == {"laptop"}, "them to meet")
            assert [(peer.version, peer.repositories) for peer in desk.transport.peers()] == [("1.0", ())]
            laptop.transport.subscribe([Subscription("notes"), Subscription("mine"), Subscription("papers")])
            desk.transport.subscribe([Subscription("papers"), Subscription("theirs"), Subscription("notes")])
            await eventually(
                lambda: (
                    laptop.transport.peers()[0].repositories == ("notes", "papers")
                    and desk.transport.peers()[0].repositories == ("papers", "notes")
                ),
                "them to know what they have in common",
            )
            await desk.stop()
            await eventually(lambda: not laptop.knows(), "the farewell")

    asyncio.run(scenario())


@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_machines_of_a_peer_are_told_whoever_came_first(account, other, order):
    ours = (account.config(peers=[other.jid]), "laptop")
    theirs = (other.config(peers=[account.jid]), "peer")

    async def scenario():
        async with machines(ours if order == "ours first" else theirs) as (first,):
            async with machines(theirs if order == "ours first" else ours) as (second,):
                first.transport.announce(announcement())
                second.transport.announce(announcement("b" * 40))
                await eventually(lambda: first.recorder.commits and second.recorder.commits, "both to hear")
                assert first.recorder.commits == ["b" * 40]
                assert second.recorder.commits == ["a" * 40]
                assert len(first.transport.peers()) == 1
            await eventually(lambda: not first.knows(), "the peer's farewell")

    asyncio.run(scenario())


def test_a_peer_is_told_where_somebody_listens_with_an_ordinary_priority(account, other):
    async def scenario():
        async with (
            machines((account.config(peers=[other.jid]), "laptop")) as (laptop,),
            Person(account.server, other.user, other.password, "phone", priority=0) as person,
        ):
            laptop.transport.announce(announcement())
            await eventually(lambda: person.messages, "the headline")
            assert person.bodies == ["pushed refs/heads/main"]
            assert person.messages[0].get("type") == "headline"

    asyncio.run(scenario())


def test_strangers_are_not_believed_and_reported_once(account, other, caplog):
    async def scenario():
        async with machines((account.config(), "laptop"), (other.config(peers=[account.jid]), "stranger")) as pair:
            laptop, stranger = pair
            for n in range(3):
                stranger.transport.announce(announcement(f"{n:040x}"))
            # the stranger does not know our address: it is told
            stranger.transport._connection.say(headline(laptop.transport._connection.me, announcement()))
            stranger.transport._connection.say(headline(laptop.transport._connection.me, announcement()))
            await eventually(lambda: laptop.transport.dropped >= 2, "them to be dropped")
            assert not laptop.recorder.announcements
            assert not laptop.knows()

    asyncio.run(scenario())
    assert [record for record in caplog.messages if "neither this account nor in peers" in record] != []
    assert sum("neither this account nor in peers" in record for record in caplog.messages) == 1


def test_what_is_malformed_is_dropped_and_counted(account):
    async def scenario():
        async with (
            machines((account.config(), "laptop")) as (laptop,),
            Person(account.server, account.user, account.password, "phone") as person,
        ):
            me = laptop.transport._connection.me
            for payload in (
                "<announcement xmlns='urn:autosync:0'/>",
                "<announcement xmlns='urn:autosync:0' kind='pushed' repository='r' ref='refs/heads/main'"
                " commit='--upload-pack=x' machine='m'/>",
            ):
                person.send_raw(f"<message type='headline' to='{me}'>{payload}</message>")
            person.send_raw(f"<presence to='{me}'><priority>many</priority></presence>")
            person.send_raw(f"<message type='headline' to='{me}'><body>lunch?</body></message>")
            await eventually(lambda: laptop.transport.dropped >= 2, "them to be counted")
            person.send_raw(_text(headline(me, announcement())))
            await eventually(lambda: laptop.recorder.commits, "a good one to be heard")
            assert laptop.state == "online"

    asyncio.run(scenario())


def test_a_flood_costs_little_and_then_words_count_again(account):
    async def scenario():
        async with (
            machines((account.config(), "laptop")) as (laptop,),
            Person(account.server, account.user, account.password, "phone") as person,
        ):
            me = laptop.transport._connection.me
            flood = "".join(_text(headline(me, announcement(f"{n:040x}"))) for n in range(2000))
            person.send_raw(flood)
            await eventually(lambda: laptop.transport.dropped + len(laptop.recorder.commits) >= 2000, "all of it")
            assert laptop.transport.dropped > 1000
            last = "f" * 40

            def heard():
                person.send_raw(_text(headline(me, announcement(last))))
                return last in laptop.recorder.commits

            await eventually(heard, "a later word to be heard")

    asyncio.run(scenario())


# a person on the same account -------------------------------------------------------------------------


def test_a_person_keeps_what_is_said_to_the_account(account, other):
    """With a machine online and no other client, the server stores messages as if nobody were there."""

    async def scenario():
        server = account.server
        async with machines((account.config(), "laptop")) as (laptop,):
            async with Person(server, other.user, other.password, "phone") as friend:
                friend.send_message(mto=account.jid, mbody="while you were out", mtype="chat")
                await friend.plugin["xep_0199"].ping(server.domain)
            async with Person(server, account.user, account.password, "phone", priority=0) as person:
                await eventually(lambda: "while you were out" in person.bodies, "the stored message")
            assert not laptop.recorder.announcements
            assert laptop.transport.dropped == 0

    asyncio.run(scenario())


def test_a_person_is_told_also_what_waited_for_the_connection(account, other):
    async def scenario():
        async with Person(account.server, other.user, other.password, "phone") as person:
            machine = Machine(account.config(), "laptop")
            try:
                machine.transport.tell([other.jid], "first")
                await eventually(lambda: machine.state == "online", "the connection")
                machine.transport.tell([other.jid, account.jid], "second")
                await eventually(lambda: len(person.bodies) == 2, "both messages")
                assert person.bodies == ["first", "second"]
            finally:
                await machine.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("dvcs_autosync", [False, True])
def test_announcements_are_neither_archived_nor_copied(account, dvcs_autosync):
    """What is of type `chat`, for dvcs-autosync, would be both but for the hints."""
    config = account.config(**{"dvcs-autosync": dvcs_autosync})

    async def scenario():
        server = account.server
        async with (
            machines((config, "laptop"), (config, "desk")) as (laptop, desk),
            Person(server, account.user, account.password, "phone", priority=0) as person,
        ):
            enable = person.make_iq_set()
            enable.append(ET.fromstring("<enable xmlns='urn:xmpp:carbons:2'/>"))
            await enable.send()
            await eventually(lambda: len(laptop.transport._session.audience.addresses()) == 2, "all to be known")
            laptop.transport.announce(announcement())
            await laptop.transport.flush()
            await eventually(lambda: desk.recorder.commits and person.messages, "all to hear")
            query = person.make_iq_set()
            query.append(ET.fromstring("<query xmlns='urn:xmpp:mam:2'/>"))
            await query.send()
            # each once for the person, no copies of it and none from the archive
            expected = ["chat", "headline"] if dvcs_autosync else ["headline"]
            await eventually(lambda: len(person.messages) >= len(expected), "all of it")
            assert sorted(str(message.get("type")) for message in person.messages) == expected

    asyncio.run(scenario())


def test_it_answers_who_it_is_and_nothing_else(account):
    async def scenario():
        async with (
            machines((account.config(), "laptop")) as (laptop,),
            Person(account.server, account.user, account.password, "phone") as person,
        ):
            me = laptop.transport._connection.me
            info = await person.plugin["xep_0030"].get_info(jid=me)
            assert ("client", "bot", None, "autosync 1.0") in info["disco_info"]["identities"]
            assert "urn:autosync:0" in info["disco_info"]["features"]
            await person.plugin["xep_0199"].ping(me)
            await eventually(lambda: any(p.get("from") == me for p in person.presences), "its presence")
            seen = next(p for p in person.presences if p.get("from") == me)
            assert seen.findtext("{jabber:client}status") == "laptop"
            assert int(seen.findtext("{jabber:client}priority")) < 0
            request = person.make_iq_get(ito=me)
            request.append(ET.fromstring("<query xmlns='jabber:iq:version'/>"))
            with pytest.raises(Exception, match="service-unavailable"):
                await request.send()

    asyncio.run(scenario())


def test_commands_are_taken_from_the_own_account_and_from_persons(account, other):
    asked = []

    def command(name, outcome):
        async def run():
            asked.append(name)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return Command(name, f"{name} it", run)

    commands = [
        command("status", "all is well"),
        command("sync", Problem("a is stuck", "see to it")),
        command("pause", ZeroDivisionError("secret")),
    ]

    async def ask(person, address, name):
        answer = await person.plugin["xep_0050"].send_command(address, name)
        return answer["command"]["status"], answer["command"]["notes"][0]

    async def scenario():
        async with machines((account.config(peers=[other.jid]), "laptop")) as (laptop,):
            me = laptop.transport._connection.me
            laptop.transport.offer(commands, [])
            for owner in (account, other):
                async with Person(owner.server, owner.user, owner.password, "phone") as person:
                    person.register_plugin("xep_0050")
                    items = await person.plugin["xep_0050"].get_commands(me)
                    assert {item[1] for item in items["disco_items"]["items"]} == {"status", "sync", "pause"}
                    if owner is other:
                        # a peer is believed, and yet may ask for nothing
                        with pytest.raises(IqError, match="service-unavailable"):
                            await ask(person, me, "status")
                        laptop.transport.offer(commands, [other.jid.upper()])
                    assert await ask(person, me, "status") == ("completed", ("info", "all is well"))
                    assert await ask(person, me, "sync") == ("completed", ("error", "a is stuck: see to it"))
                    status, (kind, words) = await ask(person, me, "pause")
                    assert (status, kind) == ("completed", "error")
                    assert "bug" in words
                    assert "secret" not in words
                    with pytest.raises(IqError, match="service-unavailable"):
                        await ask(person, me, "reboot")
            assert laptop.recorder.connections == 1

    asyncio.run(scenario())
    assert asked == ["status", "sync", "pause"] * 2


def test_commands_that_never_end_are_few_and_end_with_the_connection(account):
    started = []

    async def run():
        started.append(1)
        await asyncio.Event().wait()

    async def scenario():
        async with machines((account.config(), "laptop")) as (laptop,):
            laptop.transport.offer([Command("sync", "Sync", run)], [])
            async with Person(account.server, account.user, account.password, "phone") as person:
                person.register_plugin("xep_0050")
                asks = [
                    person.plugin["xep_0050"].send_command(laptop.transport._connection.me, "sync", timeout=60)
                    for _ in range(6)
                ]
                tasks = [asyncio.ensure_future(ask) for ask in asks]
                await eventually(lambda: sum(task.done() for task in tasks) == 2, "two to be refused")
                assert len(started) == 4
                for task in tasks:
                    task.cancel()
                refused = await asyncio.gather(*tasks, return_exceptions=True)
                assert sum(isinstance(error, IqError) for error in refused) == 2

    asyncio.run(scenario())


# dvcs-autosync ----------------------------------------------------------------------------------------


def test_dvcs_autosync_is_heard_and_told(account):
    """As it behaves on the wire: presence to the own bare address, chat messages, and it needs our presence first."""

    async def scenario():
        server, config = account.server, account.config(**{"dvcs-autosync": True})
        async with (
            machines((config, "laptop")) as (laptop,),
            Person(server, account.user, account.password, "AutosyncJabberBot on attic", priority=0) as ancestor,
        ):
            ancestor.send_presence(pto=account.jid)
            await eventually(lambda: laptop.transport._session.audience.addresses(), "it to be known")
            me = laptop.transport._connection.me
            # by the server, and by us each time that it has shown itself
            await eventually(lambda: [p.get("from") for p in ancestor.presences].count(me) >= 3, "our presence")
            ancestor.send_message(mto=account.jid, mtype="chat", mbody="login attic")
            ancestor.send_message(mto=account.jid, mtype="chat", mbody="pushed ssh://host/notes.git\n")
            await eventually(lambda: laptop.recorder.looks, "a look")
            assert laptop.recorder.looks == [None]
            laptop.transport.subscribe([Subscription("music"), Subscription("notes", urls=("ssh://host/notes",))])
            ancestor.send_message(mto=account.jid, mtype="chat", mbody="pushed ssh://host/notes.git\n")
            await eventually(lambda: laptop.recorder.looks[1:], "another look")
            assert laptop.recorder.looks[1:] == ["notes"]
            laptop.transport.announce(announcement())
            await eventually(lambda: [m for m in ancestor.messages if m.get("from") == me], "words from us")

            def chats():
                return [m for m in ancestor.messages if m.get("type") == "chat" and m.get("from") == me]

            await eventually(chats, "the chat message")
            assert chats()[0].findtext("{jabber:client}body").split()[0].lower() == "pushed"
            assert me in {p.get("from") for p in ancestor.presences}
            assert len(chats()) == 1, "it is never answered"

    asyncio.run(scenario())


def test_two_machines_that_speak_dvcs_autosync_look_once(account):
    async def scenario():
        config = account.config(**{"dvcs-autosync": True})
        async with machines((config, "laptop"), (config, "desk")) as (laptop, desk):
            await eventually(lambda: laptop.knows() and desk.knows(), "them to meet")
            laptop.transport.announce(announcement())
            await laptop.transport.flush()
            await eventually(lambda: desk.recorder.commits, "it to be heard")
            await desk.transport.flush()
            assert desk.recorder.looks == laptop.recorder.looks == []

    asyncio.run(scenario())


# one-shot runs ----------------------------------------------------------------------------------------


def test_a_one_shot_run_reaches_own_machines_and_peers(account, other):
    async def scenario():
        config = account.config(peers=[other.jid])
        async with machines((config, "desk"), (other.config(peers=[account.jid]), "peer")) as (desk, peer):
            await one_shot(config)
            await eventually(lambda: desk.recorder.commits and peer.recorder.commits, "both to hear")

    asyncio.run(scenario())


def test_a_one_shot_run_waits_a_moment_for_machines_of_peers(server, account, other):
    async def scenario():
        async with Proxy(server.port, lambda: 0.1) as proxy:
            slow = other.config(peers=[account.jid]).model_copy(update={"port": proxy.port})
            async with machines((slow, "peer")) as (peer,):
                await one_shot(account.config(peers=[other.jid]))
                await eventually(lambda: peer.recorder.commits, "the peer to hear")

    asyncio.run(scenario())


def test_a_one_shot_run_reaches_a_peer_with_an_ordinary_priority(account, other):
    async def scenario():
        async with Person(account.server, other.user, other.password, "phone", priority=0) as person:
            await one_shot(account.config(peers=[other.jid]))
            await eventually(lambda: person.bodies, "the headline")

    asyncio.run(scenario())


async def one_shot(config: Xmpp) -> None:
    single = XmppTransport(config, "laptop", "default", "1.0")
    task = asyncio.create_task(single.run(Recorder()))
    single.announce(announcement())
    await single.flush()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
