"""Who is told, worked out from presence."""

from __future__ import annotations

import pytest

from autosync.relay.transports.base import Peer
from autosync.relay.transports.xmpp_audience import Audience
from autosync.relay.transports.xmpp_stanza import Machine, Presence

ME = "rene@example.org/me"


def there(address: str, priority: int = -1, name: str | None = "desk") -> Presence:
    return Presence(address, True, priority, Machine(name, "1") if name else None)


def gone(address: str) -> Presence:
    return Presence(address, False, 0, None)


@pytest.fixture
def audience():
    audience = Audience("rene@example.org", ["anton@example.net", "rene@example.org", "anton@example.net"])
    audience.begin(ME)
    return audience


def test_own_resources_are_told_one_by_one_and_peers_at_their_account(audience):
    for presence in (there(ME), there("rene@example.org/desk"), there("rene@example.org/phone", 5, None)):
        audience.saw(presence, 1.0)
    assert audience.addresses() == ["anton@example.net", "rene@example.org/desk", "rene@example.org/phone"]


@pytest.mark.parametrize(
    ("priority", "name", "told"),
    [(-1, "attic", True), (0, "attic", False), (5, "attic", False), (-1, None, False), (0, None, False)],
)
def test_a_peers_resource_is_told_itself_when_the_account_does_not_reach_it(audience, priority, name, told):
    audience.saw(there("anton@example.net/x", priority, name), 1.0)
    assert ("anton@example.net/x" in audience.addresses()) is told
    assert "anton@example.net" in audience.addresses()


def test_news_is_what_was_not_known(audience):
    desk = there("rene@example.org/desk")
    assert audience.saw(desk, 1.0)
    assert not audience.saw(desk, 2.0)
    assert not audience.saw(gone("rene@example.org/desk"), 3.0)
    assert audience.saw(desk, 4.0)
    assert not audience.saw(there(ME), 5.0)


@pytest.mark.parametrize(
    "address",
    ["mallory@example.org/x", "example.org", "", "rene@example.org", "rene@example.org.evil/x", "xrene@example.org/y"],
)
def test_others_are_neither_believed_nor_remembered(audience, address):
    assert not audience.saw(there(address), 1.0)
    assert audience.addresses() == ["anton@example.net"]
    assert audience.believes(address) == (address == "rene@example.org")


def test_a_connection_begins_with_nobody(audience):
    audience.saw(there("rene@example.org/desk"), 1.0)
    audience.end()
    assert audience.machines() == []
    audience.begin(ME)
    assert audience.addresses() == ["anton@example.net"]


def test_machines_are_those_that_say_so_or_have_announced(audience):
    audience.saw(there("rene@example.org/a"), 1.0)
    audience.saw(there("rene@example.org/b", 5, None), 2.0)
    audience.saw(there("rene@example.org/c", 5, None), 3.0)
    audience.heard("rene@example.org/c", "other program", 4.0)
    audience.heard("rene@example.org/unknown", "x", 4.0)
    assert audience.machines() == [
        Peer("desk", "rene@example.org/a", 1.0, "1"),
        Peer("other program", "rene@example.org/c", 4.0),
    ]
    audience.saw(there("rene@example.org/c", 4, None), 5.0)
    assert Peer("other program", "rene@example.org/c", 5.0) in audience.machines()
    assert audience.is_machine("rene@example.org/a")
    assert not audience.is_machine("rene@example.org/c")


def test_peers_that_nobody_was_seen_of(audience):
    assert audience.unmet() == ["anton@example.net"]
    audience.saw(there("anton@example.net/x"), 1.0)
    assert audience.unmet() == []


def test_one_account_cannot_fill_the_memory(audience):
    for n in range(1000):
        audience.saw(there(f"anton@example.net/{n}"), 1.0)
    audience.saw(there("rene@example.org/desk"), 1.0)
    assert len(audience.machines()) < 100
    for n in range(11_000):
        audience.saw(there(f"rene@example.org/{n}"), 1.0)
    assert 9_000 < len(audience.machines()) < 11_000
    assert "rene@example.org/desk" in audience.addresses()


def test_who_goes_makes_room_for_others(audience):
    for round_ in range(100):
        for n in range(64):
            assert audience.saw(there(f"anton@example.net/{round_}-{n}"), 1.0)
        assert not audience.saw(there("anton@example.net/one too many"), 1.0)
        assert not audience.saw(there(f"anton@example.net/{round_}-0"), 1.0), "known already"
        if round_ % 2:
            audience.begin("rene@example.org/me")
            continue
        for n in range(64):
            audience.saw(gone(f"anton@example.net/{round_}-{n}"), 1.0)
            audience.saw(gone(f"anton@example.net/{round_}-{n}"), 1.0)
