"""What came to rest on any machine, kept apart from what the program knows, and what has to be true in the end."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.git import git

_UNDER_WAY = (
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "rebase-merge",
    "rebase-apply",
    "index.lock",
    "HEAD.lock",
    "autosync/checkout",
    "autosync/commit",
    "autosync/recovery-index",
)


def blob_id(repo: Path, path: bytes, content: bytes) -> str:
    """The blob that git makes of ``content`` at ``path`` there, with the filters that apply to it."""
    return git(repo, "hash-object", "--stdin", f"--path={os.fsdecode(path)}", input=content)


def link_id(repo: Path, target: bytes) -> str:
    """The blob that git makes of a symbolic link."""
    return git(repo, "hash-object", "--stdin", "--no-filters", input=target)


def on_disk(repo: Path, path: bytes) -> str | None:
    """The blob that git would make of what is at ``path`` now; None when that is no file or link."""
    file = os.fsencode(repo) + b"/" + path
    try:
        mode = os.lstat(file).st_mode
        if stat.S_ISLNK(mode):
            return link_id(repo, os.readlink(file))
        if stat.S_ISREG(mode):
            with open(file, "rb") as opened:
                return blob_id(repo, path, opened.read())
    except OSError:
        pass
    return None


def tree(repo: Path, commit: str = "HEAD") -> dict[bytes, tuple[str, str]]:
    """The files of a commit: path to (mode, blob)."""
    listed = git(repo, "ls-tree", "-r", "-z", "--full-tree", commit, check=False)
    rows = [row.partition("\t") for row in listed.split("\0") if row]
    return {os.fsencode(path): (head.split(" ")[0], head.split(" ")[2]) for head, _, path in rows}


def reachable(repo: Path, *tips: str) -> set[str]:
    """Every object in the history of ``tips``."""
    return set(git(repo, "rev-list", "--objects", "--no-object-names", *tips, "--").split())


@dataclass
class Pending:
    """What a person has put on one machine's disk and what is in no commit yet, by path.

    A version that its own writer writes over, or deletes, before it is committed did not come to rest.
    """

    blobs: dict[bytes, str] = field(default_factory=dict)

    def wrote(self, path: bytes, blob: str) -> None:
        self.deleted(path)
        self.blobs[path] = blob

    def deleted(self, path: bytes) -> None:
        """``path`` went, with all below it."""
        self.blobs = {p: b for p, b in self.blobs.items() if p != path and not p.startswith(path + b"/")}

    def renamed(self, old: bytes, new: bytes) -> None:
        moved = {p: b for p, b in self.blobs.items() if p == old or p.startswith(old + b"/")}
        self.deleted(new)
        self.deleted(old)
        self.blobs |= {new + p[len(old) :]: b for p, b in moved.items()}


class Ledger:
    """All contents that came to rest, by blob, with where that was."""

    def __init__(self) -> None:
        self.contents: dict[str, str] = {}

    def rest(self, blob: str, where: str) -> None:
        self.contents.setdefault(blob, where)

    def settle(self, pending: Pending, committed: dict[bytes, tuple[str, str]], where: str) -> None:
        """Take over from ``pending`` what a commit holds now."""
        for path, blob in [*pending.blobs.items()]:
            if path in committed and committed[path][1] == blob:
                self.rest(blob, f"{where}: {path!r}")
                del pending.blobs[path]

    def lost(self, found: set[str]) -> dict[str, str]:
        """What is not among ``found``."""
        return {blob: where for blob, where in self.contents.items() if blob not in found}


def stuck(repo: Path) -> list[str]:
    """What a repository must not be left with: an operation, a lock, a marker, a journal, a change."""
    found = [name for name in _UNDER_WAY if (repo / ".git" / name).exists()]
    marked = git(repo, "grep", "-lE", "^(<<<<<<< |>>>>>>> )", "--", check=False)
    if marked:
        found.append(f"conflict markers in {marked}")
    changes = git(repo, "status", "--porcelain")
    if changes:
        found.append(f"not clean: {changes}")
    return found


def broken(repo: Path) -> str:
    """What `git fsck` has to say against a repository."""
    said = git(repo, "fsck", "--full", "--no-dangling", "--no-progress", check=False)
    return "\n".join(line for line in said.splitlines() if not line.startswith(("dangling", "notice:")))


_MARK = re.compile(rb"\w+ (?:wrote|changed this,) \d+")


#: The subject of merges that a person made, who may drop what is not wanted.
BY_HAND = "merged by hand"


def hidden(repo: Path, head: str) -> list[str]:
    """Merges that dropped something from sight although nobody did: a line that one side had made and the other
    had never seen has to be in the merged tree, in whichever file."""
    marks = _marks(repo, head)

    def seen(commit: str) -> set[bytes]:
        # a submodule's commit is no blob
        return set().union(*(marks.get(blob, set()) for _, blob in tree(repo, commit).values()))

    found = []
    for row in git(repo, "log", "--merges", "--format=%H %P %s", head, "--").splitlines():
        merge, one, other, subject = row.split(" ", 3)
        if subject == BY_HAND:
            continue
        bases = git(repo, "merge-base", "--all", one, other).split()
        wanted = (seen(one) | seen(other)) - set().union(*map(seen, bases))
        if missing := wanted - seen(merge):
            found.append(f"{merge} of {one} and {other} lacks {missing}")
    return found


def _marks(repo: Path, head: str) -> dict[str, set[bytes]]:
    """By blob: the marks (see edits.py) in it."""
    listed = "\n".join(sorted(reachable(repo, head)))
    out = os.fsencode(git(repo, "cat-file", "--batch", input=listed.encode()))
    marks = {}
    while out:
        header, _, out = out.partition(b"\n")
        name, kind, size = header.decode().split(" ")
        if kind == "blob":
            marks[name] = set(_MARK.findall(out[: int(size)]))
        out = out[int(size) + 1 :]
    return marks


def verify(ledger: Ledger, central: Path, repos: Iterable[Path]) -> str:
    """Every repository at one commit, clean and whole, with every content in its history; returns that commit."""
    head = git(central, "rev-parse", "refs/heads/main")
    heads = {repo.parent.name + "/" + repo.name: git(repo, "rev-parse", "HEAD") for repo in repos}
    assert set(heads.values()) == {head}, f"the machines are not at {head}: {heads}"
    for repo in repos:
        assert stuck(repo) == [], repo
    assert broken(central) == ""
    lost = ledger.lost(reachable(central, head))
    assert lost == {}, f"contents in no history: {lost}"
    assert hidden(central, head) == []
    return head
