"""What is said over XMPP, as XML elements: built and read without a connection (docs/protocol.md).

Stanzas are those of RFC 6120 and 6121, in the namespace of a client's stream. Reading believes nothing: what is
not well-formed raises Malformed. Whether the sender may be believed is asked elsewhere.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from ..announcement import Announcement, Malformed

#: Our own elements (docs/autosync.xsd).
NAMESPACE = "urn:autosync:0"
CLIENT = "jabber:client"
#: Forms (XEP-0004).
DATA = "jabber:x:data"
#: Conditions of errors (RFC 6120, section 8.3.3).
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"

_ANNOUNCEMENT = f"{{{NAMESPACE}}}announcement"
_MACHINE = f"{{{NAMESPACE}}}machine"
_FIELDS = ("kind", "repository", "ref", "commit", "machine")
# XEP-0334: kept in no archive, and not copied to the account's other clients (XEP-0280)
_HINTS = ("no-store", "no-permanent-store", "no-copy")
_HINT_NAMESPACE = "urn:xmpp:hints"
# XML 1.0, section 2.2: anything else ends the stream
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VERSION = re.compile(r"[A-Za-z0-9.+-]{1,40}")
_TAG = re.compile(r"[0-9a-f]{8}")
# Repositories that presence tells of.
_REPOSITORIES = 100
_BODY_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Machine:
    """Who says that it is an autosync machine, in its presence, with `tag`s of its repositories. Raises Malformed."""

    name: str
    version: str
    repositories: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 64 or not self.name.isprintable():
            raise Malformed("the machine's name is not well-formed")
        if not _VERSION.fullmatch(self.version):
            raise Malformed("the version is not well-formed")
        if len(self.repositories) > _REPOSITORIES or not all(map(_TAG.fullmatch, self.repositories)):
            raise Malformed("the repositories are not well-formed")


@dataclass(frozen=True, slots=True)
class Presence:
    """Somebody's presence: ``machine`` is None for what is not an autosync machine."""

    sender: str
    available: bool
    priority: int
    machine: Machine | None


def tag(repository: str) -> str:
    """What stands for a repository's id in presence: who does not have the repository learns nothing by it."""
    return hashlib.sha256(f"autosync repository {repository}".encode(errors="replace")).hexdigest()[:8]


def tags(repositories: Iterable[str]) -> frozenset[str]:
    """The tags of as many repositories as presence tells of."""
    return frozenset(sorted({tag(repository) for repository in repositories})[:_REPOSITORIES])


def presence(machine: Machine, priority: int, capabilities: ET.Element, to: str | None = None) -> ET.Element:
    """Initial or directed presence that says who we are, and what we can do (XEP-0115)."""
    stanza = ET.Element(f"{{{CLIENT}}}presence", {"to": to} if to else {})
    ET.SubElement(stanza, f"{{{CLIENT}}}status").text = machine.name
    ET.SubElement(stanza, f"{{{CLIENT}}}priority").text = str(priority)
    fields = {"name": machine.name, "version": machine.version}
    if machine.repositories:
        fields["repositories"] = " ".join(sorted(machine.repositories))
    ET.SubElement(stanza, _MACHINE, fields)
    stanza.append(capabilities)
    return stanza


def farewell(to: str | None = None) -> ET.Element:
    """Presence that says that we are gone, for one address or everybody who had one from us."""
    return ET.Element(f"{{{CLIENT}}}presence", {"type": "unavailable"} | ({"to": to} if to else {}))


def headline(to: str, announcement: Announcement) -> ET.Element:
    """The announcement for one address. Raises Malformed for what XML cannot carry."""
    element = announcement_element(announcement)
    stanza = ET.Element(f"{{{CLIENT}}}message", {"type": "headline", "to": to})
    ET.SubElement(stanza, f"{{{CLIENT}}}body").text = f"{announcement.kind} {announcement.ref}"
    stanza.append(element)
    _add_hints(stanza)
    return stanza


def announcement_element(announcement: Announcement) -> ET.Element:
    """The announcement alone. Raises Malformed for what XML cannot carry."""
    fields = {name: getattr(announcement, name) for name in _FIELDS}
    if any(_NO_XML.search(value) for value in fields.values()):
        raise Malformed("it has characters that XML cannot carry")
    return ET.Element(_ANNOUNCEMENT, fields)


