"""Trees that two people may come to, merged: every machine makes one commit, whatever git it has, and every line of
both is in it."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from tests.hooks.conftest import NEW_GIT
from tests.relay.lab import Files, Lab, with_git
from tests.support.git import git

#: So many pairs of trees; many more have been tried by setting this.
ROUNDS = int(os.environ.get("PROOF_EXAMPLES", "10"))
_NAMES = ["a", "b", "A", "D/a", "a.txt", "-x", "a~HEAD", ".gitattributes", "d/.gitattributes"]
_NAMES += ["d", "d/a", "d/b", "d/e", "d/e/f", "e/a", "e/f", "moved/a"]
_FOLDERS = ("d moved", "moved d", "e d", "d e", "d/e e", "e moved", "d x/d")
_ATTRIBUTES = ("", "*.txt merge=union\n", "* merge=union\n", "a -merge\n", "* text=auto\n", "* text eol=crlf\n")
_MARK = re.compile(r"mark \d+")


class Author:
    """Changes trees at random. Each line that is made is made once: `mark N`."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._count = 0

    def changed(self, tree: Files) -> Files:
        """The tree after some edits."""
        tree = dict(tree)
        for _ in range(self.chance.randrange(1, 5)):
            doing = self.chance.choice((self._write, self._write, self._line, self._line, self._delete, self._rename))
            doing(tree)
            if self.chance.random() < 0.5:
                self._rename_folder(tree)
        return tree

    def _mark(self) -> str:
        self._count += 1
        return f"mark {self._count}\n"

    def _put(self, tree: Files, path: str, content: object) -> None:
        for other in [*tree]:
            if other.startswith(path + "/") or path.startswith(other + "/"):
                del tree[other]
        tree[path] = content

    def _write(self, tree: Files) -> None:
        path, kind = self.chance.choice(_NAMES), self.chance.random()
        long = [f"{self.chance.choice('uvw')} {n}\n" for n in range(12)]
        content: object = "".join(long[:5]) + self._mark() + "".join(long[5:])
        if path.endswith(".gitattributes"):
            content = self.chance.choice(_ATTRIBUTES)
        elif kind < 0.1:
            content = ("->", self.chance.choice(("a", "nowhere")))
        elif kind < 0.2:
            content = ("x", content)
        elif kind < 0.3:
            content = self.chance.choice(("", self._mark()))
        self._put(tree, path, content)

    def _line(self, tree: Files) -> None:
        texts = [path for path in tree if isinstance(tree[path], str) and "mark" in str(tree[path])]
        if texts:
            path = self.chance.choice(texts)
            lines = str(tree[path]).splitlines(keepends=True)
            lines.insert(self.chance.randrange(len(lines) + 1), self._mark())
            tree[path] = "".join(lines)

    def _delete(self, tree: Files) -> None:
        if len(tree) > 1:
            del tree[self.chance.choice(sorted(tree))]

    def _rename(self, tree: Files) -> None:
        movable = sorted(path for path in tree if not path.endswith(".gitattributes"))
        new = self.chance.choice(_NAMES)
        if movable and not new.endswith(".gitattributes"):
            self._put(tree, new, tree.pop(self.chance.choice(movable)))

    def _rename_folder(self, tree: Files) -> None:
        old, new = self.chance.choice(_FOLDERS).split()
        for path in [path for path in tree if path.startswith(old + "/")]:
            if path in tree:
                self._put(tree, new + path[len(old) :], tree.pop(path))


def marks(lab: Lab, commit: str) -> set[str]:
    return {mark for content in lab.tree(commit).values() for mark in _MARK.findall(content)}


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_one_commit_and_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    author, lab = Author(seed), Lab(tmp_path)
    base = author.changed(author.changed({"a": "1\n"}))
    root = lab.commit(base)
    sides = [lab.commit(author.changed(base), root) for _ in range(2)]
    if author.chance.random() < 0.3:
        # both have merged the other's work in their own way, and gone on
        sides = [lab.commit(author.changed(lab.committed[side]), side, other) for side, other in (sides, sides[::-1])]
    found = lab.merge(*sides)
    contents = lab.tree(found.commit)
    assert not any(re.search(r"^(<<<<<<<|>>>>>>>)", content, re.MULTILINE) for content in contents.values())
    bases = git(lab.folder, "merge-base", "--all", *sides).split()
    known = set().union(*(marks(lab, one) for one in bases))
    wanted = (marks(lab, sides[0]) | marks(lab, sides[1])) - known
    assert wanted <= marks(lab, found.commit)
    if NEW_GIT:
        with_git(NEW_GIT, monkeypatch)
        assert lab.merge(*sides) == found
