"""What becomes of names that cannot both be: a pure function, with no git."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from autosync.relay.conflict import Resolver

_PATHS = st.sampled_from(("d", "d/e", "d/e/f", "d.conflict-1111111"))
_ENTRIES = st.sampled_from([("100644", digit * 40) for digit in "12345"])


def _folders_apart(tree: Mapping[str, object]) -> bool:
    return not any(other.startswith(path + "/") for path in tree for other in tree)


_TREES = st.dictionaries(_PATHS, _ENTRIES, max_size=4).filter(_folders_apart)


def applied(tree: Mapping[str, tuple[str, str]], resolver: Resolver) -> dict[str, tuple[str, str]]:
    result = dict(tree)
    for edit in resolver.resolution().edits:
        if edit.entry is None:
            result.pop(edit.path, None)
        else:
            result[edit.path] = edit.entry
    return result


def test_of_a_file_and_a_folder_the_folder_keeps_the_name():
    file, inner = ("100644", "1" * 40), ("100644", "2" * 40)
    for winner, loser in (({"d": file}, {"d/e/f": inner}), ({"d/e/f": inner}, {"d": file})):
        resolver = Resolver({})
        resolver.by_path({"d", "d/e/f"}, {}, winner, loser)
        assert applied({}, resolver) == {"d/e/f": inner, "d.conflict-1111111": file}
        ((path, copy),) = [(c.path, c.copy) for c in resolver.resolution().conflicts]
        assert (path, copy) == ("d", "d.conflict-1111111")


@given(merged=_TREES, base=_TREES, one=_TREES, other=_TREES, paths=st.sets(_PATHS, min_size=2))
def test_a_merge_by_name_keeps_all_and_makes_a_tree(merged, base, one, other, paths):
    resolver = Resolver(merged)
    resolver.by_path(paths, base, one, other)
    tree = applied(merged, resolver)
    assert _folders_apart(tree)
    wanted = {entry[1] for side in (one, other) for path, entry in side.items() if path in paths}
    wanted -= {entry[1] for path, entry in base.items() if path in paths}
    wanted |= {entry[1] for path, entry in merged.items() if path not in paths}
    assert wanted <= {oid for _, oid in tree.values()}
