"""The three formats: whatever comes, an announcement, a hint or a refusal comes of it, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autosync.relay.announcement import KINDS, Announcement, Malformed
from autosync.relay.transports.base import Subscription
from autosync.relay.transports.reflector_messages import (
    TEXT_LIMIT,
    Echo,
    Known,
    Look,
    PlainFormat,
    SealedFormat,
    SparkleShareFormat,
    Untimely,
    read,
    sparkleshare_channel,
    write,
)
from autosync.relay.transports.reflector_routes import Routes
from autosync.relay.transports.sealing import Sealer

from .reflectors import COMMIT, ID, OTHER, announcement

NOW = 1_795_467_114.0
SEALER = Sealer("correct horse battery staple")
CHANNEL = SEALER.channel(ID)
OURS, THEIRS = "00000001", "00000002"
FORMATS = {
    "plain": lambda tag: PlainFormat(tag),
    "sealed": lambda tag: SealedFormat(tag, SEALER),
}


@st.composite
def announcements(draw) -> Announcement:
    while True:
        try:
            return Announcement(
                draw(st.sampled_from(KINDS)),
                ID,
                "refs/heads/" + draw(st.text(min_size=1, max_size=200)),
                draw(st.text("0123456789abcdef", min_size=40, max_size=40)),
                draw(st.text(min_size=1, max_size=64)),
            )
        except Malformed:
            pass


@settings(deadline=None)
@given(announcements())
def test_what_is_written_is_read(said):
    heard = read(write(said, THEIRS), ID, OURS)
    assert heard in (said, Look())
    assert len(write(said, THEIRS)) <= TEXT_LIMIT


def test_what_cannot_be_said_becomes_a_hint():
    # 200 characters of four bytes each; a branch whose name is not UTF-8
    for ref in ("refs/heads/" + "\N{GRINNING FACE}" * 200, "refs/heads/\udcff"):
        assert read(write(announcement(ref=ref), THEIRS), ID, OURS) == Look()


@pytest.mark.parametrize("style", FORMATS)
def test_both_formats_know_their_own_words(style):
    ours, theirs = FORMATS[style](OURS), FORMATS[style](THEIRS)
    message = theirs.encode(announcement(), CHANNEL, NOW)
    assert ours.decode(ID, CHANNEL, message, NOW) == announcement()
    assert theirs.decode(ID, CHANNEL, message, NOW) == Echo()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"1",
        b"2 pushed " + COMMIT.encode() + b" 00000002 refs/heads/main laptop",
        b"1 deleted " + COMMIT.encode() + b" 00000002 refs/heads/main laptop",
        b"1 pushed " + COMMIT.encode() + b" 00000002 refs/tags/v1 laptop",
        b"1 pushed " + COMMIT.encode() + b" 00000002 refs/heads/../../x laptop",
        b"1 pushed " + COMMIT.encode() + b" 0000000 refs/heads/main laptop",
        b"1 pushed " + COMMIT.encode() + b" 00000002 refs/heads/main",
        b"1 pushed " + COMMIT.encode() + b" 00000002 refs/heads/main \x1b[2J",
        b"1 pushed " + COMMIT[:-1].encode() + b" 00000002 refs/heads/main laptop",
        b"1 pushed HEAD 00000002 refs/heads/main laptop",
        b"1 look",
        b"1 look 00000002 x",
        b"1 look \xff\xff",
        b"1 pushed " + COMMIT.encode() + b" 00000002 refs/heads/" + b"x" * 600 + b" laptop",
        # well-formed but for its length
        f"1 pushed {COMMIT} 00000002 refs/heads/{chr(0x1F600) * 200} laptop".encode(),
    ],
)
def test_what_is_not_well_formed_is_refused(text):
    with pytest.raises(Malformed):
        read(text, ID, OURS)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=1200), st.text(max_size=300).map(lambda t: f"1 pushed {t}".encode())))
def test_no_bytes_make_reading_fail_otherwise(data):
    for style in (PlainFormat(OURS), SealedFormat(OURS, SEALER), SparkleShareFormat()):
        try:
            word = style.decode(ID, CHANNEL, data, NOW)
        except Malformed:
            continue
        assert isinstance(word, Announcement | Look | Echo)


@settings(deadline=None)
@given(st.binary(max_size=560))
def test_no_text_of_one_who_has_the_secret_makes_reading_fail(text):
    message = SEALER.seal(CHANNEL, text, NOW)
    try:
        SealedFormat(OURS, SEALER).decode(ID, CHANNEL, message, NOW)
    except Malformed:
        pass


def test_sealed_messages_are_believed_once_and_in_time():
    ours, theirs = SealedFormat(OURS, SEALER), SealedFormat(THEIRS, SEALER)
    message = theirs.encode(announcement(machine="desktop"), CHANNEL, NOW)
    assert ours.decode(ID, CHANNEL, message, NOW) == announcement(machine="desktop")
    with pytest.raises(Known):
        ours.decode(ID, CHANNEL, message, NOW + 1)
    with pytest.raises(Untimely) as caught:
        ours.decode(ID, CHANNEL, message, NOW + 3600)
    assert (caught.value.machine, caught.value.seconds) == ("desktop", 3600)


def test_sparkleshare_messages_are_hints_and_the_own_ones_are_known():
    style = SparkleShareFormat()
    assert style.encode(announcement(), CHANNEL, NOW) == COMMIT.encode()
    assert style.decode(ID, CHANNEL, COMMIT.encode(), NOW) == Echo()
    assert style.decode(ID, b"another", COMMIT.encode(), NOW) == Look()
    assert style.decode(ID, CHANNEL, OTHER.encode(), NOW) == Look()
    assert style.decode(ID, CHANNEL, b"a" * 64, NOW) == Look()


@pytest.mark.parametrize(
    ("content", "channel"),
    [
        (None, None),
        ("", None),
        ("a" * 40 + "\n", b"a" * 40),
        ("  " + "0" * 64, b"0" * 64),
        ("A" * 40, None),
        ("a" * 41, None),
        ("ä" * 40, None),
        ("a" * 40 + "\nsubscribe x", None),
    ],
)
def test_the_channel_of_a_sparkleshare_file(content, channel):
    assert sparkleshare_channel(content) == channel


def test_repositories_that_share_a_channel_share_a_route():
    routes = Routes(sparkleshare=True)
    added, removed = routes.replace([Subscription("a", COMMIT), Subscription("b", COMMIT), Subscription("c")])
    assert [(route.channel, route.repositories) for route in added] == [(COMMIT.encode(), ["a", "b"]), (b"c", ["c"])]
    assert removed == []
    assert routes.replace([Subscription("a", COMMIT), Subscription("b", COMMIT), Subscription("c")]) == ([], [])
    added, removed = routes.replace([Subscription("b", COMMIT), Subscription("d")])
    assert [route.channel for route in added] == [b"d"]
    assert [route.channel for route in removed] == [b"c"]
    assert routes.of("b").repositories == ["b"]


def test_a_clone_with_the_sparkleshare_file_decides_where_to_announce():
    for order in (1, -1):
        routes = Routes(sparkleshare=True)
        routes.replace([Subscription("a"), Subscription("a", COMMIT)][::order])
        assert routes.of("a").channel == COMMIT.encode()
        assert routes.on(b"a") is not None
