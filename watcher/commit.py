"""One way to commit: by plumbing, on a private copy of the index.

A person's git command is never blocked but for the moment of the switch, and always wins: what was prepared is
thrown away when HEAD or the index is not what it was. The order: look (`Mark`), take a private index, stage, the
person's `pre-commit`, write the tree, message and its hooks, the commit object (signed when the
person signs), look again, take `index.lock` as git does, look again, move the branch by compare and swap, and
let the lock become the index.

The caller holds the repository's lock; every git child that writes inherits it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autosync.common.config import Settings
from autosync.common.errors import Problem
from autosync.common.operations import Operation
from autosync.common.rawdiff import Row, parse
from autosync.common.reader import Reader
from autosync.common.repository import Repository
from autosync.common.shell import typed

from . import brake, context, courtesy, journal, message, quarantine, rawdiff, staging
from .asking import Asking
from .by_hand import ByHand
from .candidates import Candidates, Finder
from .courtesy import Hold, Mark
from .gitconfig import GitConfig
from .identity import Identity
from .ignores import own_patterns
from .left_alone import LeftAlone
from .message import Change
from .overlap import overlapped
from .patterns import Patterns
from .person_hooks import PersonHooks, Rejected
from .publish import Publisher, last_line
from .quarantine import Held

_log = logging.getLogger(__name__)
_DIFF = ("--raw", "-z", "--no-renames")


@dataclass(slots=True)
class Outcome:
    """What became of a batch. With ``hold`` nothing was committed and the paths stay marked; ``again``
    says to try once more at once, as something moved meanwhile. ``held`` are single paths. With ``question`` it
    is ready, would say this, and waits for a message of the person's."""

    operation: Operation | None = None
    hold: Hold | None = None
    again: bool = False
    held: dict[bytes, Held] = field(default_factory=dict)
    nested: set[bytes] = field(default_factory=set)
    question: str | None = None

    @property
    def refused(self) -> bool:
        """Whether some paths are to be tried again later."""
        return any(held.tried_again for held in self.held.values())


class Committer:
    """Makes the commits of one repository. ``confirmed`` lets the next mass deletion through."""

    def __init__(self, repository: Repository, settings: Settings, identity: Identity, asking: Asking) -> None:
        self.asking = asking
        asking.use(settings.ask_timeout if settings.ask_message else None)
        self.repository = repository
        self.settings = settings
        self.identity = identity
        self.confirmed = False
        #: A commit of ours is on its way into index and branch.
        self.publishes = False
        self.config = GitConfig(repository)
        self.left_alone = LeftAlone(repository, own_patterns(settings.exclude, settings.builtin_ignores))
        self._secrets = Patterns(quarantine.SECRET_NAMES if settings.quarantine is None else settings.quarantine)
        self.by_hand = ByHand(settings.staged_hold)
        self._empty_tree: str | None = None
        self._last_seen: str | None = None

    async def commit(self, paths: Collection[bytes], rehash: Collection[bytes], lock: int, ask: bool) -> Outcome:
        """Commit what the disk holds at ``paths``; those in ``rehash`` are read even when size and times say that they
        are unchanged. ``lock`` is the descriptor of the repository's lock; ``ask``: the person may be asked first.

        Raises Problem (with what to do about it), GitError, Unreadable, OSError.
        """
        try:
            return await _Attempt(self, lock).run(list(paths), rehash, ask and self.asking.wanted)
        finally:
            if not journal.journal_path(self.repository).exists():
                journal.clear(self.repository)

    def recover(self) -> bool:
        """Clear up after a killed watcher; the repository's lock is held. Returns whether the index may be another
        now: what was compared with it before has to be compared again."""
        if not journal.journal_path(self.repository).exists():
            return False
        said = journal.recover(self.repository, self.repository.reader().head().commit)
        if said:
            _log.warning("%s: %s", self.repository.path, said)
        self.by_hand.clean = None
        return said is not None

    async def post_commit(self) -> None:
        """Run the person's `post-commit`, which is also where our own hook leaves its note."""
        try:
            await self.hooks().run("post-commit", env={})
        except Rejected as rejected:
            _log.warning("%s: the hook post-commit failed: %s", self.repository.path, rejected.said)

    def hooks(self) -> PersonHooks:
        """The hooks that are there now; the configuration was refreshed."""
        return PersonHooks(self.repository, self.config, self.settings.hook_limit)

    def rules(self) -> staging.Rules:
        """What decides about single paths now."""
        allowed = Patterns(self.config.all("autosync.allow"))
        return staging.Rules(self.left_alone.patterns, self._secrets, allowed, self.settings.max_file_size)

    def leaves_alone(self, path: bytes, folders_known: bool = True) -> bool:
        """Whether the path is left alone for certain, without asking anybody. ``folders_known``: the folders that
        it is in are not ignored."""
        return not self.publishes and self.left_alone.holds(path, folders_known)

    @contextlib.contextmanager
    def publishing(self) -> Iterator[None]:
        """While we move index and branch ourselves, what is seen of them is not yet what somebody else did."""
        self.publishes = True
        try:
            yield
        finally:
            self.publishes = False

    def made(self, commit: str | None) -> bool:
        """Whether this commit was the last one made, or seen, here."""
        seen, self._last_seen = self._last_seen, commit
        return commit == seen

    async def base(self, commit: str | None) -> str:
        """A name for what ``commit`` holds: the empty tree on an unborn branch."""
        if commit is not None:
            return commit
        if self._empty_tree is None:
            made = await self.repository.git.call("hash-object", "-t", "tree", "--stdin", input=b"")
            self._empty_tree = made.text
        return self._empty_tree

    async def staged_by_hand(self, mark: Mark) -> list[Row]:
        """How the index differs from HEAD."""
        if mark == self.by_hand.clean:
            return []
        base = await self.base(mark.commit)
        staged = parse((await self.repository.git.call("diff-index", "--cached", *_DIFF, base, "--")).stdout)
        if not staged:
            self.by_hand.none(mark)
        return staged

    def published(self, before: Mark, after: Mark, clean: bool) -> None:
        """A commit of ours led from one mark to the other; ``clean``: index and HEAD agree now."""
        self.by_hand.clean = after if clean else None
        self.confirmed = False
        self._last_seen = after.commit
        self.left_alone.committed(before.index, after.index)