def dvcs_autosync(to: str, announcement: Announcement) -> ET.Element:
    """The same for dvcs-autosync, which reads the first word only. Raises Malformed."""
    body = f"pushed {announcement.ref}\n"
    if _NO_XML.search(body):
        raise Malformed("it has characters that XML cannot carry")
    stanza = ET.Element(f"{{{CLIENT}}}message", {"type": "chat", "to": to})
    ET.SubElement(stanza, f"{{{CLIENT}}}body").text = body
    _add_hints(stanza)
    return stanza


def letter(to: str, text: str) -> ET.Element:
    """A text for a person."""
    stanza = ET.Element(f"{{{CLIENT}}}message", {"type": "chat", "to": to})
    ET.SubElement(stanza, f"{{{CLIENT}}}body").text = clean(text)
    return stanza


def clean(text: str) -> str:
    """A text with question marks for what XML cannot carry."""
    return _NO_XML.sub("?", text)


def request(kind: str, to: str, child: str) -> ET.Element:
    """An iq of type `get` or `set` with one child (its tag), and an id of its own."""
    stanza = ET.Element(f"{{{CLIENT}}}iq", {"type": kind, "id": secrets.token_hex(8), "to": to})
    ET.SubElement(stanza, child)
    return stanza


def ping(to: str) -> ET.Element:
    """XEP-0199."""
    return request("get", to, "{urn:xmpp:ping}ping")


def form(fields: Mapping[str, str]) -> ET.Element:
    """A form that is filled in (XEP-0004)."""
    element = ET.Element(f"{{{DATA}}}x", {"type": "submit"})
    for name, value in fields.items():
        field = ET.SubElement(element, f"{{{DATA}}}field", {"var": name})
        ET.SubElement(field, f"{{{DATA}}}value").text = value
    return element


def error_condition(stanza: ET.Element) -> str | None:
    """The condition of a stanza of type `error` (RFC 6120, section 8.3), None for any other."""
    if stanza.get("type") != "error":
        return None
    for child in stanza.iterfind(f"{{{CLIENT}}}error/*"):
        if child.tag.startswith(f"{{{STANZAS}}}") and not child.tag.endswith("}text"):
            return child.tag.partition("}")[2]
    return "undefined-condition"


def read_presence(stanza: ET.Element) -> Presence | None:
    """None for what is no statement about being there (subscriptions, errors). Raises Malformed."""
    kind = stanza.get("type", "")
    if kind not in ("", "unavailable"):
        return None
    priority = (stanza.findtext(f"{{{CLIENT}}}priority") or "0").strip()
    if not re.fullmatch(r"[+-]?\d{1,3}", priority):
        raise Malformed("the priority is not a number")
    element = stanza.find(_MACHINE)
    machine = None if element is None else _read_machine(element)
    return Presence(stanza.get("from", ""), not kind, int(priority), machine)


def _read_machine(element: ET.Element) -> Machine:
    repositories = element.get("repositories", "")
    if len(repositories) > 9 * _REPOSITORIES:
        raise Malformed("too many repositories")
    return Machine(element.get("name", ""), element.get("version", ""), frozenset(repositories.split()))


def read_announcement(stanza: ET.Element) -> Announcement | None:
    """What a message announces, None when it is about something else. Raises Malformed."""
    found = stanza.findall(_ANNOUNCEMENT)
    if not found or stanza.get("type") == "error":
        return None
    if len(found) > 1:
        raise Malformed("more than one announcement")
    return Announcement(**{name: found[0].get(name, "") for name in _FIELDS})


def read_dvcs_autosync(stanza: ET.Element) -> str | None:
    """The URL in dvcs-autosync's `pushed <url>`, possibly empty; None when the message is no such thing."""
    if stanza.get("type") not in ("chat", "groupchat"):
        return None
    body = stanza.findtext(f"{{{CLIENT}}}body") or ""
    if len(body) > _BODY_LIMIT:
        return None
    word, _, rest = body.strip().partition(" ")
    return rest.strip() if word.lower() == "pushed" else None


def _add_hints(stanza: ET.Element) -> None:
    for hint in _HINTS:
        ET.SubElement(stanza, f"{{{_HINT_NAMESPACE}}}{hint}")
