"""What commits say."""

from __future__ import annotations

import pytest

from autosync.common.rawdiff import parse
from autosync.watcher import rawdiff
from autosync.watcher.message import LISTED, Change, compose, escaped, summary


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ([Change("M", b"notes/todo.md")], '"notes/todo.md" edited'),
        ([Change("A", b"a")], '"a" added'),
        ([Change("T", b"a")], '"a" retyped'),
        ([Change("R", b"b", b"a")], '"a" moved to "b"'),
        ([Change("A", b"p/%d" % n) for n in range(9)] + [Change("M", b"p/x%d" % n) for n in range(3)],
         "12 files in p/: 9 added, 3 edited"),
        ([Change("D", b"a/b/c"), Change("D", b"a/b/d")], "2 files in a/b/ deleted"),
        ([Change("D", b"a/bc"), Change("D", b"a/bd/e")], "2 files in a/ deleted"),
        ([Change("D", b"abc"), Change("M", b"abd")], "2 files: 1 edited, 1 deleted"),
        ([Change("R", b"x/f", b"y/f"), Change("R", b"x/g", b"y/g")], "2 files moved"),
        ([Change("X", b"a")], '"a" changed'),
        ([Change("A", b"x" * 100)], '"...' + "x" * 57 + '" added'),
        ([Change("A", b"l\ni\x1bne\xff")], '"l\\ni\\x1bne\\xff" added'),
    ],
)  # fmt: skip
def test_the_summary(changes, line):
    assert summary(changes) == line


def test_the_body_is_bounded_and_ends_with_trailers():
    text = compose("{summary}", [Change("A", b"%d" % n) for n in range(1000)], "laptop", "rené")
    assert text.count("\nadded ") == LISTED
    assert "\nand 950 more\n" in text
    assert text.endswith("\n\nAutosync-Machine: laptop\nAutosync-User: rené\n")


def test_a_template_cannot_be_broken_by_names():
    text = compose("{summary} {nonsense} {count}%s", [Change("A", b"{machine}")], "m", "u\nForged: x")
    assert text.startswith('"{machine}" added {nonsense} 1%s\n')
    assert "\nForged" not in text


def test_context_stands_between():
    assert compose("s", [Change("A", b"f")], "m", "u", "why\n").split("\n\n")[:3] == ["s", "why", "added f"]


def test_escaped_names_are_printable():
    assert escaped("grüße 日本".encode()) == "grüße 日本"
    assert escaped(b"\x00\x7f\t\xff").isprintable()


RAW = (
    b":000000 100644 0000000 aaaaaaa A\0new\0:100644 000000 aaaaaaa 0000000 D\0old\0"
    b":100644 100755 bbbbbbb bbbbbbb M\0script\0:100644 000000 ccccccc 0000000 D\0gone\nfor good\0"
)


def test_raw_differences_are_read_and_moves_are_seen():
    rows = parse(RAW)
    assert rawdiff.changes(rows) == [
        Change("R", b"new", b"old"),
        Change("M", b"script"),
        Change("D", b"gone\nfor good"),
    ]
    assert rawdiff.lost(rows) == 1
    assert parse(b"") == []


def test_an_index_is_brought_to_the_new_side():
    assert rawdiff.index_info(parse(RAW)).split(b"\0")[:-1] == [
        b"100644 aaaaaaa\tnew",
        b"0 0000000\told",
        b"100755 bbbbbbb\tscript",
        b"0 0000000\tgone\nfor good",
    ]
