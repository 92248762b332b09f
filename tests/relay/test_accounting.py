"""What both sides brought is found in the merge, or the merge is made by name."""

from __future__ import annotations

import pytest

from autosync.relay.accounting import Side, dropped

A, B, C, D = (("100644", letter * 40) for letter in "abcd")


def changes(before: dict, after: dict):
    return {p: (before.get(p), after.get(p)) for p in {**before, **after} if before.get(p) != after.get(p)}


@pytest.mark.parametrize(
    ("base", "one", "other", "merged", "expected"),
    [
        # each side's own
        ({"a": A, "b": A}, {"a": B, "b": A}, {"a": A, "b": C}, {"a": B, "b": C}, set()),
        # git, or a driver, made one of two
        ({"a": A}, {"a": B}, {"a": C}, {"a": D}, set()),
        ({"a": A}, {"a": B}, {"a": C}, {"a": C}, set()),
        # an edit follows a file that was moved, as it is or merged with another
        ({"a": A}, {"a": B}, {"m": A}, {"m": B}, set()),
        ({"a": A}, {"a": B}, {"m": C}, {"m": D}, set()),
        # and both versions of a conflict are kept
        ({"a": A}, {"a": B}, {"a": C}, {"a": B, "copy": C}, set()),
        # dropped
        ({"a": A}, {"a": B}, {"a": A}, {"a": A}, {"a"}),
        ({"a": A}, {"a": B}, {}, {}, {"a"}),
        ({}, {"n": B}, {}, {}, {"n"}),
        ({"a": A}, {"a": B, "m": A}, {"m": A}, {"m": A}, {"a"}),
        # the copy of a conflict was not made of it
        ({"a": A}, {"a": B, "m": C}, {"m": D}, {"m": D, "copy": C}, {"a"}),
        # one file was made of two, but there are three
        (
            {"a": A, "b": A},
            {"a": B, "b": C},
            {"m": A},
            {"m": D},
            {"a", "b", "m"},
        ),
        # a deletion that does not come through is no content
        ({"a": A, "b": A}, {"b": A}, {"a": A, "b": A}, {"a": A, "b": A}, set()),
    ],
)
def test_what_is_dropped(base, one, other, merged, expected):
    sides = [Side([changes(base, side)], changes(side, merged)) for side in (one, other)]
    assert dropped(*sides) == dropped(*reversed(sides)) == expected


def test_what_one_of_several_bases_has_was_not_brought():
    side = Side([{"a": (A, B), "b": (A, B)}, {"b": (None, B), "c": (D, None)}], {})
    assert side.brought == {"b": (A, B)}
    assert side.moved == {A[1], D[1]}
