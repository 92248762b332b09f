"""One way to commit: by plumbing, on a private copy of the index.

A person's git command is never blocked but for the moment of the switch, and always wins: what was prepared is
thrown away when HEAD or the index is not what it was. The order: look (`Mark`), copy the index, stage, the
person's `pre-commit`, write the tree, message and its hooks, the commit object (signed when the
person signs), look again, take `index.lock` as git does, look again, move the branch by compare and swap, and
let the lock become the index.

The caller holds the repository's lock; every git child that writes inherits it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from autosync.common.config import Settings
from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.operations import Operation
from autosync.common.reader import Head, Reader
from autosync.common.repository import Repository

from . import brake, courtesy, journal, message, quarantine, scan, staging
from .courtesy import Hold, Mark
from .ignores import ignored_by_git, own_patterns
from .message import Change
from .patterns import Patterns
from .person_hooks import PersonHooks, Rejected, knows_config_hooks
from .quarantine import Held

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
#: Batches above this are first compared with what git says changed: that costs the same for any number.
LARGE = 1000


@dataclass(slots=True)
class Outcome:
    """What became of a batch. With ``hold`` nothing was committed and the paths stay marked; ``again``
    says to try once more at once, as something moved meanwhile."""

    operation: Operation | None = None
    hold: Hold | None = None
    again: bool = False
    held: dict[bytes, Held] = field(default_factory=dict)
    nested: set[bytes] = field(default_factory=set)

    @property
    def refused(self) -> bool:
        """Whether some paths are to be tried again later."""
        return any(held.tried_again for held in self.held.values())


@dataclass(frozen=True, slots=True)
class Identity:
    """Who commits on which machine, where git has no identity of its own."""

    machine: str
    user: str


class Committer:
    """Makes the commits of one repository. ``confirmed`` lets the next mass deletion through."""

    def __init__(self, repository: Repository, settings: Settings, identity: Identity) -> None:
        self.repository = repository
        self.settings = settings
        self.confirmed = False
        self._identity = identity
        self._git = repository.git
        self._index = repository.git_dir / "index"
        self._private = journal.private_index(repository)
        self._clean: Mark | None = None
        self._staged_since: tuple[tuple[int, int, int] | None, float] | None = None
        self._tracked_ignored: tuple[Mark, set[bytes]] | None = None
        self._empty_tree: str | None = None
        self._config_hooks: bool | None = None

    async def commit(self, paths: Iterable[bytes], rehash: Iterable[bytes], lock: int) -> Outcome:
        """Commit what the disk holds at ``paths``. ``lock`` is the descriptor of the repository's lock.

        Raises Problem (with what to do about it), Unreadable, OSError.
        """
        attempt = _Attempt(self, lock)
        try:
            return await attempt.run(list(paths), list(rehash))
        finally:
            if not journal.journal_path(self.repository).exists():
                journal.clear(self.repository)

    def recover(self, reader: Reader) -> None:
        """Clear up after a killed watcher; the repository's lock is held."""
        if not journal.journal_path(self.repository).exists():
            return
        said = journal.recover(self.repository, reader.head().commit)
        if said:
            _log.warning("%s: %s", self.repository.path, said)
        self._clean = None

    async def post_commit(self) -> None:
        """Run the person's `post-commit`, which is also where our own hook leaves its note."""
        hooks = await self.hooks(self.repository.reader())
        try:
            await hooks.run("post-commit", env={})
        except Rejected as rejected:
            _log.warning("%s: the hook post-commit failed: %s", self.repository.path, rejected.said)

    async def hooks(self, reader: Reader) -> PersonHooks:
        if self._config_hooks is None:
            self._config_hooks = await knows_config_hooks(self._git)
        return PersonHooks(self.repository, self._git, reader, self.settings.hook_limit, self._config_hooks)

    async def tracked_but_ignored(self, mark: Mark) -> set[bytes]:
        """Tracked files that ignore rules match, remembered while the index stays the same."""
        if self._tracked_ignored is None or self._tracked_ignored[0].index != mark.index:
            self._tracked_ignored = mark, await scan.tracked_but_ignored(self._git)
        return self._tracked_ignored[1]

    async def base(self, commit: str | None) -> str:
        """A name for what ``commit`` holds: the empty tree on an unborn branch."""
        if commit is not None:
            return commit
        if self._empty_tree is None:
            self._empty_tree = (await self._git.call("hash-object", "-t", "tree", "--stdin", input=b"")).text
        return self._empty_tree


