"""What requests are answered with."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from autosync.relay.transports import xmpp_answers as answers
from autosync.relay.transports.xmpp_stanza import Machine

LAPTOP = Machine("laptop", "1.0")
COMMANDS = {"status": "Status", "sync": "Sync now"}
NODE = "http://jabber.org/protocol/commands"


def request(inside: str, kind: str = "get") -> ET.Element:
    return ET.fromstring(f"<iq xmlns='jabber:client' type='{kind}' id='7' from='a@b/c'>{inside}</iq>")


def test_pings_are_answered():
    answer = answers.answer(request("<ping xmlns='urn:xmpp:ping'/>"), LAPTOP, COMMANDS)
    assert (answer.get("type"), answer.get("id"), answer.get("to")) == ("result", "7", "a@b/c")
    assert len(answer) == 0


def test_who_we_are_agrees_with_the_capabilities_in_presence():
    caps = answers.capabilities(LAPTOP, COMMANDS)
    node = f"{caps.get('node')}#{caps.get('ver')}"
    ask = f"<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>"
    query = answers.answer(request(ask), LAPTOP, COMMANDS)[0]
    assert query.get("node") == node
    identity = query[0]
    features = tuple(feature.get("var") for feature in query[1:])
    text = f"{identity.get('category')}/{identity.get('type')}//{identity.get('name')}"
    assert answers.verification(text, features) == caps.get("ver")


def test_the_verification_string_is_that_of_xep_0115():
    """The example in section 5.2."""
    features = (
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
        "http://jabber.org/protocol/muc",
        "http://jabber.org/protocol/caps",
    )
    assert answers.verification("client/pc//Exodus 0.9.1", features) == "QgayPKawpkPSDYmwT/WM94uAlu0="


@pytest.mark.parametrize(
    "asked",
    [
        request("<query xmlns='jabber:iq:version'/>"),
        request("<query xmlns='http://jabber.org/protocol/disco#info' node='other'/>"),
        request("<ping xmlns='urn:xmpp:ping'/>", "set"),
        request("", "set"),
    ],
)
def test_other_requests_are_refused(asked):
    answer = answers.answer(asked, LAPTOP, COMMANDS)
    assert answer.get("type") == "error"
    assert answer.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}service-unavailable") is not None


@pytest.mark.parametrize("kind", ["result", "error", ""])
def test_answers_are_not_answered(kind):
    assert answers.answer(request("<ping xmlns='urn:xmpp:ping'/>", kind), LAPTOP, COMMANDS) is None


def test_commands_are_listed_and_described():
    listed = answers.answer(
        request(f"<query xmlns='http://jabber.org/protocol/disco#items' node='{NODE}'/>"), LAPTOP, COMMANDS
    )
    assert [(item.get("node"), item.get("name")) for item in listed[0]] == [("status", "Status"), ("sync", "Sync now")]
    nothing = answers.answer(request("<query xmlns='http://jabber.org/protocol/disco#items'/>"), LAPTOP, COMMANDS)
    assert len(nothing[0]) == 0
    info = answers.answer(
        request("<query xmlns='http://jabber.org/protocol/disco#info' node='sync'/>"), LAPTOP, COMMANDS
    )
    assert (info[0][0].get("category"), info[0][0].get("name")) == ("automation", "Sync now")


@pytest.mark.parametrize(
    ("inside", "kind", "wanted"),
    [
        (f"<command xmlns='{NODE}' node='sync'/>", "set", "sync"),
        (f"<command xmlns='{NODE}' node='sync' action='execute'/>", "set", "sync"),
        (f"<command xmlns='{NODE}' node='sync' action='cancel'/>", "set", None),
        (f"<command xmlns='{NODE}' node='sync'/>", "get", None),
        (f"<command xmlns='{NODE}'/>", "set", None),
        ("", "set", None),
    ],
)
def test_what_is_wanted(inside, kind, wanted):
    assert answers.wanted_command(request(inside, kind)) == wanted


def test_a_result_carries_any_text():
    asked = request(f"<command xmlns='{NODE}' node='sync'/>", "set")
    made = ET.fromstring(ET.tostring(answers.command_result(asked, "sync", "one\n\x00two\udce9", False)))
    command = made.find(f"{{{NODE}}}command")
    assert (made.get("type"), command.get("status"), command.get("node")) == ("result", "completed", "sync")
    assert command.findtext(f"{{{NODE}}}note") == "one\n?two?"
    assert [value.text for value in command.iter("{jabber:x:data}value")] == ["one", "?two?"]
    failed = answers.command_result(asked, "sync", "no", True)
    assert failed.find(f"{{{NODE}}}command/{{{NODE}}}note").get("type") == "error"
