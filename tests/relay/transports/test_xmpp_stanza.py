"""What is said over XMPP, as XML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosync.relay.announcement import KINDS, Announcement, Malformed
from autosync.relay.transports import xmpp_answers as answers
from autosync.relay.transports import xmpp_stanza as stanza
from autosync.relay.transports.xmpp_stanza import Machine
from tests.support.xmpp import announcement

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "autosync.xsd"
XSD = "{http://www.w3.org/2001/XMLSchema}"
LAPTOP = Machine("laptop", "1.0", frozenset({"0123abcd", "9f6ed558"}))
COMMANDS = {"status": "Status"}
CAPS = answers.capabilities(LAPTOP, COMMANDS)


def over_the_wire(element: ET.Element) -> ET.Element:
    return ET.fromstring(ET.tostring(element))


def message(inside: str, **attributes: str) -> ET.Element:
    text = "".join(f" {name}='{value}'" for name, value in attributes.items())
    return ET.fromstring(f"<message xmlns='jabber:client'{text}>{inside}</message>")


@pytest.mark.parametrize(
    "said",
    [
        announcement(),
        announcement("b" * 64, kind="committed", ref="refs/heads/a/b", repository="x.y_z-1"),
        announcement(machine='R\u00e9n\u00e9\'s <laptop> & "co"', ref="refs/heads/\u00fc\U0001f600&<'"),
    ],
)
def test_what_is_said_is_what_is_heard(said):
    assert stanza.read_announcement(over_the_wire(stanza.headline("a@b/c", said))) == said


def test_a_headline_is_readable_addressed_and_not_kept():
    made = over_the_wire(stanza.headline("a@b/c", announcement()))
    assert (made.get("to"), made.get("type")) == ("a@b/c", "headline")
    assert made.findtext("{jabber:client}body") == "pushed refs/heads/main"
    hints = {child.tag for child in made if child.tag.startswith("{urn:xmpp:hints}")}
    assert hints == {f"{{urn:xmpp:hints}}{name}" for name in ("no-store", "no-permanent-store", "no-copy")}


@pytest.mark.parametrize("char", ["\ufffe", "\uffff", "\udc80"])
def test_what_xml_cannot_carry_is_not_sent(char):
    for said in (announcement(ref=f"refs/heads/{char}"), announcement(machine=char)):
        with pytest.raises(Malformed):
            stanza.headline("a@b", said)
    with pytest.raises(Malformed):
        stanza.dvcs_autosync("a@b", announcement(ref=f"refs/heads/{char}"))


@pytest.mark.parametrize(
    "inside",
    [
        "<announcement xmlns='urn:autosync:0'/>",
        "<announcement xmlns='urn:autosync:0' kind='ate' repository='r' ref='refs/heads/m' commit='{c}' machine='m'/>",
        "<announcement xmlns='urn:autosync:0' kind='pushed' repository='r' ref='HEAD' commit='{c}' machine='m'/>",
        "<announcement xmlns='urn:autosync:0' kind='pushed' repository='r' ref='refs/heads/m' commit='-x' machine='m'/>",  # noqa: E501
        "<announcement xmlns='urn:autosync:0'/><announcement xmlns='urn:autosync:0'/>",
    ],
)
def test_a_malformed_announcement(inside):
    with pytest.raises(Malformed):
        stanza.read_announcement(message(inside.replace("{c}", "a" * 40)))


@pytest.mark.parametrize(
    "other",
    [
        message("<body>pushed refs/heads/main</body>", type="headline"),
        message("<announcement xmlns='urn:autosync:1'/>"),
        message("<x xmlns='y'><announcement xmlns='urn:autosync:0'/></x>"),
        message("<announcement xmlns='urn:autosync:0'/>", type="error"),
    ],
)
def test_a_message_about_something_else(other):
    assert stanza.read_announcement(other) is None


def test_unknown_attributes_and_children_are_left_alone():
    made = stanza.headline("a@b", announcement())
    element = made.find("{urn:autosync:0}announcement")
    element.set("colour", "blue")
    ET.SubElement(element, "{urn:later}more")
    assert stanza.read_announcement(over_the_wire(made)) == announcement()


def test_presence_says_who_is_there():
    made = over_the_wire(stanza.presence(LAPTOP, -1, CAPS, "x@y"))
    made.set("from", "a@b/c")
    assert stanza.read_presence(made) == stanza.Presence("a@b/c", True, -1, LAPTOP)
    assert (made.get("to"), made.findtext("{jabber:client}status")) == ("x@y", "laptop")
    gone = over_the_wire(stanza.farewell())
    assert stanza.read_presence(gone) == stanza.Presence("", False, 0, None)


def test_presence_tells_of_repositories_only_to_who_has_them():
    machine = stanza.Machine("laptop", "1.0", stanza.tags(["notes", *(f"{n:040x}" for n in range(1000))]))
    assert len(machine.repositories) == 100
    made = over_the_wire(stanza.presence(machine, -1, CAPS))
    assert stanza.read_presence(made).machine == machine
    assert not any(f"{n:040x}".encode() in ET.tostring(made) for n in range(1000))
    assert stanza.tag("notes") == "9f6ed558"


@pytest.mark.parametrize("kind", ["subscribe", "subscribed", "error", "probe", "unsubscribe"])
def test_other_presence_is_no_statement(kind):
    assert stanza.read_presence(ET.fromstring(f"<presence xmlns='jabber:client' type='{kind}'/>")) is None


@pytest.mark.parametrize(
    "inside",
    [
        "<priority>high</priority>",
        "<priority>99999</priority>",
        "<machine xmlns='urn:autosync:0'/>",
        "<machine xmlns='urn:autosync:0' name='a' version='&lt;'/>",
        f"<machine xmlns='urn:autosync:0' name='{'a' * 65}' version='1'/>",
        "<machine xmlns='urn:autosync:0' name='a\tb&#10;c' version='1'/>",
        "<machine xmlns='urn:autosync:0' name='a' version='1' repositories='notes'/>",
        f"<machine xmlns='urn:autosync:0' name='a' version='1' repositories='{' 0123abcd' * 500}'/>",
        f"<machine xmlns='urn:autosync:0' name='a' version='1' repositories='{'0123abcd ' * 50 + '9f6ed558 ' * 51}'/>",
    ],
)
def test_malformed_presence(inside):
    with pytest.raises(Malformed):
        stanza.read_presence(ET.fromstring(f"<presence xmlns='jabber:client'>{inside}</presence>"))


@pytest.mark.parametrize(
    ("body", "kind", "url"),
    [
        ("pushed ssh://host/x.git\n", "chat", "ssh://host/x.git"),
        ("  Pushed  /a b/c ", "groupchat", "/a b/c"),
        ("pushed", "chat", ""),
        ("pushed x", "headline", None),
        ("pushed x", "normal", None),
        ("login x", "chat", None),
        ("", "chat", None),
        ("pushed " + "x" * 5000, "chat", None),
    ],
)
def test_dvcs_autosync(body, kind, url):
    assert stanza.read_dvcs_autosync(message(f"<body>{body}</body>", type=kind)) == url


def test_dvcs_autosync_understands_what_we_say():
    made = over_the_wire(stanza.dvcs_autosync("a@b", announcement()))
    assert made.get("type") == "chat"
    assert made.findtext("{jabber:client}body").strip().lower().split()[0] == "pushed"
    assert made.find("{urn:xmpp:hints}no-store") is not None


def test_a_letter_carries_any_text():
    made = over_the_wire(stanza.letter("a@b", "caf\udce9 <&> \x00\x1b\ud800 ok\n"))
    assert made.findtext("{jabber:client}body") == "caf? <&> ??? ok\n"
    assert made.get("type") == "chat"


names = st.sampled_from(["announcement", "machine", "body", "priority", "x", "query", "ping"])
spaces = st.sampled_from(["urn:autosync:0", "jabber:client", "urn:xmpp:ping", "http://jabber.org/protocol/disco#info"])
texts = st.text(max_size=100)


@st.composite
def elements(draw, depth: int = 2) -> ET.Element:
    element = ET.Element(f"{{{draw(spaces)}}}{draw(names)}")
    keys = st.sampled_from(
        ["kind", "repository", "ref", "commit", "machine", "name", "version", "type", "from", "id", "node"]
    )
    values = st.one_of(texts, st.sampled_from([*KINDS, "a" * 40, "refs/heads/main", "get", "chat", "set", "pushed x"]))
    for key, value in draw(st.dictionaries(keys, values, max_size=6)).items():
        element.set(key, value)
    element.text = draw(st.one_of(st.none(), texts, st.just("pushed x"), st.integers().map(str)))
    if depth:
        element.extend(draw(st.lists(elements(depth - 1), max_size=3)))
    return element


@given(elements())
def test_reading_gives_something_well_formed_or_malformed(element):
    for read in (stanza.read_announcement, stanza.read_presence, stanza.read_dvcs_autosync):
        try:
            found = read(element)
        except Malformed:
            continue
        if isinstance(found, Announcement):
            assert replace(found) == found
    answer = answers.answer(element, LAPTOP, COMMANDS)
    assert (answer is None) == (element.get("type") not in ("get", "set"))
    assert answer is None or answers.wanted_command(element) is None or element.get("type") == "set"


def test_the_schema_names_what_is_said():
    schema = ET.parse(SCHEMA).getroot()
    assert schema.get("targetNamespace") == stanza.NAMESPACE
    declared = {
        element.get("name"): {attribute.get("name") for attribute in element.iter(f"{XSD}attribute")}
        for element in schema.findall(f"{XSD}element")
    }
    said = {
        child.tag.partition("}")[2]: set(child.attrib)
        for made in (stanza.headline("a@b", announcement()), stanza.presence(LAPTOP, -1, CAPS))
        for child in made
        if child.tag.startswith(f"{{{stanza.NAMESPACE}}}")
    }
    assert said == declared
    kinds = {value.get("value") for value in schema.iter(f"{XSD}enumeration")}
    assert kinds == set(KINDS)
