"""A work tree on a file system to which names that differ by case alone are one: exFAT, as on many a stick. It has no
links and no modes either."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proof.faults import may_mount
from tests.proof.ledger import Ledger, stuck
from tests.proof.peer import Network, Peer
from tests.support.git import git
from tests.support.wait import until

pytestmark = pytest.mark.skipif(
    not (
        may_mount() and shutil.which("mount.exfat-fuse") and shutil.which("mkfs.exfat") and Path("/dev/fuse").exists()
    ),
    reason="only root can mount an image, with exfat-fuse and exfatprogs",
)


@pytest.fixture
def stick(tmp_path) -> Iterator[Path]:
    """A folder on exFAT."""
    image, folder = tmp_path / "image", tmp_path / "stick"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
    found = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, check=False, text=True)
    device = found.stdout.strip()
    if found.returncode:
        pytest.skip(f"no loop device: {found.stderr}")
    try:
        subprocess.run(["mount.exfat-fuse", device, folder], check=True, capture_output=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.fixture
def two(tmp_path, stick) -> tuple[Peer, Peer]:
    """`a` on the file system of the tests, `b` on the stick; they have `Readme.md` in common."""
    central = tmp_path / "central.git"
    git(tmp_path, "init", "-q", "--bare", str(central))
    network, ledger = Network(), Ledger()
    a = Peer(tmp_path, "a", central, ledger, network, 0)
    (a.path / "Readme.md").write_text("one\n")
    a.commit_by_hand()
    a.relay()
    b = Peer(stick, "b", central, ledger, network, 0)
    b.relay()
    assert git(b.path, "config", "core.ignoreCase") == "true"
    return a, b


def both(a: Peer, b: Peer) -> None:
    for _ in range(2):
        for peer in (a, b):
            peer.watch()
            peer.relay()


def test_it_is_synchronised_both_ways(two):
    a, b = two
    (a.path / "d").mkdir()
    (a.path / "d/new").write_text("by a\n")
    (b.path / "d2").mkdir()
    (b.path / "d2/New").write_text("by b\n")
    both(a, b)
    assert (a.path / "d2/New").read_text() == "by b\n"
    assert (b.path / "d/new").read_text() == "by a\n"
    (a.path / "Readme.md").write_text("by a\n")
    (b.path / "Readme.md").write_text("by b\n")
    both(a, b)
    assert sorted(path.read_text() for path in b.path.glob("Readme*")) == ["by a\n", "by b\n"]
    assert git(a.path, "rev-parse", "HEAD") == git(b.path, "rev-parse", "HEAD")
    assert stuck(a.path) == stuck(b.path) == []


def test_two_names_wait_and_go_on_when_one_is_renamed(two):
    a, b = two
    (a.path / "README.md").write_text("another\n")
    both(a, b)
    assert b.worker.status.name == "waiting"
    assert "differ by case alone" in (b.worker.status.reason or "")
    assert (b.path / "Readme.md").read_text() == "one\n"
    assert stuck(b.path) == []
    (b.path / "Readme.md").write_text("two\n")
    both(a, b)
    assert git(b.path, "show", "HEAD:Readme.md") == "two"
    (a.path / "README.md").rename(a.path / "other.md")
    both(a, b)
    both(a, b)
    assert (a.path / "Readme.md").read_text() == "two\n"
    assert (b.path / "other.md").read_text() == "another\n"
    assert git(a.path, "rev-parse", "HEAD") == git(b.path, "rev-parse", "HEAD")


def test_a_rename_by_case_alone_from_elsewhere_leaves_nothing_half_done(two):
    """git takes the file for one that nobody knows, as it has another inode by its new name here (exfat-fuse), and the
    person is told to rename it: that helps."""
    a, b = two
    (a.path / "Readme.md").rename(a.path / "README.md")
    both(a, b)
    if b.worker.status.name == "waiting":
        assert stuck(b.path) == []
        assert (b.path / "Readme.md").read_text() == "one\n"
        (b.path / "Readme.md").rename(b.path / "aside.md")
        # the kernel keeps for a moment what a name led to, also the other one of the same file (FUSE's entry_timeout)
        until(lambda: not os.path.lexists(b.path / "README.md"), "the other name to be forgotten")
        both(a, b)
        both(a, b)
    assert (b.path / "README.md").read_text() == "one\n"
    assert git(b.path, "rev-parse", "HEAD") == git(a.path, "rev-parse", "HEAD"), b.worker.status
    assert stuck(b.path) == []


def test_a_rename_by_case_alone_on_the_stick_is_committed_as_one_name(two):
    a, b = two
    os.rename(b.path / "Readme.md", b.path / "README.md")
    both(a, b)
    assert len(list(a.path.glob("[Rr]*"))) == 1
    assert (b.path / "README.md").read_text() == "one\n"
    assert git(a.path, "rev-parse", "HEAD") == git(b.path, "rev-parse", "HEAD")
    assert stuck(a.path) == stuck(b.path) == []
