"""The line protocol's rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosync.relay.reflector import protocol
from autosync.relay.reflector.protocol import Delivery, Lines, LineTooLong, Pong, Request

channels = st.binary(min_size=1, max_size=protocol.CHANNEL_LIMIT).filter(protocol.is_channel)
messages = st.binary(min_size=1, max_size=500).filter(lambda data: b"\n" not in data)


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b"ping", Request("ping")),
        (b"info", Request("info")),
        (b"autosync 1", Request("greeting")),
        (b"autosync 2 and more", Request("greeting")),
        (b"subscribe notes", Request("subscribe", b"notes")),
        (b"unsubscribe notes", Request("unsubscribe", b"notes")),
        (b"announce notes a b!c", Request("announce", b"notes", b"a b!c")),
        (b"announce notes  a", Request("announce", b"notes", b" a")),
        (b"announce notes", None),
        (b"announce notes ", None),
        (b"announce  notes", None),
        (b"subscribe a!b", None),
        (b"subscribe a b", None),
        (b"subscribe ", None),
        (b"Subscribe a", None),
        (b"ping me", None),
        (b"", None),
    ],
)
def test_requests(line, request_):
    assert protocol.parse_request(line) == request_


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"1795467114", Pong()),
        (b"debug!connected...", Delivery(b"debug", b"connected...")),
        (b"a!b!c", Delivery(b"a", b"b!c")),
        (b"a!", Delivery(b"a", b"")),
        (b"uptime: 5", None),
        (b"-1", None),
        (b"", None),
    ],
)
def test_answers(line, answer):
    assert protocol.parse_answer(line) == answer


@settings(deadline=None)
@given(channels, messages)
def test_what_is_announced_is_what_is_delivered(channel, message):
    line = protocol.announce(channel, message)
    request = protocol.parse_request(line[:-1])
    assert request == Request("announce", channel, message)
    assert protocol.parse_answer(protocol.delivery(channel, message)[:-1]) == Delivery(channel, message)
    assert len(protocol.delivery(channel, message)) <= len(line)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=1023).map(lambda data: data.replace(b"\n", b"")), max_size=20), st.data())
def test_lines_are_the_same_however_they_are_cut(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    splitter, found = Lines(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        splitter.feed(stream[start:end])
        while (line := splitter.take()) is not None:
            found.append(line)
    assert found == lines


def test_a_line_may_be_as_long_as_the_limit_and_no_longer():
    lines = Lines()
    lines.feed(b"x" * (protocol.LINE_LIMIT - 1))
    assert lines.take() is None
    lines.feed(b"\n")
    assert lines.take() == b"x" * (protocol.LINE_LIMIT - 1)
    lines.feed(b"x" * protocol.LINE_LIMIT)
    with pytest.raises(LineTooLong):
        lines.take()


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_no_bytes_make_parsing_fail(data):
    protocol.parse_request(data)
    protocol.parse_answer(data)
    lines = Lines()
    lines.feed(data)
    try:
        while lines.take() is not None:
            pass
    except LineTooLong:
        pass


@pytest.mark.parametrize(("name", "is_one"), [(b"a" * 40, True), (b"0" * 64, True), (b"A" * 40, False), (b"a", False)])
def test_the_channels_of_sparkleshare(name, is_one):
    assert protocol.is_sparkleshare_channel(name) is is_one
