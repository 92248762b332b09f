"""Real processes, killed, starved and stopped: the next start goes on by itself, and no content is lost."""

from __future__ import annotations

import os

import pytest

from tests.proof import faults
from tests.proof.storm import Storm

needs_mounts = pytest.mark.skipif(not faults.may_mount(), reason="only root can make a small file system")
ROUNDS = 4


def test_crashes_at_random_moments_and_between_git_commands(tmp_path):
    with Storm(tmp_path, seed=20) as storm:
        for _ in range(ROUNDS):
            storm.round()
        storm.check_whole()


@needs_mounts
def test_a_full_disk_costs_a_pause_and_nothing_else(tmp_path):
    """The disk of b is full when a's changes come in and b's own are made; then there is room again."""
    with faults.small_disk(tmp_path / "b", "12m"), Storm(tmp_path, seed=21) as storm:
        a, b = storm.machines
        storm.settle()
        with faults.full(b.folder, leave=64 * 1024):
            a.write("large", os.urandom(3 << 20))
            b.write("small", "came when the disk was full\n")
            storm.until_logged(b, "relay", "the disk is full")
        storm.settle()
        assert b.read("small") == a.read("small") == "came when the disk was full\n"
        assert (b.repo / "large").stat().st_size == 3 << 20
        storm.check_whole()


def test_a_read_only_objects_folder_costs_a_pause_and_nothing_else(tmp_path):
    with Storm(tmp_path, seed=22) as storm:
        a, b = storm.machines
        storm.settle()
        with faults.read_only(b.repo / ".git/objects"):
            a.write("from-a", "1\n")
            b.write("from-b", "2\n")
            storm.until_logged(b, "relay", "not permitted")
            storm.until_logged(b, "watcher", "is held back")
        storm.settle()
        assert (b.read("from-a"), a.read("from-b")) == ("1\n", "2\n")
        storm.check_whole()