class _Attempt:
    """One try at one commit."""

    def __init__(self, committer: Committer, lock: int) -> None:
        self._of = committer
        self._repository = committer.repository
        self._settings = committer.settings
        self._git = committer._git
        self._fds = (lock,)
        self._lock = lock
        self._private = committer._private
        self._env = {"GIT_INDEX_FILE": os.fspath(self._private)}
        self._started = time.monotonic()
        self._reader = self._repository.reader()

    async def run(self, paths: list[bytes], rehash: list[bytes]) -> Outcome:
        observed = courtesy.observe(self._repository, self._reader)
        if (hold := courtesy.hold(observed)) is not None:
            return Outcome(hold=hold)
        mark = observed.mark
        staged = await self._staged(mark)
        if (hold := self._staged_hold(mark, staged)) is not None:
            return Outcome(hold=hold)

        if staged:
            paths = list({*paths, *(path for _, path in staged)})
            await self._git.call("read-tree", await self._of.base(mark.commit), env=self._env, pass_fds=self._fds)
        elif staging.private_copy(self._of._index, self._private) != mark.index:
            return Outcome(again=True)
        outcome = Outcome()
        before = _file_mark(self._private)
        vanished = await self._stage(paths, rehash, mark, outcome)
        if _file_mark(self._private) == before:
            return outcome
        base = await self._of.base(mark.commit)
        if vanished and (hold := await self._brake(base, vanished)) is not None:
            return Outcome(hold=hold, held=outcome.held)

        hooks = await self._of.hooks(self._reader)
        await self._hook(hooks, "pre-commit")
        tree = (await self._git.call("write-tree", env=self._env, pass_fds=self._fds)).text
        changes = await self._changes(base, tree)
        if not changes:
            return outcome
        text = await self._message(hooks, changes)
        commit = await self._commit_object(tree, mark.commit, text)
        new_index = self._private
        if staged:
            new_index = await self._second_index(mark, base, tree)
        if courtesy.observe(self._repository, self._repository.reader()) != observed:
            return Outcome(again=True, held=outcome.held)
        subject = text.partition("\n")[0]
        published = await _uninterrupted(lambda: self._publish(mark, new_index, commit, subject))
        if published is None:
            return Outcome(again=True, held=outcome.held)
        outcome.operation = Operation(
            str(self._repository.path),
            "commit",
            ref=mark.branch,
            before=mark.commit,
            after=commit,
            detail=subject,
            paths=tuple(message.escaped(change.path) for change in changes[:20]),
            seconds=round(time.monotonic() - self._started, 3),
        )
        self._of.confirmed = False
        # with hand-staged changes the index holds more than HEAD still
        self._of._clean = None if staged else published
        return outcome

    async def _staged(self, mark: Mark) -> list[tuple[bytes, bytes]]:
        """What the person has put into the index: git's status letter and path, for each difference from HEAD."""
        if mark == self._of._clean:
            return []
        found = await self._git.call(
            "diff-index", "--cached", "--raw", "-z", "--no-renames", await self._of.base(mark.commit), "--"
        )
        staged = [(status, path) for status, path, _, _ in _raw(found.stdout)]
        if not staged:
            self._of._clean = mark
        return staged

    def _staged_hold(self, mark: Mark, staged: list[tuple[bytes, bytes]]) -> Hold | None:
        if not staged:
            self._of._staged_since = None
            return None
        unmerged = [path for status, path in staged if status == b"U"]
        if unmerged:
            name = message.escaped(unmerged[0])
            return Hold("unmerged", f"{name} has an unresolved conflict", f"resolve it, then: git add {name}")
        now = time.monotonic()
        if self._of._staged_since is None or self._of._staged_since[0] != mark.index:
            self._of._staged_since = mark.index, now
        # git writes the index a moment before HEAD when it switches: that moment looks like staged changes
        wait = max(self._settings.staged_hold, 2.0)
        left = self._of._staged_since[1] + wait - now
        if left <= 0:
            return None
        count = "1 change is" if len(staged) == 1 else f"{len(staged)} changes are"
        return Hold("staged", f"{count} staged by hand", "git commit, or git restore --staged .", again_in=left)

    async def _stage(self, paths: list[bytes], rehash: list[bytes], mark: Mark, outcome: Outcome) -> int:
        """Stage the paths in the private index; returns how many tracked files may have vanished."""
        settings = self._settings
        if len(paths) > LARGE:
            changed = await scan.changed(self._git)
            paths = [path for path in paths if path in changed or path.endswith(b"/")]
        rules = staging.Rules(
            own_patterns(settings.exclude, settings.builtin_ignores),
            Patterns(quarantine.SECRET_NAMES if settings.quarantine is None else settings.quarantine),
            Patterns(self._allowed()),
            settings.max_file_size,
        )
        chooser = staging.Chooser(os.fsencode(self._repository.path), rules)
        for number, path in enumerate(paths):
            chooser.add(path)
            if number % 500 == 499:
                await asyncio.sleep(0)  # other repositories, and the events of this one
        choice = chooser.choice
        outcome.held.update(choice.held)
        present = await self._unless_ignored(choice.present, mark, rules.ignored)
        gone = choice.gone
        asked = [*choice.folders, *choice.suspects, *choice.inner]
        replaced: list[bytes] = []
        if asked:
            suspects = await self._unless_ignored(list(choice.suspects), mark, rules.ignored)
            tracked = await staging.tracked_below(self._git, asked, self._env)
            known = {entry.path for entry in tracked if entry.mode != 0o160000}
            present += [path for path in suspects if path in known]
            outcome.held.update({path: choice.suspects[path] for path in suspects if path not in known})
            for root, inner in choice.inner.items():
                outcome.nested.add(root)
                present += [path for path in inner if path in known]
            below = staging.vanished(os.fsencode(self._repository.path), choice.folders, known)
            gone, replaced = gone + below.gone, below.replaced
        refused = await staging.stage(self._git, [*present, *gone], self._env, self._fds)
        await staging.remove(self._git, replaced, self._env, self._fds)
        for path, said in refused.items():
            outcome.held[path] = Held(f"git refuses it: {_last_line(said)}", "mend what git names", tried_again=True)
        return len(gone) + len(replaced)

    def _allowed(self) -> list[str]:
        return self._reader.config_all("autosync.allow")

    async def _unless_ignored(self, paths: list[bytes], mark: Mark, own: Patterns) -> list[bytes]:
        ignored = {path for path in paths if own.match(path)}
        for start in range(0, len(paths), 500):
            ignored |= ignored_by_git(self._reader, paths[start : start + 500])
            if start:
                await asyncio.sleep(0)
        if ignored:
            ignored -= await self._of.tracked_but_ignored(mark)
        return [path for path in paths if path not in ignored]

    async def _brake(self, base: str, vanished: int) -> Hold | None:
        """Whether what vanished has to be confirmed first."""
        limits = brake.Limits(self._settings.brake_share, self._settings.brake_count)
        root_empty = staging.is_empty(self._repository.path)
        if self._of.confirmed or (vanished < limits.count and not root_empty):
            return None
        found = await self._git.call("diff-index", "--cached", "--raw", "-z", "--no-renames", base, "--", env=self._env)
        rows = _raw(found.stdout)
        arrived = {new for status, _, _, new in rows if status != b"D"}
        lost = sum(status == b"D" and old not in arrived for status, _, old, _ in rows)
        tracked = (await self._git.call("ls-tree", "-r", "-z", "--name-only", base)).stdout.count(b"\0")
        if not brake.brakes(lost, tracked, root_empty, limits):
            return None
        return Hold(
            "brake",
            f"{lost} of {tracked} files are gone",
            "bring them back (is a disk not mounted?), or: "
            f"autosync resume --confirm-deletions {self._repository.path}",
        )

    async def _changes(self, base: str, tree: str) -> list[Change]:
        found = await self._git.call("diff-tree", "-r", "--raw", "-z", "--no-renames", base, tree, "--")
        rows = _raw(found.stdout)
        # what moved unchanged has the same content at both places
        homeless = {old: path for status, path, old, _ in rows if status == b"D"}
        changes, moved = [], set()
        for status, path, _, new in rows:
            if status == b"A" and (origin := homeless.pop(new, None)) is not None:
                changes.append(Change("R", path, origin))
                moved.add(origin)
            elif status != b"D":
                changes.append(Change(status.decode(), path))
        changes += [Change("D", path) for status, path, _, _ in rows if status == b"D" and path not in moved]
        return changes

    async def _message(self, hooks: PersonHooks, changes: list[Change]) -> str:
        identity = self._of._identity
        text = message.compose(self._settings.message, changes, identity.machine, identity.user)
        file = self._repository.tree_dir / "message"
        if not (hooks.exists("prepare-commit-msg") or hooks.exists("commit-msg")):
            return text
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
        await self._hook(hooks, "prepare-commit-msg", os.fspath(file), "message")
        await self._hook(hooks, "commit-msg", os.fspath(file))
        text = file.read_text(encoding="utf-8", errors="replace")
        if not text.strip():
            raise Problem("the commit message is empty after the hook commit-msg", "mend the hook")
        return text

    async def _hook(self, hooks: PersonHooks, name: str, *arguments: str) -> None:
        try:
            await hooks.run(name, *arguments, env=self._env, fds=self._fds)
        except Rejected as rejected:
            raise Problem(
                f"the hook {name} rejects the commit ({_last_line(rejected.said)})",
                f"mend what it names, then: autosync sync {self._repository.path}",
            ) from rejected

    async def _commit_object(self, tree: str, parent: str | None, text: str) -> str:
        arguments = ["commit-tree", tree, "-F", "-"]
        if parent is not None:
            arguments += ["-p", parent]
        signs = (self._reader.config("commit.gpgsign") or "").lower() in ("true", "yes", "on", "1")
        if signs:  # commit-tree does not look at the setting itself
            arguments.append("-S")
        data = text.encode("utf-8", errors="backslashreplace")
        limit = self._settings.hook_limit

        async def make(env: Mapping[str, str]) -> str:
            return (await self._git.call(*arguments, input=data, env=env, limit=limit, pass_fds=self._fds)).text

        try:
            return await make({})
        except GitError as error:
            if "ident" not in error.message or "sign" in error.message:
                if signs:
                    raise Problem(
                        f"git cannot sign the commit ({_last_line(error.message)})",
                        "unlock the key (gpg-agent, ssh-agent), or: git config commit.gpgsign false",
                    ) from error
                raise
        return await make(fallback_identity(self._of._identity))

    async def _second_index(self, mark: Mark, base: str, tree: str) -> Path:
        """The person's index with the committed paths brought up to date, and their other staging as it is."""
        second = journal.second_index(self._repository)
        staging.private_copy(self._of._index, second)
        found = await self._git.call("diff-tree", "-r", "--raw", "-z", "--no-renames", base, tree, "--")
        lines = b"".join(
            (b"0 " + b"0" * len(new) if status == b"D" else mode + b" " + new) + b"\t" + path + b"\0"
            for status, path, mode, new in _raw_new(found.stdout)
        )
        env = {"GIT_INDEX_FILE": os.fspath(second)}
        await self._git.call("update-index", "-z", "--index-info", input=lines, env=env, pass_fds=self._fds)
        return second

    async def _publish(self, mark: Mark, new_index: Path, commit: str, subject: str) -> Mark | None:
        """Move the branch and replace the index, or neither; returns the new mark when it was done."""
        try:
            index = journal.take_lock(self._repository, new_index, commit)
        except FileExistsError:
            journal.clear(self._repository)
            return None
        moved = False
        try:
            if self._repository.index_mark() == mark.index and self._repository.operation() is None:
                moved = await self._move_branch(mark, commit, subject)
        finally:
            if moved:
                journal.finish(self._repository)
            else:
                journal.drop_lock(self._repository)
        return Mark(mark.branch, commit, index) if moved else None

    async def _move_branch(self, mark: Mark, commit: str, subject: str) -> bool:
        """Compare and swap. Raises Problem when git refuses although nobody else moved the branch."""
        old = mark.commit or "0" * len(commit)
        words = f"commit: {subject}" if mark.commit else f"commit (initial): {subject}"
        limit = self._settings.hook_limit  # a reference-transaction hook of the person's runs in it
        try:
            await self._git.call("update-ref", "-m", words, "HEAD", commit, old, pass_fds=self._fds, limit=limit)
        except (GitError, asyncio.CancelledError) as error:
            head = self._repository.reader().head()
            if isinstance(error, GitError) and head == Head(mark.branch, mark.commit):
                said = _last_line(error.message)
                raise Problem(f"git cannot move the branch ({said})", "see git update-ref") from error
            return head.commit == commit
        return True