class _Attempt:
    """One try at one commit."""

    def __init__(self, of: Committer, lock: int) -> None:
        self._of = of
        self._repository = of.repository
        self._git = of.repository.git
        self._fds = (lock,)
        self._private = journal.private_index(of.repository)
        self._env = {"GIT_INDEX_FILE": os.fspath(self._private)}
        self._publisher = Publisher(of.repository, of.identity, lock, of.settings.hook_limit)
        self._started = time.monotonic()

    async def run(self, paths: list[bytes], rehash: Collection[bytes], ask: bool) -> Outcome:
        reader = self._repository.reader()
        observed = courtesy.observe(self._repository, reader)
        if (hold := courtesy.hold(observed)) is not None:
            return Outcome(hold=hold)
        mark = observed.mark
        staged = await self._of.staged_by_hand(mark)
        if staged and (hold := self._of.by_hand.hold(staged, self._started)) is not None:
            return Outcome(hold=hold)
        base = await self._of.base(mark.commit)
        outcome = Outcome()
        if staged:
            paths = self._beside(staged, paths, outcome)
            await self._git.call("read-tree", base, env=self._env, pass_fds=self._fds)
        elif staging.private_index(self._repository.git_dir / "index", self._private) != mark.index:
            return Outcome(again=True)
        vanished = await self._stage(paths, rehash, mark, reader, outcome)
        if vanished is None:
            return outcome
        if (hold := await self._brake(base, vanished)) is not None:
            return Outcome(hold=hold, held=outcome.held)
        hooks = self._of.hooks()
        tree, rows = await self._tree(base, reader)
        if rows and ask:
            outcome.question = message.summary(rawdiff.changes(rows))
            return outcome
        if rows and hooks.exists("pre-commit"):
            # only now: a hook that rewrites files makes events, and must not be run by those for ever
            await self._hook(hooks, "pre-commit")
            tree, rows = await self._tree(base, reader)
        if not rows:
            return outcome
        text = await self._message(hooks, rawdiff.changes(rows))
        sign = self._of.config.true("commit.gpgsign")
        subject = text.partition("\n")[0]
        async with self._publisher.moving(mark, subject) as move:
            commit = await self._publisher.commit_object(tree, mark.commit, text, sign)
            new_index = await self._second_index(rows) if staged else self._private
            if courtesy.observe(self._repository, reader) != observed:
                return Outcome(again=True, held=outcome.held)
            with self._of.publishing():
                published = await self._publisher.publish(move, new_index, commit)
                if published is None:
                    return Outcome(again=True, held=outcome.held)
                # with hand-staged changes the index still holds more than HEAD
                self._of.published(mark, published, clean=not staged)
        outcome.operation = Operation(
            str(self._repository.path),
            "commit",
            ref=mark.branch,
            before=mark.commit,
            after=commit,
            detail=subject,
            paths=tuple(message.escaped(row.path) for row in rows[:20]),
            seconds=round(time.monotonic() - self._started, 3),
        )
        return outcome

    def _beside(self, staged: Collection[Row], paths: list[bytes], outcome: Outcome) -> list[bytes]:
        """The paths to commit while others are staged by hand: those others wait for the person."""
        by_hand = {row.path for row in staged}
        if self._of.by_hand.forgotten(staged, self._started):
            return list(by_hand.union(paths))
        commit = f"git -C {typed(self._repository.path)} commit"
        waiting = Held("it has changes staged by hand", commit, tried_again=True, staged=True)
        # also those that nothing has marked: a file whose content is what is staged is no change to a scan
        outcome.held |= dict.fromkeys(by_hand, waiting)
        return [path for path in paths if path not in by_hand]

    async def _stage(
        self, paths: list[bytes], rehash: Collection[bytes], mark: Mark, reader: Reader, outcome: Outcome
    ) -> int | None:
        """Stage in the private index; returns how many tracked files may have vanished, None when nothing differs."""
        await self._of.config.refresh(mark.branch)
        finder = Finder(self._repository, reader, self._of.config, self._of.rules(), self._of.left_alone.tracked)
        before = staging.file_mark(self._private)
        vanished = 0

        async def find(part: list[bytes]) -> Candidates:
            return await finder.find(part, self._env)

        async def take(found: Candidates) -> None:
            nonlocal vanished
            vanished += await self._take(found, rehash, outcome)

        await overlapped(await finder.parts(paths, rehash), find, take)
        return vanished if staging.file_mark(self._private) != before else None

    async def _take(self, found: Candidates, rehash: Collection[bytes], outcome: Outcome) -> int:
        """Give git what was found; returns how many tracked files may have vanished."""
        outcome.held |= found.held
        outcome.nested |= found.nested
        staged = [*found.present, *found.gone]
        if not staged and not found.replaced:
            return 0
        git = self._git.with_config(*(f"filter.{name}.required=true" for name in sorted(found.filters)))
        if again := set(rehash).intersection(found.present):
            await staging.forget_times(git, again, self._env, self._fds)
        refused = await staging.stage(git, staged, self._env, self._fds)
        await staging.remove(git, found.replaced, self._env, self._fds)
        for path, said in refused.items():
            outcome.held[path] = Held(f"git refuses it: {last_line(said)}", "mend what git names", tried_again=True)
        return len(found.gone) + len(found.replaced)

    async def _brake(self, base: str, vanished: int) -> Hold | None:
        """Whether what vanished has to be confirmed first."""
        settings = self._of.settings
        root_empty = bool(vanished) and staging.is_empty(self._repository.path)
        if self._of.confirmed or not vanished or (vanished < settings.brake_count and not root_empty):
            return None
        found = await self._git.call("diff-index", "--cached", *_DIFF, base, "--", env=self._env)
        gone = rawdiff.lost(parse(found.stdout))
        tracked = (await self._git.call("ls-tree", "-r", "-z", "--name-only", base)).stdout.count(b"\0")
        if not brake.brakes(gone, tracked, root_empty, brake.Limits(settings.brake_share, settings.brake_count)):
            return None
        return Hold(
            "brake",
            f"{gone} of {tracked} files are gone",
            "bring them back (is a disk not mounted?), or: "
            f"autosync resume --confirm-deletions {typed(self._repository.path)}",
        )

    async def _tree(self, base: str, reader: Reader) -> tuple[str, list[Row]]:
        """The tree that the private index makes, and how it differs from ``base``."""
        tree = (await self._git.call("write-tree", env=self._env, pass_fds=self._fds)).text
        return tree, reader.compare(base, tree)

    async def _message(self, hooks: PersonHooks, changes: list[Change]) -> str:
        identity, settings = self._of.identity, self._of.settings
        added = await context.said(settings.message_command, self._repository.path) if settings.message_command else ""
        text = message.compose(
            self._of.asking.given or settings.message, changes, identity.machine, identity.user, added
        )
        if not (hooks.exists("prepare-commit-msg") or hooks.exists("commit-msg")):
            return text
        file = self._repository.tree_dir / "message"
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
                f"the hook {name} rejects the commit ({last_line(rejected.said)})",
                f"mend what it names, then: autosync sync {typed(self._repository.path)}",
            ) from rejected

    async def _second_index(self, rows: list[Row]) -> Path:
        """The person's index with the committed paths brought up to date, and their other staging as it is."""
        second = journal.second_index(self._repository)
        staging.private_index(self._repository.git_dir / "index", second)
        env = {"GIT_INDEX_FILE": os.fspath(second)}
        data = rawdiff.index_info(rows)
        await self._git.call("update-index", "-z", "--index-info", input=data, env=env, pass_fds=self._fds)
        return second
