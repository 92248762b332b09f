"""What is said is what docs/autosync.xsd declares, and what it does not declare is not believed."""

from __future__ import annotations

import asyncio
from xml.etree import ElementTree as ET

import pytest

from autosync.relay.announcement import KINDS, Malformed
from autosync.relay.transports import xmpp_stanza as stanza
from autosync.relay.transports.base import Subscription
from autosync.relay.transports.xmpp_stanza import Machine
from tests.support.ejabberd import Ejabberd
from tests.support.prosody import Prosody
from tests.support.schema import NAMESPACE, own, valid
from tests.support.wait import eventually
from tests.support.xmpp import Person, announcement, machines, settings

SAID = [
    *(announcement(kind=kind) for kind in KINDS),
    announcement("b" * 64, ref="refs/heads/a/b", repository="x.y_z-1"),
    announcement(machine='R\u00e9n\u00e9\'s <laptop> & "co"', ref="refs/heads/\u00fc\U0001f600&<'"),
    announcement(machine="m" * 64, repository="r" * 100, ref=f"refs/heads/{'b' * 200}"),
]
THERE = [
    Machine("laptop", "1.0"),
    Machine("x" * 64, "0.1.0+abc-1", frozenset(f"{n:08x}" for n in range(100))),
]
WRONG = [
    ("kind", "ate"),
    ("repository", ""),
    ("repository", "r" * 101),
    ("repository", "../x"),
    ("ref", "HEAD"),
    ("ref", "refs/tags/v1"),
    ("ref", "refs/heads/a b"),
    ("ref", f"refs/heads/{'b' * 201}"),
    ("commit", "A" * 40),
    ("commit", "a" * 41),
    ("commit", "--upload-pack=x"),
    ("machine", ""),
    ("machine", "m" * 65),
    ("name", ""),
    ("version", "1 0"),
    ("repositories", "xyz"),
    ("repositories", " ".join(f"{n:08x}" for n in range(101))),
]


def test_what_is_built_is_valid(tmp_path):
    elements = own(
        *(stanza.headline("a@b", said) for said in SAID),
        *(stanza.presence(machine, -1, ET.Element("c")) for machine in THERE),
    )
    assert len(elements) == len(SAID) + len(THERE)
    assert all(valid(elements, tmp_path))


def test_what_is_not_valid_is_not_believed(tmp_path):
    elements = []
    for name, value in WRONG:
        said = stanza.headline("a@b", SAID[0]), stanza.presence(THERE[1], -1, ET.Element("c"))
        element = next(element for element in own(*said) if name in element.attrib)
        element.set(name, value)
        elements.append(element)
    for element in own(stanza.headline("a@b", SAID[0])):
        for name in element.attrib:
            without = ET.Element(element.tag, {key: value for key, value in element.attrib.items() if key != name})
            elements.append(without)
    assert not any(valid(elements, tmp_path))
    for element in elements:
        around = ET.Element("{jabber:client}message", {"from": "a@b/c"})
        around.append(element)
        with pytest.raises(Malformed):
            assert stanza.read_announcement(around) or stanza.read_presence(around)


@pytest.mark.parametrize("make", [Prosody, Ejabberd], ids=["prosody", "ejabberd"])
def test_what_comes_over_a_server_is_valid(tmp_path, make):
    with make(tmp_path) as server:
        server.add_account("rene", "secret")

        async def scenario():
            async with (
                machines((settings(server, "rene", "secret", tmp_path), "laptop")) as (laptop,),
                Person(server, "rene", "secret", "phone") as person,
            ):
                laptop.transport.subscribe([Subscription("notes"), Subscription("papers")])
                await eventually(lambda: laptop.transport._session.audience.addresses(), "the person to be known")
                laptop.transport.announce(announcement())
                wanted = {f"{{{NAMESPACE}}}{name}" for name in ("announcement", "machine")}

                def heard():
                    return own(*person.messages, *person.presences)

                await eventually(lambda: {element.tag for element in heard()} == wanted, "both elements")
                await eventually(lambda: any("repositories" in element.attrib for element in heard()), "repositories")
                assert all(valid(heard(), tmp_path))

        asyncio.run(scenario())
