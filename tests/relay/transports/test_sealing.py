"""Sealing: what is not ours is refused, and what is ours is believed once and in time."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosync.common.errors import Problem
from autosync.relay.transports.sealing import LONGEST, WINDOW, Forged, Opened, ReplayGuard, Sealer

NOW = 1_795_467_114.25
OURS = Sealer("correct horse battery staple")
CHANNEL = OURS.channel("notes")
texts = st.binary(max_size=LONGEST).map(lambda data: data.rstrip(b"\0"))


@settings(deadline=None)
@given(texts, st.floats(0, 4e9))
def test_what_is_sealed_can_be_opened_with_the_secret(text, now):
    opened = OURS.open(CHANNEL, OURS.seal(CHANNEL, text, now))
    assert opened.text == text
    assert opened.sealed_at == pytest.approx(now, abs=0.002)


def test_every_sealing_is_another():
    assert OURS.seal(CHANNEL, b"x", NOW) != OURS.seal(CHANNEL, b"x", NOW)


def test_the_same_secret_names_the_same_channels_on_all_machines_and_versions():
    # a changed derivation would silently part new machines from old ones
    assert Sealer("correct horse battery staple").channel("notes") == CHANNEL
    assert CHANNEL == b"GL4RZd_b_mo-rw0l9XymotFKInN5tYwNQ4PTc0WyQdY"
    assert OURS.channel("other") != CHANNEL
    assert Sealer("correct horse battery stable").channel("notes") != CHANNEL


def test_a_message_of_another_machine_and_version_can_be_opened():
    message = (
        b"Qoxs4j3EMWb6PBKb6Dr4wBb715CV9QrtJzavmcFFE8PP5r_B5rLoN2J86s3ecONQQ8Ztp3W-DWJKOFGWbYhrSAYsvwSAvt2tZC2_"
        b"Wp-bex3QXSOKC5RdJR6uXViSps6Fc6jKNghHA2FNiSdRUYin0dWuxHI0ZVFDYF9Qr1XRLSWshKfizL2AKf8JbA7wtXsE0CQwJ1No"
        b"qcQMCOYOeo9_wc_3n0Ib2-GA_mOLyr6uPJRBY2daUMU4-2Wc2YZnLfFSJV9kZltKWTc7EA0D0rjX8S9z3a793o4SDGmlsg"
    )
    opened = OURS.open(CHANNEL, message)
    assert (opened.text, opened.sealed_at) == (b"1 look 01234567", NOW)


def test_another_secret_or_channel_does_not_open():
    message = OURS.seal(CHANNEL, b"x", NOW)
    with pytest.raises(Forged):
        Sealer("another secret, long enough").open(CHANNEL, message)
    with pytest.raises(Forged):
        OURS.open(OURS.channel("other"), message)


@settings(deadline=None)
@given(st.data())
def test_no_bit_can_be_changed(data):
    raw = bytearray(base64.urlsafe_b64decode(OURS.seal(CHANNEL, b"text", NOW) + b"=="))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Forged):
        OURS.open(CHANNEL, base64.urlsafe_b64encode(bytes(raw)).rstrip(b"="))


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=1500), st.text("AZaz09-_+/= ", max_size=900).map(str.encode)))
def test_no_bytes_of_a_stranger_open(message):
    with pytest.raises(Forged):
        OURS.open(CHANNEL, message)


def test_too_long_a_message_is_not_even_decoded():
    with pytest.raises(Forged, match="too long"):
        OURS.open(CHANNEL, b"A" * 900)


def test_the_length_says_little():
    lengths = {len(OURS.seal(CHANNEL, b"x" * n, NOW)) for n in range(LONGEST + 1)}
    assert len(lengths) == 3
    assert len(b"announce \n" + CHANNEL + b" ") + max(lengths) <= 900


def test_too_long_a_text_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="too long"):
        OURS.seal(CHANNEL, b"x" * (LONGEST + 1), NOW)


@pytest.mark.parametrize("secret", ["", "short", "x" * 15])
def test_a_secret_that_can_be_guessed_is_refused(secret):
    with pytest.raises(Problem, match="guessed"):
        Sealer(secret)


def opened(number: int, sealed_at: float = NOW) -> Opened:
    return Opened(number.to_bytes(12, "big"), sealed_at, b"")


def test_a_message_is_new_once():
    guard = ReplayGuard()
    assert [guard.judge(opened(1), NOW), guard.judge(opened(1), NOW + 5)] == ["new", "known"]


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (0, "new"),
        (WINDOW, "new"),
        (-WINDOW, "new"),
        (WINDOW + 1, "untimely"),
        (-WINDOW - 1, "untimely"),
        (1e9, "untimely"),
    ],
)
def test_clocks_may_differ_by_the_window(age, verdict):
    assert ReplayGuard().judge(opened(1, NOW - age), NOW) == verdict


def test_a_replay_is_untimely_when_it_is_not_known_any_more():
    guard = ReplayGuard()
    guard.judge(opened(1), NOW)
    for second in range(1, int(WINDOW) * 3, 10):
        guard.judge(opened(second + 10, NOW + second), NOW + second)
        assert guard.judge(opened(1), NOW + second) != "new"
    assert len(guard) <= WINDOW / 10 + 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.floats(-2000, 2000), st.floats(-2000, 2000))))
def test_nothing_is_ever_new_twice_while_clocks_go_on(steps):
    guard, now, believed = ReplayGuard(window=600, capacity=1000), NOW, set()
    for number, forward, offset in steps:
        now += abs(forward)
        message = opened(number, NOW + number * 50 + offset % 1)  # a nonce has one time of sealing
        if guard.judge(message, now) == "new":
            assert number not in believed
            believed.add(number)


def test_what_is_remembered_is_bounded():
    guard = ReplayGuard(capacity=100)
    for number in range(1000):
        guard.judge(opened(number), NOW)
    assert len(guard) == 100
    assert guard.judge(opened(999), NOW) == "known"
