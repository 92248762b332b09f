"""Subscriptions and last words stay consistent and bounded, whatever is asked for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from autosync.relay.reflector.hub import Hub, LastWords

_STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "forget"]), st.integers(0, 3), st.sampled_from([b"a", b"b", b"c"])),
    max_size=60,
)


@settings(deadline=None)
@given(_STEPS)
def test_both_directions_agree_and_the_limits_hold(steps):
    hub: Hub[int] = Hub(per_reader=2)
    expected: set[tuple[int, bytes]] = set()
    for step, reader, channel in steps:
        own = {pair for pair in expected if pair[0] == reader}
        if step == "add":
            room = (reader, channel) not in own and len(own) < 2
            assert hub.add(reader, channel) is room
            expected |= {(reader, channel)} if room else set()
        elif step == "remove":
            assert hub.remove(reader, channel) is ((reader, channel) in own)
            expected -= {(reader, channel)}
        else:
            hub.forget(reader)
            expected -= own
        assert hub.subscriptions == len(expected)
        assert hub.channels == len({c for _, c in expected})
        for name in (b"a", b"b", b"c"):
            assert set(hub.readers(name)) == {r for r, c in expected if c == name}
    for reader in range(4):
        hub.forget(reader)
    assert not hub._readers
    assert not hub._channels


def test_the_longest_unspoken_channel_is_forgotten_first():
    words = LastWords(limit=3 * (200 + 2))
    for channel in (b"a", b"b", b"c", b"a", b"d"):
        words.put(channel, b"1")
    assert [words.get(channel) for channel in (b"a", b"b", b"c", b"d")] == [b"1", None, b"1", b"1"]
    assert len(words) == 3


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=4), st.binary(max_size=400))))
def test_last_words_stay_within_their_limit(puts):
    words = LastWords(limit=2000)
    for channel, message in puts:
        words.put(channel, message)
        assert words._size == sum(200 + len(c) + len(m) for c, m in words._messages.items()) <= 2000
