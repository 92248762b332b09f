"""A push whose answer never came: the remote has it, and nobody here knows."""

from __future__ import annotations

import pytest

from autosync.common.instance import Instance
from autosync.relay.memory import Memory
from autosync.relay.state import Move
from tests.relay.clones import BRANCH, Clone
from tests.support.git import git

# the ref has moved when this runs; the pushing git is killed before it hears of it
_KILLER = """\
#!/bin/sh
[ -e "$0.armed" ] || exit 0
rm "$0.armed"
pid=$PPID
until tr '\\0' ' ' </proc/$pid/cmdline | grep -q -- --porcelain; do
    pid=$(sed 's/.*) . //; s/ .*//' /proc/$pid/stat)
done
kill -9 $pid
"""


@pytest.fixture
def clone(tmp_path) -> Clone:
    git(tmp_path, "init", "-q", "--bare", "central.git")
    hook = tmp_path / "central.git/hooks/post-receive"
    hook.write_text(_KILLER)
    hook.chmod(0o755)
    clone = Clone(tmp_path, "a", tmp_path / "central.git")
    clone.commit("first", "1\n")
    assert clone.turn() == "in sync"
    return clone


def cut_short(clone: Clone) -> str:
    """Push, with git killed when the remote has it."""
    central = clone.path.parent / "central.git"
    (central / "hooks/post-receive.armed").touch()
    head = clone.commit("f", "2\n")
    clone.heard.moves.clear()
    assert clone.turn(fetch=False) == "error"
    assert clone.heard.moves == []
    assert git(central, "rev-parse", BRANCH) == head != git(clone.path, "rev-parse", "origin/main")
    return head


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("fetch", [False, True])
def test_it_is_announced_at_the_next_look(clone, restarted, fetch):
    head = cut_short(clone)
    if restarted:
        clone.worker = None
    assert clone.turn(fetch=fetch) == "in sync"
    assert clone.heard.moves == [Move(BRANCH, head)]
    clone.worker = None
    assert clone.turn() == "in sync"
    assert clone.heard.moves == [Move(BRANCH, head)]


def test_it_is_announced_though_nothing_else_is_remembered(clone):
    """The relay was killed in its very first turn."""
    head = cut_short(clone)
    clone.worker = None
    for path in (clone.instance.state / "relay").glob("*.json"):
        path.unlink()
    assert clone.turn() == "in sync"
    assert clone.heard.moves == [Move(BRANCH, head)]


def test_what_somebody_else_has_pushed_meanwhile_is_not_announced(clone):
    head = cut_short(clone)
    other = clone.path.parent / "other"
    git(clone.path.parent, "clone", "-q", "central.git", str(other))
    git(other, "commit", "-q", "--allow-empty", "-m", "theirs")
    git(other, "push", "-q")
    clone.worker = None
    assert clone.turn() == "in sync"
    assert clone.heard.moves == []
    assert clone.head != head


@pytest.mark.parametrize("left", [b"", b"{", b"[1]", b'{"refs/heads/main": 1}', b"\xff"])
def test_what_a_power_cut_leaves_of_the_mark_is_no_hindrance(tmp_path, left):
    memory = Memory.of(Instance.of(tmp_path / "a.toml").state, tmp_path)
    memory.push_begins(BRANCH, "a" * 40)
    memory._pushing_path.write_bytes(left)
    assert Memory.of(memory._pushing_path.parent, tmp_path).pushing == {}
