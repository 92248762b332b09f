"""Allowances and pacing, with the clock as an argument."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from autosync.relay.reflector.rates import Bucket, Pacer


def test_a_burst_is_free_and_then_the_rate_holds():
    bucket = Bucket(rate=2.0, burst=3.0)
    assert [bucket.charge(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.charge(0.0) == 0.5
    assert bucket.charge(0.5) == 0.5
    assert bucket.charge(100.0) == 0.0


def test_the_debt_of_a_flood_is_bounded():
    bucket = Bucket(rate=1.0, burst=5.0)
    waits = [bucket.charge(0.0) for _ in range(1000)]
    assert max(waits) == 5.0


def test_a_clock_that_goes_back_gives_nothing():
    bucket = Bucket(rate=1.0, burst=1.0)
    bucket.charge(100.0)
    assert bucket.charge(50.0) == 1.0


def test_refunds_never_exceed_the_burst():
    bucket = Bucket(rate=1.0, burst=2.0)
    bucket.refund(10.0)
    assert [bucket.charge(0.0) for _ in range(3)] == [0.0, 0.0, 1.0]


def test_a_paced_reader_gets_the_latest_of_each_channel_in_turn():
    pacer = Pacer(1.2, 1000, now=0.0)
    pacer.offer(b"a", b"a!1\n")
    pacer.offer(b"b", b"b!1\n")
    pacer.offer(b"a", b"a!2\n")
    assert pacer.pop(1.1) is None
    assert pacer.due() == 1.2
    assert pacer.pop(1.2) == b"a!2\n"
    assert pacer.pop(1.3) is None
    assert pacer.pop(2.4) == b"b!1\n"
    assert pacer.due() is None
    assert pacer.pop(9.0) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=3), st.integers(0, 60))))
def test_what_waits_is_bounded_and_its_size_is_known(offers):
    pacer = Pacer(1.0, 100, now=0.0)
    for channel, length in offers:
        pacer.offer(channel, b"x" * length)
        assert pacer._size == sum(map(len, pacer._waiting.values())) <= 100
    pacer.drain()
    assert (pacer._size, pacer.due()) == (0, None)
