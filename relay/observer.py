"""One repository as it is looked at again and again: opened, recognised, with the settings in force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autosync.common import config
from autosync.common.claims import Claims
from autosync.common.config import Repo, Shared
from autosync.common.errors import Problem
from autosync.common.repository import Repository
from autosync.common.shared import SharedSettings

from .identity import Identity
from .look import look
from .memory import Memory
from .remote import Remote
from .state import Observed


class Observer:
    """``repository`` is None before the first look, and ``memory``, too; ``settings`` are those in force."""

    def __init__(self, repo: Repo, memories: Path, claims: Claims, memory: Memory | None) -> None:
        """What is remembered of repositories is in ``memories``, unless this one has another ``memory``."""
        self.repo = repo
        self.repository: Repository | None = None
        self.memory = memory
        self.settings = repo.settings
        self.identity = Identity()
        self.remote = Remote()
        self._memories = memories
        self._own_memory = memory is None
        self._claims = claims
        self._shared_file = SharedSettings()
        self._shared: Shared | None = None

    @property
    def problem(self) -> Problem | None:
        """What is wrong with the settings that the repository itself brings."""
        return self._shared_file.problem

    def open(self) -> Repository:
        """The repository, found anew where it has to be. Raises Problem, OSError."""
        if self.repository is None or not self.repository.git_dir.exists():
            repository = Repository.open(self.repo.path)
            self._claims.claim(repository)
            repository.make_own_folders()
            self.repository = repository
            if self._own_memory:
                self.memory = Memory.of(self._memories, repository.git_dir)
        return self.repository

    def look(self, expected: dict[str, str], offered: str | None) -> tuple[Observed, bool]:
        """The state, and whether the repository or its upstream is another than it was; see `look.look`. It asks git
        and the file system, and may take as long as these. Raises Problem, GitError, Unreadable, OSError."""
        repository = self.open()
        assert self.memory is not None
        self._read_settings(repository)
        seen = look(repository, self.memory, self.memory.pushing | expected, offered)
        # the deletion of the last branch of a central repository is announced as of the repository that it was
        refs = seen.refs or (self.memory.seen if seen.bare else None) or {}
        known_anew = self.identity.update(repository, self.settings.id, seen.head, refs, seen.related)
        if known_anew and not seen.bare:
            seen = self._see_whether_replaced(repository, self.memory, seen)
        return seen, self.remote.update(repository, seen) or known_anew

    def _read_settings(self, repository: Repository) -> None:
        shared = self._shared_file.read(repository)
        if shared is not self._shared and shared != self._shared:
            self._shared, self.settings = shared, config.effective(self.repo, shared)

    def _see_whether_replaced(self, repository: Repository, memory: Memory, seen: Observed) -> Observed:
        """Another repository in the old one's place is not synchronised before a person has said that it is meant."""
        old, new = memory.root, self.identity.root
        if new is None or old == new:
            return seen
        # a history that was joined or deepened still has the old first commit
        shallow = (repository.common_dir / "shallow").exists()
        replaced = old is not None and not shallow and not repository.reader().has_commit(old)
        if replaced and not seen.paused:
            assert old is not None
            reason = f"another repository is here now: its first commit is {new[:7]}, and was {old[:7]}"
            # a pause, which the watcher heeds, too; before it is remembered: a kill between the two asks once more
            repository.pause_mark.write_text(reason + "\n")
            seen = replace(seen, paused=reason)
        memory.root = new
        memory.save()
        return seen
