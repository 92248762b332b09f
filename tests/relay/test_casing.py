"""Names that are one name where case does not count."""

from __future__ import annotations

import pytest

from autosync.relay.casing import collisions


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a", "b", "d/a", "D/b"], set()),
        (["a", "A", "b"], {("A", "a")}),
        (["d/a", "D/a"], {("D/a", "d/a")}),
        (["d/a/x", "D/A"], {("d/a", "D/A")}),
        (["d/a", "d"], {("d", "d")}),
        (["Straße", "STRASSE"], {("STRASSE", "Straße")}),
        (["caf\udce9", "CAF\udce9"], {("CAF\udce9", "caf\udce9")}),
    ],
)
def test_collisions(paths, found):
    assert collisions(paths) == found
