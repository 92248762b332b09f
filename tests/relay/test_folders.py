"""Which folders were renamed, and what goes along with them."""

from __future__ import annotations

import pytest

from autosync.relay import folders

A, B, C = (("100644", letter * 40) for letter in "abc")


def moves(**names: str):
    """How a tree differs in which files were moved: old and new path, each file with a content of its own."""
    found = {}
    for number, (old, new) in enumerate(names.values()):
        entry = ("100644", f"{number:040}")
        found |= {old: (entry, None), new: (None, entry)}
    return found


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        ([("d/a", "e/a")], {"d": "e"}),
        ([("d/a", "e/b")], {"d": "e"}),
        ([("d/a", "d/b")], {}),
        ([("d/a", "a")], {"d": ""}),
        ([("a", "d/a")], {}),
        ([("d/a", "x/d/a")], {"d": "x/d"}),
        # a folder in a folder that was renamed
        ([("d/s/a", "e/s/a")], {"d/s": "e/s", "d": "e"}),
        ([("d/s/a", "e/t/a")], {"d/s": "e/t"}),
        ([("d/a", "e/a"), ("d/b", "e/b"), ("d/c", "f/c")], {"d": "e"}),
        # nobody can tell where to
        ([("d/a", "e/a"), ("d/b", "f/b")], {}),
    ],
)
def test_where_a_folder_went(moved, expected):
    assert folders.renamed(moves(**{f"m{n}": pair for n, pair in enumerate(moved)})) == expected


def test_a_file_that_was_edited_meanwhile_tells_nothing_of_its_folder():
    assert folders.renamed({"d/a": (A, None), "e/a": (None, B)}) == {}


def test_of_two_files_alike_the_one_with_the_name_moved():
    changes = {"d/a": (A, None), "e/z": (None, A), "f/a": (None, A)}
    assert folders.renamed(changes) == {"d": "f"}


@pytest.mark.parametrize(
    ("path", "moved", "present", "expected"),
    [
        ("d/n", {"d": "e"}, ["e/a"], "e/n"),
        ("d/s/n", {"d": "e"}, ["e/a"], "e/s/n"),
        ("d/s/n", {"d": "e", "d/s": "f"}, ["f/a"], "f/n"),
        ("d/n", {"d": ""}, ["a"], "n"),
        ("dd/n", {"d": "e"}, ["e/a"], None),
        # something is left in it: it was not renamed
        ("d/n", {"d": "e"}, ["e/a", "d/s/b"], None),
    ],
)
def test_what_goes_along(path, moved, present, expected):
    assert folders.along([path], moved, present) == ({path: expected} if expected else {})
