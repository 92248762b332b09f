"""Questions about a repository, answered in-process by libgit2 where it can, by git where it cannot.

libgit2 cannot open sha256 or reftable repositories, nor sparse or split indexes; git answers for
those behind the same interface: slower, never refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .git import Git, GitError, split
from .masking import masked
from .rawdiff import Row, parse

#: The remote of a branch whose upstream is a branch of the same repository (git-config(1), `branch.<name>.remote`).
HERE = "."


@dataclass(frozen=True, slots=True)
class Head:
    """What HEAD is: ``branch`` is a full ref name (None: detached), ``commit`` None when unborn."""

    branch: str | None
    commit: str | None


@dataclass(frozen=True, slots=True)
class Upstream:
    """A branch's upstream: the remote, the ref there, and the ref that tracks it here."""

    remote: str
    ref: str
    tracking: str | None


class Unreadable(Exception):
    """The repository cannot be read at all: corrupt, or not permitted."""


class Reader(Protocol):
    """The questions. Refs are full names, commits hex; all may raise Unreadable."""

    def head(self) -> Head: ...

    def resolve(self, ref: str) -> str | None:
        """The commit a ref leads to, None when there is no such ref."""

    def refs(self, prefix: str) -> dict[str, str]:
        """All direct refs below ``prefix`` with the object each names."""

    def has_commit(self, commit: str) -> bool:
        """Whether the commit is in the object database."""

    def ahead_behind(self, ours: str, theirs: str) -> tuple[int, int]:
        """Commits only in ``ours``, and only in ``theirs``."""

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether ``newer`` contains ``older`` (or is the same)."""

    def related(self, one: str, other: str) -> bool:
        """Whether the two have any history in common."""

    def config(self, key: str) -> str | None:
        """A value from git's configuration, the last one given."""

    def config_all(self, key: str) -> list[str]:
        """All values of a key that may be given several times, in their order."""

    def upstream(self, branch: str) -> Upstream | None:
        """The configured upstream of a full branch name. Another branch of the same repository is none: nobody
        means that work on a topic goes to the branch that it began at by itself."""

    def remote_url(self, remote: str) -> str:
        """The address a remote's name stands for; a URL stands for itself."""

    def fetch_refspecs(self, remote: str) -> list[str]:
        """What the remote is configured to fetch; empty for a URL."""

    def ignored(self, paths: Sequence[str]) -> set[str]:
        """Those of the paths (relative to the work tree, folders with a trailing slash) that ignore
        rules match, tracked or not."""

    def compare(self, before: str, after: str) -> list[Row]:
        """How two commits or trees differ, in git's order and without renames."""

    def last_reflog(self, ref: str, count: int) -> list[tuple[str, str, str]]:
        """The newest entries of a ref's log: (old, new, message), newest first."""


def open_reader(git_dir: Path, git: Git) -> Reader:
    """A reader for the repository; libgit2's when it can open it."""
    from .libgit import LibgitReader, cannot_open

    try:
        return LibgitReader(git_dir, git)
    except cannot_open():
        return GitReader(git)


