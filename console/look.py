"""A look at a repository without any service: what refs, work tree and marks say."""

from __future__ import annotations

from dataclasses import dataclass

from autosync.common.config import Repo
from autosync.common.errors import Problem
from autosync.common.git import GitError
from autosync.common.reader import Unreadable
from autosync.common.repository import Repository
from autosync.common.shell import typed

from .answering import opened

#: Seconds for counting changed files.
_STATUS_LIMIT = 20.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen. ``branch`` and ``upstream`` are short names (`main`, `origin/main`), ``ahead`` and ``behind``
    None where nothing is known of the upstream, ``newest`` is the upstream's commit (HEAD's where there is none),
    ``problem`` what kept us from seeing more."""

    repository: Repository | None = None
    branch: str | None = None
    detached: bool = False
    head: str | None = None
    upstream: str | None = None
    ahead: int | None = None
    behind: int | None = None
    newest: str | None = None
    operation: str | None = None
    paused: str | None = None
    problem: Problem | None = None

    @property
    def bare(self) -> bool:
        return self.repository is not None and self.repository.bare


def look(repo: Repo) -> Sight:
    """See how the repository is. Never raises: what is wrong with it is in ``problem``."""
    try:
        repository = opened(repo.path)
    except Problem as problem:
        return Sight(problem=problem)
    except (GitError, OSError) as error:
        return Sight(problem=_unreadable(repo, error))
    try:
        reader = repository.reader()
        head = reader.head()
        upstream = reader.upstream(head.branch) if head.branch and not repository.bare else None
        tip = reader.resolve(upstream.tracking) if upstream is not None and upstream.tracking is not None else None
        ahead, behind = reader.ahead_behind(head.commit, tip) if head.commit and tip else (None, None)
    except (Unreadable, GitError, OSError) as error:
        return Sight(repository, problem=_unreadable(repo, error))
    return Sight(
        repository,
        branch=head.branch.removeprefix("refs/heads/") if head.branch else None,
        detached=head.branch is None,
        head=head.commit,
        upstream=f"{upstream.remote}/{upstream.ref.removeprefix('refs/heads/')}" if upstream else None,
        ahead=ahead,
        behind=behind,
        newest=tip or head.commit,
        operation=repository.operation(),
        paused=repository.paused,
    )


def _unreadable(repo: Repo, error: Exception) -> Problem:
    return Problem(f"{repo.path} cannot be read ({error})", f"see what git says: git -C {typed(repo.path)} status")


def has_work_tree(repo: Repo) -> bool:
    """Whether there is a work tree in which files can change."""
    try:
        return not opened(repo.path).bare
    except (Problem, GitError, OSError):
        return False


def changed_files(repository: Repository) -> int | None:
    """How many files are changed, new or gone; None for a bare repository or when git cannot tell."""
    if repository.bare:
        return None
    try:
        listed = repository.git.run(
            "status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all", limit=_STATUS_LIMIT
        )
    except (GitError, OSError):
        return None
    return listed.stdout.count(b"\0")