def fallback_identity(identity: Identity) -> dict[str, str]:
    """Environment that names who commits where git knows nobody."""
    email = f"{identity.user}@{identity.machine}"
    return {
        "GIT_AUTHOR_NAME": identity.user,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_COMMITTER_NAME": identity.user,
        "GIT_COMMITTER_EMAIL": email,
    }


async def _uninterrupted(make: Callable[[], Awaitable[_T]]) -> _T:
    """Run to the end even when cancelled meanwhile; the cancellation goes on afterwards."""
    task = asyncio.ensure_future(make())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(Problem):
            await task
        raise


def _file_mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _raw(data: bytes) -> list[tuple[bytes, bytes, bytes, bytes]]:
    """Rows of `--raw -z` without renames: status, path, old object, new object."""
    fields = data.split(b"\0")[:-1]
    rows = []
    for meta, path in zip(fields[::2], fields[1::2], strict=True):
        _, _, old, new, status = meta.split(b" ")
        rows.append((status[:1], path, old, new))
    return rows


def _raw_new(data: bytes) -> list[tuple[bytes, bytes, bytes, bytes]]:
    """The same with the new mode in place of the old object."""
    fields = data.split(b"\0")[:-1]
    rows = []
    for meta, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, new, status = meta.split(b" ")
        rows.append((status[:1], path, mode, new))
    return rows


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "no reason given"
