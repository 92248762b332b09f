"""A lock given up is free, whoever inherited its descriptor: a hook may have left a process behind."""

from __future__ import annotations

import subprocess

from autosync.common import locks


def test_a_lock_given_up_is_free_though_a_child_still_has_the_descriptor(tmp_path):
    lock = locks.acquire(tmp_path / "lock")
    with subprocess.Popen(["sleep", "60"], pass_fds=[lock]) as left_behind:
        try:
            locks.release(lock)
            locks.release(locks.acquire(tmp_path / "lock"))
        finally:
            left_behind.kill()
