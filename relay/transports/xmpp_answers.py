"""What a request (an iq) is answered with: who we are (XEP-0030, XEP-0115), pings (XEP-0199), the list of commands and
their results (XEP-0050)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from .xmpp_stanza import CLIENT, DATA, NAMESPACE, STANZAS, Machine, clean

_DISCO = "http://jabber.org/protocol/disco"
_INFO, _ITEMS = f"{_DISCO}#info", f"{_DISCO}#items"
_CAPS = "http://jabber.org/protocol/caps"
_COMMANDS = "http://jabber.org/protocol/commands"
_PING = "urn:xmpp:ping"
# Conditions that may be others a moment later.
_PASSING = ("resource-constraint",)


def capabilities(machine: Machine, commands: Mapping[str, str]) -> ET.Element:
    """The child of presence that stands for who we are; ``commands`` are titles by name."""
    ver = verification(_identity(machine), _features(commands))
    return ET.Element(f"{{{_CAPS}}}c", {"hash": "sha-1", "node": NAMESPACE, "ver": ver})


def answer(request: ET.Element, machine: Machine, commands: Mapping[str, str]) -> ET.Element | None:
    """The answer to a request, None for what is none. What is not known here is refused, as RFC 6120, section 8.4,
    wants it. A command that is to be run is not answered here."""
    if request.get("type") == "get":
        if request.find(f"{{{_PING}}}ping") is not None:
            return _reply(request, "result")
        query = request.find(f"{{{_INFO}}}query")
        if query is not None and query.get("node") in (None, _node(machine, commands)):
            return _result(request, _info(query, _identity(machine), _features(commands)))
        if query is not None and query.get("node") in commands:
            title = commands[query.get("node", "")]
            features = (_COMMANDS, DATA)
            return _result(request, _info(query, f"automation/command-node//{title}", features))
        query = request.find(f"{{{_ITEMS}}}query")
        if query is not None and query.get("node") in (None, _COMMANDS):
            return _result(request, _items(query, request.get("to", ""), commands))
    return refusal(request, "service-unavailable")


def refusal(request: ET.Element, condition: str) -> ET.Element | None:
    """An error (RFC 6120, section 8.3) as the answer; None for what is no request."""
    if request.get("type") not in ("get", "set"):
        return None
    stanza = _reply(request, "error")
    error = ET.SubElement(stanza, f"{{{CLIENT}}}error", {"type": "wait" if condition in _PASSING else "cancel"})
    ET.SubElement(error, f"{{{STANZAS}}}{condition}")
    return stanza


def wanted_command(request: ET.Element) -> str | None:
    """The name of the command that a request wants run."""
    command = request.find(f"{{{_COMMANDS}}}command")
    if (
        request.get("type") != "set"
        or command is None
        or command.get("action", "execute") not in ("execute", "complete")
    ):
        return None
    return command.get("node")


def command_result(request: ET.Element, name: str, text: str, failed: bool) -> ET.Element:
    """A command has ended, with words for the person."""
    stanza = _reply(request, "result")
    session = {"node": name, "sessionid": secrets.token_hex(8), "status": "completed"}
    command = ET.SubElement(stanza, f"{{{_COMMANDS}}}command", session)
    note = ET.SubElement(command, f"{{{_COMMANDS}}}note", {"type": "error" if failed else "info"})
    note.text = clean(text)
    if not failed:
        shown = ET.SubElement(command, f"{{{DATA}}}x", {"type": "result"})
        field = ET.SubElement(shown, f"{{{DATA}}}field", {"var": "result", "type": "text-multi"})
        for line in clean(text).splitlines():
            ET.SubElement(field, f"{{{DATA}}}value").text = line
    return stanza


def verification(identity: str, features: tuple[str, ...]) -> str:
    """The verification string of XEP-0115, section 5.1, for one identity `category/type/lang/name`."""
    text = f"{identity}<" + "".join(f"{feature}<" for feature in sorted(features))
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()  # noqa: S324 - what XEP-0115 prescribes


def _features(commands: Mapping[str, str]) -> tuple[str, ...]:
    offered = (_COMMANDS,) if commands else ()
    return (_CAPS, *offered, _INFO, _ITEMS, NAMESPACE, _PING)


def _identity(machine: Machine) -> str:
    return f"client/bot//autosync {machine.version}"


def _node(machine: Machine, commands: Mapping[str, str]) -> str:
    return f"{NAMESPACE}#{verification(_identity(machine), _features(commands))}"


def _reply(request: ET.Element, kind: str) -> ET.Element:
    stanza = ET.Element(f"{{{CLIENT}}}iq", {"type": kind, "id": request.get("id", "")})
    if sender := request.get("from"):
        stanza.set("to", sender)
    return stanza


def _result(request: ET.Element, child: ET.Element) -> ET.Element:
    stanza = _reply(request, "result")
    stanza.append(child)
    return stanza


def _info(asked: ET.Element, identity: str, features: tuple[str, ...]) -> ET.Element:
    query = ET.Element(asked.tag, {"node": node} if (node := asked.get("node")) else {})
    category, kind, _, name = identity.split("/", 3)
    ET.SubElement(query, f"{{{_INFO}}}identity", {"category": category, "type": kind, "name": name})
    for feature in features:
        ET.SubElement(query, f"{{{_INFO}}}feature", {"var": feature})
    return query


def _items(asked: ET.Element, us: str, commands: Mapping[str, str]) -> ET.Element:
    query = ET.Element(asked.tag, {"node": node} if (node := asked.get("node")) else {})
    if asked.get("node") == _COMMANDS:
        for name, title in commands.items():
            ET.SubElement(query, f"{{{_ITEMS}}}item", {"jid": us, "node": name, "name": title})
    return query
