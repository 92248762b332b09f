"""Trees to be merged, and gits to merge them with."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from autosync.common.git import Git
from autosync.common.reader import open_reader
from autosync.relay.merge import merge
from tests.hooks.conftest import NEW_GIT
from tests.support.git import git

# A tree: path -> content, ("x", content) for an executable, ("->", target) for a symbolic link
Files = dict[str, object]


class Lab:
    """A repository in which trees are committed without a work tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        git(folder, "init", "-q", "--bare", ".")
        self._clock = 1_700_000_000
        #: What was committed, by commit.
        self.committed: dict[str, Files] = {}

    def commit(self, files: Files, *parents: str, author: str = "one") -> str:
        lines = b""
        for path, content in files.items():
            mode, text = "100644", content
            if isinstance(content, tuple):
                mode, text = {"x": "100755", "->": "120000"}[content[0]], content[1]
            data = text if isinstance(text, bytes) else str(text).encode()
            oid = git(self.folder, "hash-object", "-w", "--stdin", input=data)
            lines += f"{mode} {oid}\t".encode() + os.fsencode(path) + b"\0"
        env = os.environ | {"GIT_INDEX_FILE": str(self.folder / "lab-index")}

        def run(*args: str, data: bytes | None = None) -> str:
            return (
                subprocess.run(["git", *args], cwd=self.folder, input=data, capture_output=True, check=True, env=env)
                .stdout.decode()
                .strip()
            )

        run("read-tree", "--empty")
        run("update-index", "-z", "--index-info", data=lines)
        tree = run("write-tree")
        self._clock += 60
        stamp = f"{self._clock} +0100"
        env |= {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp, "GIT_COMMITTER_NAME": author}
        message = f"work\n\nAutosync-Machine: {author}\n".encode()
        made = run("commit-tree", *[word for p in parents for word in ("-p", p)], tree, data=message)
        self.committed[made] = files
        return made

    def merge(self, one: str, other: str, keep_both: bool = True):
        """Merge in both orders, insist that it is the same, and return it."""
        bare, own = Git(self.folder, self.folder), self.folder / "own"
        reader = open_reader(self.folder, bare)
        found, again = (
            asyncio.run(merge(bare, reader, own, *pair, keep_both=keep_both)) for pair in ((one, other), (other, one))
        )
        assert found == again
        return found

    def tree(self, commit: str) -> dict[str, str]:
        """path -> mode and content."""
        found = {}
        for row in git(self.folder, "ls-tree", "-r", "-z", commit).split("\0")[:-1]:
            head, _, path = row.partition("\t")
            mode, _, oid = head.split()
            content = git(self.folder, "cat-file", "blob", oid) if mode != "160000" else oid
            found[path] = ("" if mode == "100644" else f"{mode}:") + content
        return found


def merged_at(repo: Path, one: str, other: str):
    """Merge in a repository with a work tree."""
    there = Git(repo)
    return asyncio.run(
        merge(there, open_reader(repo / ".git", there), repo / ".git/autosync", one, other, keep_both=True)
    )


#: A git of each kind: this machine's own, and the newest.
both_gits = pytest.mark.parametrize(
    "tools", ["", pytest.param(NEW_GIT, marks=pytest.mark.skipif(not NEW_GIT, reason="no newer git here"))]
)


def with_git(tools: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if tools:
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
