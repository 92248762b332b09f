"""Numbers, times and paths as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync.console import wording


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (4200, "4.2 kB"), (50_000_000, "50 MB"),
        (999_499, "999 kB"), (999_500, "1.0 MB"), (10**12, "1.0 TB"), (5 * 10**15, "5000 TB"),
    ],
)  # fmt: skip
def test_sizes(number, text):
    assert wording.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.31, "0.31 s"), (12, "12 s"), (89, "89 s"), (300, "5 min"), (7200, "2 h"), (86400 * 2, "2 days")],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("passed", "text"), [(-5, "just now"), (1, "just now"), (4, "4 s ago"), (30, "30 s ago"), (600, "10 min ago")]
)
def test_times_ago(passed, text):
    assert wording.ago(1000 - passed, 1000) == text


def test_plurals():
    assert wording.count(1, "entry", "entries") == "1 entry"
    assert wording.count(12345, "entry", "entries") == "12,345 entries"


def test_paths_are_printable_and_short():
    home = Path("/home/rene")
    assert wording.path("/home/rene/notes", home) == "~/notes"
    assert wording.path("/home/rene", home) == "~"
    assert wording.path("/home/renee", home) == "/home/renee"
    assert wording.path("/root/x", Path("/")) == "/root/x"
    assert wording.path("/a\n\x1b[31m\udcff", None) == "/a\\n\\x1b[31m\\xff"
    assert wording.shortened("abcdefghij", 7) == "ab…ghij"
    assert wording.shortened("abc", 7) == "abc"


def test_the_home_folder_is_written_as_a_shell_reads_it():
    home = Path("/home/rene")
    assert wording.homely("git -C /home/rene/a b; /home/rene", home) == "git -C ~/a b; ~"
    for kept in ('x "/home/rene/a"', "/home/renee", "/srv/home/rene", "--file=/home/rene/x"):
        assert wording.homely(kept, home) == kept
    assert wording.homely("rm '/home/rene/a b'; x", home) == "rm ~/'a b'; x"
    assert wording.homely("rm '/home/rene/a'\"'\"'b'", home) == "rm '/home/rene/a'\"'\"'b'"
    assert wording.homely("it's in /home/rene/x: don't", home) == "it's in ~/x: don't"
    assert wording.homely("/x", Path("/")) == "/x"


def test_lists():
    assert wording.listed([]) == ""
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_commands_name_the_configuration_of_their_instance():
    text = "autosync resume /x; or autosync status --peers (autosync-relay, autosync demo)"
    expected = (
        "autosync --config '/e t' resume /x; or autosync --config '/e t' status --peers (autosync-relay, autosync demo)"
    )
    assert wording.of_instance(text, "/e t") == expected
    assert wording.of_instance(text, None) == text
