"""Making, cloning or adopting the repository that `autosync init` is given."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autosync.common.child import Missing
from autosync.common.config import Settings
from autosync.common.errors import Problem
from autosync.common.git import NETWORK_LIMIT, Git, GitError, split
from autosync.common.masking import masked
from autosync.common.reader import Unreadable
from autosync.common.repository import Repository
from autosync.common.shell import typed
from autosync.watcher.staging import Chooser

from .candidates import rules_of

#: The branch of a repository that is made here.
BRANCH = "main"
#: The remote's name, as `git clone` has it.
REMOTE = "origin"
#: Folders of a first commit that are named.
_FOLDERS = 5


@dataclass(frozen=True, slots=True)
class Adopted:
    """The repository, and what was done to have it, in short sentences."""

    repository: Repository
    done: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Intent:
    """What would be done at ``path``: `adopt` the ``repository`` there, `clone` the remote, or `make` one.

    ``heads`` are the remote's branches, where it was asked for them.
    """

    path: Path
    remote: str | None
    kind: Literal["adopt", "clone", "make"]
    repository: Repository | None = None
    heads: tuple[str, ...] = ()


def adopt(path: Path, remote: str | None, progress: Callable[[str], None]) -> Adopted:
    """Have a repository at ``path`` (absolute) with ``remote`` for its upstream, if given.

    Clones where there is nothing yet and the remote has commits, makes one where there is none, and leaves an
    existing one as it is but for the remote. Raises Problem; nothing that was there before is ever changed then.
    """
    return carry_out(examine(path, remote), progress)


def examine(path: Path, remote: str | None) -> Intent:
    """What `adopt` is to do; changes nothing. Raises Problem."""
    if remote is not None:
        remote = _absolute_remote(remote)
    if _is_repository(path):
        return Intent(path, remote, "adopt", Repository.open(path))
    if _is_empty(path):
        heads = _heads(_existing(path), remote) if remote is not None else []
        return Intent(path, remote, "clone" if heads else "make", heads=tuple(heads))
    _refuse_inside_another(path)
    if remote is not None and _heads(path.parent, remote):
        raise Problem(
            f"{path} has files and {remote} has commits: joined, they would be two unrelated histories",
            f"move {path} aside, run this again, and move what you want to keep into the clone",
        )
    return Intent(path, remote, "make")


def carry_out(intent: Intent, progress: Callable[[str], None]) -> Adopted:
    """Do what was examined. Raises Problem."""
    if intent.kind == "clone":
        return _clone(intent, progress)
    if intent.repository is not None:
        repository = intent.repository
        done = [f"adopted the {'bare ' if repository.bare else ''}repository"]
    else:
        repository, done = _make(intent.path), [f"made a repository, on the branch {BRANCH}"]
    if intent.remote is not None:
        done += _set_upstream(repository, intent.remote)
        done += _begin_history(repository, intent.remote)
    return Adopted(repository, tuple(done))


def _clone(intent: Intent, progress: Callable[[str], None]) -> Adopted:
    remote, path, heads = intent.remote, intent.path, intent.heads
    assert remote is not None
    git = Git(_existing(path))
    try:
        asyncio.run(git.call("clone", "--progress", "--", remote, str(path), limit=NETWORK_LIMIT, progress=progress))
    except GitError as error:
        raise Problem(
            f"cannot clone {remote} ({_said(error)})", f"see that this works: git clone {typed(remote)}"
        ) from error
    repository = Repository.open(path)
    if repository.reader().head().commit is None:
        # the remote's HEAD names a branch that it does not have, as that of a new bare repository may
        repository.git.run("switch", "--quiet", BRANCH if BRANCH in heads else heads[0])
    return Adopted(repository, (f"cloned {masked(remote)}",))


def _make(path: Path) -> Repository:
    try:
        path.mkdir(parents=True, exist_ok=True)
        Git(path).run("init", "--quiet", "-b", BRANCH)
    except Missing:
        raise
    except OSError as error:
        raise Problem(f"cannot make {path} ({error.strerror})", "choose a folder that you may write to") from error
    except GitError as error:
        raise Problem(f"cannot make a repository of {path} ({_said(error)})", "choose another folder") from error
    return Repository.open(path)


def _set_upstream(repository: Repository, remote: str) -> list[str]:
    """Let the checked-out branch follow ``remote``, leaving alone what is set already."""
    git = repository.git
    reader = repository.reader()
    done = []
    configured = reader.config(f"remote.{REMOTE}.url")
    if configured is None:
        git.run("remote", "add", "--", REMOTE, remote)
        done.append(f"set {masked(remote)} as its remote {REMOTE}")
    elif configured != remote:
        raise Problem(
            f"the remote {REMOTE} of {repository.path} is {configured} already",
            f"if {remote} is right: git -C {typed(repository.path)} remote set-url {REMOTE} {typed(remote)}",
        )
    try:
        branch = reader.head().branch
    except Unreadable as error:
        raise Problem(f"{repository.path} cannot be read ({error})", f"git -C {typed(repository.path)} fsck") from error
    if repository.bare or branch is None or reader.upstream(branch) is not None:
        return done
    short = branch.removeprefix("refs/heads/")
    git.run("config", f"branch.{short}.remote", REMOTE)
    git.run("config", f"branch.{short}.merge", branch)
    return [*done, f"set {REMOTE}/{short} as the upstream of {short}"]


def _begin_history(repository: Repository, remote: str) -> list[str]:
    """Give an empty remote its first commit, without any file, at once.

    Two machines that begin with the same empty remote, each with a first commit of its own, would have
    two histories that nothing can join; this way the second one finds the first one's. Raises Problem.
    """
    head = repository.reader().head()
    if repository.bare or head.branch is None or head.commit is not None or _heads(repository.path, remote):
        return []
    git = repository.git
    env = {}
    if git.run("var", "GIT_COMMITTER_IDENT", check=False).code:
        named = {"NAME": "autosync", "EMAIL": "autosync@localhost"}
        env = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in named.items()}
    tree = git.run("hash-object", "-t", "tree", "-w", "--stdin", input=b"").text
    commit = git.run("commit-tree", "-m", "Begin", tree, env=env).text
    git.run("update-ref", "-m", "autosync init", head.branch, commit, "0" * len(commit))
    try:
        git.run("push", "--quiet", "--", REMOTE, f"{head.branch}:{head.branch}", limit=NETWORK_LIMIT)
    except GitError as error:
        # another machine may have begun just now: then its history is the one to follow
        git.run("update-ref", "-d", head.branch, commit)
        raise Problem(
            f"cannot push to {remote} ({_said(error)})",
            "see that you may write there, then run this again",
        ) from error
    return [f"began its history there, on the branch {head.branch.removeprefix('refs/heads/')}"]


def _heads(where: Path, remote: str) -> list[str]:
    """The remote's branches. Raises Problem when it cannot be asked."""
    try:
        listed = Git(where).run("ls-remote", "--heads", "--", remote, limit=60.0).text
    except GitError as error:
        place = Path(remote).expanduser()
        if place.is_absolute() and not os.path.lexists(place):
            raise Problem(
                f"{remote} is not there", f"make it with: git init --bare -b {BRANCH} {typed(place)}"
            ) from error
        raise Problem(
            f"{remote} does not answer as a git repository ({_said(error)})",
            f"see that this works without a password prompt: git ls-remote {typed(remote)}",
        ) from error
    return [line.partition("\t")[2].removeprefix("refs/heads/") for line in listed.splitlines()]


