"""A central repository, and clones of it with workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.relay.clones import Clone
from tests.support.git import git


@pytest.fixture
def central(tmp_path) -> Path:
    git(tmp_path, "init", "-q", "--bare", "central.git")
    return tmp_path / "central.git"


@pytest.fixture
def two(tmp_path, central) -> tuple[Clone, Clone]:
    """Two clones at the same first commit, with workers that have rested."""
    a, b = Clone(tmp_path, "a", central), Clone(tmp_path, "b", central)
    a.commit("first", "1\n")
    assert a.turn() == "in sync"
    assert b.turn() == "in sync"
    assert b.head == a.head
    a.heard.moves.clear()
    return a, b
