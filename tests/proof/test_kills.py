"""A kill at each boundary between two git commands, one after the other: a commit, a fetch, a merge with conflicts, the
move of the work tree and the push. The next start goes on from there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.proof.ledger import Ledger, reachable, stuck
from tests.proof.peer import Network, Peer
from tests.support.git import git


def at_work(folder: Path) -> tuple[Peer, Peer]:
    """Two machines; `a` has pushed, and `b` has changed the same and has not committed yet."""
    central = folder / "central.git"
    git(folder, "init", "-q", "--bare", str(central))
    a, b = [Peer(folder, name, central, Ledger(), Network(), 0) for name in "ab"]
    (a.path / "d").mkdir()
    for name in ("notes.txt", "d/x", "gone", "kept"):
        (a.path / name).write_text(f"{name}\n")
    a.watch()
    assert (a.relay(), b.relay()) == ("in sync", "in sync")
    (a.path / "notes.txt").write_text("by a\n")
    (a.path / "new").write_text("new\n")
    (a.path / "gone").unlink()
    a.watch()
    assert a.relay() == "in sync"
    (b.path / "notes.txt").write_text("by b\n")
    (b.path / "d/x").write_text("by b, too\n")
    (b.path / "gone").write_text("edited\n")
    return a, b


def test_a_kill_at_any_boundary_loses_nothing_and_leaves_nothing(tmp_path):
    folder, saved = tmp_path / "work", tmp_path / "saved"
    folder.mkdir()
    a, b = at_work(folder)
    shutil.copytree(folder, saved, symlinks=True)
    argv = [sys.executable, "-m", "tests.proof.killed", str(folder), "b"]
    boundary, ended = 0, ""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        while ended != "whole":
            shutil.rmtree(folder)
            shutil.copytree(saved, folder, symlinks=True)
            for peer in (a, b):
                # what it remembers is of the round before, which never was
                shutil.rmtree(peer.state, ignore_errors=True)
            process.stdin.write(f"{boundary}\n")
            process.stdin.flush()
            ended = process.stdout.readline().strip()
            assert ended in ("whole", "killed"), boundary
            b.restart()
            b.watch()
            assert b.relay() == "in sync", (boundary, b.worker.status)
            a.restart()
            assert a.relay() == "in sync"
            assert stuck(b.path) == stuck(a.path) == [], boundary
            head = git(b.path, "rev-parse", "HEAD")
            assert git(a.path, "rev-parse", "HEAD") == git(b.central, "rev-parse", "main") == head
            texts = sorted(path.read_text() for path in b.path.iterdir() if path.is_file())
            assert texts == ["by a\n", "by b\n", "edited\n", "kept\n", "new\n"], boundary
            assert (a.path / "d/x").read_text() == "by b, too\n"
            blobs = {git(b.path, "rev-parse", f"{head}:{path.name}") for path in b.path.iterdir() if path.is_file()}
            assert blobs <= reachable(b.central, head)
            boundary += 1
        process.stdin.close()
    # which version has the name is not compared: commits of one second are told apart by their names
    assert boundary > 15