def _is_repository(path: Path) -> bool:
    if (path / ".git").exists():
        return True
    # a bare one: git's own sign (gitrepository-layout(5))
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def _is_empty(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        raise Problem(f"{path} is a file", "name a folder") from None
    except OSError as error:
        raise Problem(f"cannot read {path} ({error.strerror})", "choose a folder that you may read") from error


def _refuse_inside_another(path: Path) -> None:
    """A folder whose files another repository keeps already is none to make a repository of."""
    found = Git(path).run("ls-files", "-z", "--", ".", check=False)
    if found.code == 0 and found.stdout:
        top = Git(path).run("rev-parse", "--show-toplevel").text
        raise Problem(f"the files in {path} belong to the repository {top} already", f"autosync init {typed(top)}")


def _absolute_remote(remote: str) -> str:
    """A path as remote counts from where the person is, as with `git clone`."""
    local = Path(remote).expanduser()
    return str(local.absolute()) if local.is_dir() else remote


def _existing(path: Path) -> Path:
    """The nearest folder above ``path`` that is there."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _said(error: GitError) -> str:
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "ssh:"))] or lines[-1:]
    return telling[0].removeprefix("fatal: ") if telling else f"exit code {error.code}"


@dataclass(frozen=True, slots=True)
class Load:
    """What the watcher will commit first: how many files, how many bytes, and in which folders most of them are;
    ``held`` are the files that it will hold back."""

    files: int
    size: int
    folders: tuple[tuple[str, int], ...]
    held: tuple[str, ...] = ()


def first_load(intent: Intent, settings: Settings) -> Load:
    """What is not committed yet, by these settings. A bare repository and a clone have nothing to commit."""
    repository = intent.repository
    if repository is not None:
        return Load(0, 0, ()) if repository.bare else _load(repository.git, intent.path, settings)
    if intent.kind == "clone" or not intent.path.exists():
        return Load(0, 0, ())
    # git's own ignore rules count the files, without a repository in the person's folder for it
    with tempfile.TemporaryDirectory(prefix="autosync-") as folder:
        aside = Git(Path(folder))
        aside.run("init", "--quiet", "--template=")
        aside.run("config", "core.worktree", str(intent.path.resolve()))
        return _load(Git(intent.path, Path(folder, ".git")), intent.path, settings)


def _load(git: Git, top: Path, settings: Settings) -> Load:
    paths = split(git.run("ls-files", "-z", "--others", "--modified", "--exclude-standard", "--deduplicate").stdout)
    allowed = git.run("config", "-z", "--get-all", "autosync.allow", check=False)
    rules = rules_of(settings, split(allowed.stdout))
    chooser = Chooser(os.fsencode(top), rules)
    for name in paths:
        if not rules.ignored.match(os.fsencode(name)):
            chooser.add(os.fsencode(name))
    choice = chooser.choice
    folders: Counter[str] = Counter()
    total = 0
    for name in map(os.fsdecode, choice.present):
        head, slash, _ = name.partition("/")
        folders[head + "/" if slash else "."] += 1
        try:
            total += (top / name).lstat().st_size
        except OSError:
            continue  # gone since
    held = sorted({*choice.held, *choice.suspects})
    return Load(sum(folders.values()), total, tuple(folders.most_common(_FOLDERS)), tuple(map(os.fsdecode, held)))
