"""What people do to files, at random, with names and contents that are likely to get in each other's way."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from tests.proof.ledger import Pending, blob_id, link_id

NAMES = (
    b"a.txt",
    b"b.txt",
    b"d",
    b"d/b.txt",
    b"d/e/c.bin",
    b"d/e/run.sh",
    b"D/b.txt",
    b"x/y/z",
    b"x/y",
    b"-dash",
    b"two\nlines.txt",
    b"caf\xe9.txt",
    b"precious.log",
    b"d/precious.log",
    b"a.conflict-1234567.txt",
)
#: A file that nobody touches.
KEPT = b"keep-this"
_RULES = (b"*.log\n", b"*.log\nx/\n", b"", b"D/\n!a.txt\n")
_ATTRIBUTES = (b"*.txt merge=union\n", b"*.txt -merge\n", b"*.txt text\n", b"")


class Person:
    """Edits one work tree and notes in ``pending`` what then lies there. Without ``rules``, ignore rules stay as they
    are: an ignored file in the way would wait for a person."""

    def __init__(self, repo: Path, pending: Pending, name: str, rules: bool = True) -> None:
        self._repo = repo
        self._root = os.fsencode(repo)
        self._pending = pending
        self._name = name
        self._rules = rules
        self._count = 0

    def edit(self, chance: random.Random) -> str:
        """One edit of some kind; returns a word for it. What cannot be done here and now is not done."""
        doings: list[Callable[[random.Random], None]] = [
            self.write,
            self.write,
            self.write,
            self.change_line,
            self.change_line,
            self.delete,
            self.rename,
            self.rename_folder,
            self.change_mode,
            self.link,
            self.binary,
            self.other_kind,
            self.rules,
        ]
        doing = chance.choice(doings)
        with contextlib.suppress(OSError):
            doing(chance)
        return doing.__name__

    def put(self, path: bytes, content: bytes) -> None:
        """Write a file whole, in place."""
        file = self._at(path)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        if self._through_link(path) or os.path.islink(file):
            return
        blob = blob_id(self._repo, path, content)
        with open(file, "wb") as opened:
            opened.write(content)
        self._pending.wrote(path, blob)

    def write(self, chance: random.Random) -> None:
        self.put(chance.choice(NAMES), self._content(chance))

    def change_line(self, chance: random.Random) -> None:
        """Another line in a file that is there, by way of a temporary file, as editors do."""
        path = self._some_file(chance)
        if path is None or self._through_link(path) or os.path.islink(self._at(path)):
            return
        with open(self._at(path), "rb") as opened:
            lines = opened.read().split(b"\n")
        self._count += 1
        lines[chance.randrange(len(lines))] = b"%s changed this, %d" % (self._name.encode(), self._count)
        content = b"\n".join(lines)
        blob = blob_id(self._repo, path, content)
        temporary = self._at(path) + b".swp"
        with open(temporary, "wb") as opened:
            opened.write(content)
        os.rename(temporary, self._at(path))
        self._pending.wrote(path, blob)

    def delete(self, chance: random.Random) -> None:
        path = self._some_file(chance)
        if path is not None and not self._through_link(path):
            os.unlink(self._at(path))
            self._pending.deleted(path)

    def rename(self, chance: random.Random) -> None:
        old, new = self._some_file(chance), chance.choice(NAMES)
        if old is None or old == new or self._through_link(old) or self._through_link(new):
            return
        os.makedirs(os.path.dirname(self._at(new)), exist_ok=True)
        os.rename(self._at(old), self._at(new))
        self._pending.renamed(old, new)

    def rename_folder(self, chance: random.Random) -> None:
        old, new = chance.choice(((b"d", b"moved"), (b"moved", b"d"), (b"x/y", b"x/other"), (b"d/e", b"e")))
        if self._through_link(old + b"/f") or self._through_link(new):
            return
        if os.path.isdir(self._at(old)):
            os.rename(self._at(old), self._at(new))
            self._pending.renamed(old, new)

    def change_mode(self, chance: random.Random) -> None:
        path = self._some_file(chance)
        if path is not None and not self._through_link(path) and not os.path.islink(self._at(path)):
            os.chmod(self._at(path), os.lstat(self._at(path)).st_mode ^ 0o111)

    def link(self, chance: random.Random) -> None:
        path, target = chance.choice(NAMES), chance.choice((b"a.txt", b"d", b"nowhere", b"../outside"))
        if self._through_link(path) or os.path.isdir(self._at(path)):
            return
        os.makedirs(os.path.dirname(self._at(path)), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(path))
        os.symlink(target, self._at(path))
        self._pending.wrote(path, link_id(self._repo, target))

    def binary(self, chance: random.Random) -> None:
        self._count += 1
        self.put(b"d/e/c.bin", b"\0\xff%s%d" % (self._name.encode(), self._count) + chance.randbytes(64))

    def other_kind(self, chance: random.Random) -> None:
        """A file becomes a folder, or a folder a file."""
        path = chance.choice((b"d", b"x/y", b"a.txt"))
        if self._through_link(path):
            return
        if os.path.isdir(self._at(path)) and not os.path.islink(self._at(path)):
            shutil.rmtree(self._at(path))
            self._pending.deleted(path)
            self.put(path, self._content(chance))
        elif os.path.lexists(self._at(path)):
            os.unlink(self._at(path))
            self._pending.deleted(path)
            self.put(path + b"/inside", self._content(chance))

    def rules(self, chance: random.Random) -> None:
        """Another .gitignore or .gitattributes."""
        if self._rules and chance.random() < 0.5:
            self.put(b".gitignore", chance.choice(_RULES))
        else:
            self.put(b".gitattributes", chance.choice(_ATTRIBUTES))

    def _content(self, chance: random.Random) -> bytes:
        """Of few lines, so that merges meet; now and then short, or nothing."""
        self._count += 1
        mark = b"%s wrote %d\n" % (self._name.encode(), self._count)
        if chance.random() < 0.1:
            return chance.choice((b"", mark[: chance.randrange(1, len(mark))]))
        lines = [b"line %d\n" % n for n in range(chance.randrange(8))]
        lines.insert(chance.randrange(len(lines) + 1), mark)
        return b"".join(lines)

    def _at(self, path: bytes) -> bytes:
        return self._root + b"/" + path

    def _some_file(self, chance: random.Random) -> bytes | None:
        found = []
        for folder, folders, files in os.walk(self._root):
            folders[:] = [f for f in folders if f != b".git"]
            for name in files + [f for f in folders if os.path.islink(folder + b"/" + f)]:
                path = (folder + b"/" + name)[len(self._root) + 1 :]
                if name != KEPT and not stat.S_ISDIR(os.lstat(self._at(path)).st_mode):
                    found.append(path)
        return chance.choice(sorted(found)) if found else None

    def _through_link(self, path: bytes) -> bool:
        """Whether a folder above ``path`` is a symbolic link: what is written there is elsewhere."""
        parts = path.split(b"/")
        return any(os.path.islink(self._at(b"/".join(parts[:n]))) for n in range(1, len(parts)))