class GitReader:
    """The questions answered by git itself."""

    def __init__(self, git: Git) -> None:
        self._git = git

    def _ask(self, *args: str, input: bytes | None = None, fine: Iterable[int] = (0,)) -> tuple[int, bytes]:
        try:
            result = self._git.run(*args, input=input, check=False)
        except (GitError, OSError) as error:
            raise Unreadable(str(error)) from error
        if result.code not in fine:
            raise Unreadable(masked(os.fsdecode(result.stderr).strip()) or f"git {args[0]} ended with {result.code}")
        return result.code, result.stdout

    def head(self) -> Head:
        code, name = self._ask("symbolic-ref", "--quiet", "HEAD", fine=(0, 1))
        return Head(os.fsdecode(name).rstrip("\n") if code == 0 else None, self.resolve("HEAD"))

    def resolve(self, ref: str) -> str | None:
        code, out = self._ask(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", fine=(0, 1, 128)
        )
        return out.decode().strip() if code == 0 else None

    def refs(self, prefix: str) -> dict[str, str]:
        _, out = self._ask("for-each-ref", "--format=%(refname)%00%(objectname)%00%(symref)", prefix)
        found = {}
        for line in os.fsdecode(out).splitlines():
            name, oid, target = line.split("\0")
            if not target:
                found[name] = oid
        return found

    def has_commit(self, commit: str) -> bool:
        code, _ = self._ask("cat-file", "-e", f"{commit}^{{commit}}", fine=(0, 1, 128))
        return code == 0

    def ahead_behind(self, ours: str, theirs: str) -> tuple[int, int]:
        _, out = self._ask("rev-list", "--left-right", "--count", f"{ours}...{theirs}", "--")
        ahead, behind = out.split()
        return int(ahead), int(behind)

    def is_ancestor(self, older: str, newer: str) -> bool:
        code, _ = self._ask("merge-base", "--is-ancestor", older, newer, fine=(0, 1))
        return code == 0

    def related(self, one: str, other: str) -> bool:
        code, _ = self._ask("merge-base", one, other, fine=(0, 1))
        return code == 0

    def config(self, key: str) -> str | None:
        code, out = self._ask("config", "-z", "--get", key, fine=(0, 1))
        return os.fsdecode(out).removesuffix("\0") if code == 0 else None

    def upstream(self, branch: str) -> Upstream | None:
        _, out = self._ask(
            "for-each-ref", "--format=%(upstream:remotename)%00%(upstream:remoteref)%00%(upstream)", branch
        )
        for line in os.fsdecode(out).splitlines():
            remote, ref, tracking = line.split("\0")
            if remote and ref:
                return Upstream(remote, ref, tracking or None) if remote != HERE else None
        # an unborn branch is not listed; its configuration still counts
        name = branch.removeprefix("refs/heads/")
        configured, merge = self.config(f"branch.{name}.remote"), self.config(f"branch.{name}.merge")
        if configured and merge and configured != HERE:
            return Upstream(configured, merge, tracking_ref(self.fetch_refspecs(configured), merge))
        return None

    def config_all(self, key: str) -> list[str]:
        code, out = self._ask("config", "-z", "--get-all", key, fine=(0, 1))
        return split(out) if code == 0 else []

    def remote_url(self, remote: str) -> str:
        return self.config(f"remote.{remote}.url") or remote

    def fetch_refspecs(self, remote: str) -> list[str]:
        return self.config_all(f"remote.{remote}.fetch")

    def ignored(self, paths: Sequence[str]) -> set[str]:
        if not paths:
            return set()
        # a slash at the end tells what no folder on the disk does; but `x/*` would match `x/`, too
        asked = {p.rstrip("/") if (self._git.cwd / p).is_dir() else p: p for p in paths}
        data = b"".join(os.fsencode(p) + b"\0" for p in asked)
        # --no-index: with the index it takes paths times index entries
        _, out = self._ask("check-ignore", "-z", "--stdin", "--no-index", input=data, fine=(0, 1))
        return {asked[p] for p in split(out)}

    def compare(self, before: str, after: str) -> list[Row]:
        _, out = self._ask("diff-tree", "-r", "--raw", "-z", "--no-renames", before, after, "--")
        return parse(out)

    def last_reflog(self, ref: str, count: int) -> list[tuple[str, str, str]]:
        code, out = self._ask("log", "-g", "-z", f"-n{count + 1}", "--format=%H%x00%gs", ref, "--", fine=(0, 128))
        if code:
            return []
        fields = os.fsdecode(out).split("\0")
        rows = list(zip(fields[::2], fields[1::2], strict=False))
        return [
            (rows[n + 1][0] if n + 1 < len(rows) else "0" * len(new), new, message)
            for n, (new, message) in enumerate(rows[:count])
        ]


def tracking_ref(refspecs: Sequence[str], ref: str) -> str | None:
    """Where a fetch stores the remote's ``ref``, by the fetch refspecs (gitglossary(7), "refspec")."""
    for spec in refspecs:
        source, _, target = spec.removeprefix("+").partition(":")
        if spec.startswith("^") or not target:
            continue
        if source == ref:
            return target
        before, star, after = source.partition("*")
        if star and ref.startswith(before) and ref.endswith(after) and len(ref) >= len(before) + len(after):
            return target.replace("*", ref[len(before) : len(ref) - len(after)], 1)
    return None
