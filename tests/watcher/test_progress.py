"""What the watcher says of work that takes long."""

from __future__ import annotations

import asyncio
import os
import threading

from autosync.common.control import ask
from tests.support.wait import until


def test_a_slow_commit_is_shown_in_the_status_and_to_who_waits_for_it(watched, tmp_path):
    w = watched("settle = 1000")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    hook = w.root / ".git" / "hooks" / "pre-commit"
    hook.write_text(f"#!/bin/sh\nread x <'{gate}'\n")
    hook.chmod(0o755)
    w.write("f")
    until(lambda: w.status()["dirty"], "the file to be noticed")
    assert w.status()["progress"] is None
    lines: list[str] = []
    commit = threading.Thread(
        target=lambda: asyncio.run(ask(w.socket, "commit", paths=None, limit=60, progress=lines.append))
    )
    commit.start()
    until(lambda: w.status()["progress"] == "committing: 1 changed file", "the progress in the status")
    until(lambda: lines, "the progress for who waits")
    gate.write_text("go on\n")
    commit.join()
    assert set(lines) == {f"{w.root}: committing: 1 changed file"}
    w.until_committed("f", b"x\n")
    assert w.status()["progress"] is None
