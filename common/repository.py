"""A repository on disk: where its parts are, and what is going on in it right now."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from .child import Missing
from .errors import Problem
from .git import HOW_TO_GET_GIT, Git, GitError
from .reader import Reader, open_reader
from .shell import typed

#: The folder below the common git directory that belongs to autosync.
OWN_FOLDER = "autosync"

# What git leaves in the git directory while a person is in the middle of something
# (git's own wt_status_get_state looks for the same files).
_OPERATIONS = (
    ("rebase-merge", "rebase"),
    ("rebase-apply/applying", "am"),
    ("rebase-apply", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("BISECT_LOG", "bisect"),
    ("sequencer/todo", "cherry-pick"),
)
# With reftable these are no files (gitglossary(7), "pseudoref")
_REFS = (("CHERRY_PICK_HEAD", "cherry-pick"), ("REVERT_HEAD", "revert"))
#: How a person ends each operation that `Repository.operation` names.
FINISH = {
    "merge": "put the files right that git status lists, git add them, git commit; or git merge --abort",
    "rebase": "git rebase --continue, or git rebase --abort",
    "am": "git am --continue, or git am --abort",
    "cherry-pick": "git cherry-pick --continue, or git cherry-pick --abort",
    "revert": "git revert --continue, or git revert --abort",
    "bisect": "git bisect reset",
}
#: The reason of a pause that a person made; another one needs the person.
PAUSED_BY_HAND = "paused by hand"


@dataclass(frozen=True, slots=True)
class Repository:
    """The places of one repository. ``work_tree`` is None for a bare one.

    ``git_dir`` is this work tree's own git directory, ``common_dir`` the one that linked
    work trees share.
    """

    path: Path
    work_tree: Path | None
    git_dir: Path
    common_dir: Path

    @classmethod
    def open(cls, path: Path) -> Repository:
        """The repository whose root is ``path``. Raises Problem when there is none, or no git."""
        if not path.is_dir():
            raise Problem(f"{path} is not there", "make or mount it, or remove it from the configuration")
        git = Git(path)
        try:
            questions = ("--is-bare-repository", "--git-dir", "--git-common-dir")
            found = git.run("rev-parse", "--path-format=absolute", *questions).text.split("\n")
            if len(found) != len(questions):  # a path with line breaks
                found = [git.run("rev-parse", "--path-format=absolute", question).text for question in questions]
        except Missing as error:
            raise Problem(str(error), HOW_TO_GET_GIT) from error
        except GitError as error:
            if "dubious ownership" in error.message or "not owned" in error.message:
                raise Problem(
                    f"git refuses {path}, as it belongs to somebody else",
                    f"git config --global --add safe.directory {typed(path)}",
                ) from error
            reason = error.message.splitlines()[-1] if error.message else "no reason given"
            if (path / ".git").exists() or (path / "objects").exists():
                remedy = f"mend what it names; git says more: git -C {typed(path)} status"
                raise Problem(f"git cannot open {path} ({reason})", remedy) from error
            raise Problem(
                f"{path} is not a git repository ({reason})",
                f"make it one with: autosync init {typed(path)}",
            ) from error
        bare, git_dir, common_dir = found[0] == "true", Path(found[1]), Path(found[2])
        if bare:
            return cls(path, None, git_dir, common_dir)
        top = Path(git.run("rev-parse", "--path-format=absolute", "--show-toplevel").text)
        if not top.exists() or not os.path.samefile(top, path):  # noqa: PTH121
            raise Problem(f"{path} is a folder inside the repository {top}", f"configure {top} instead")
        return cls(path, path, git_dir, common_dir)

    @property
    def bare(self) -> bool:
        return self.work_tree is None

    @property
    def git(self) -> Git:
        """git for this repository."""
        if self.work_tree is None:
            return Git(self.git_dir, self.git_dir)
        return Git(self.work_tree)

    def reader(self) -> Reader:
        """A fresh view for questions: refs, graph, ignore rules. Cheap to make; ask and drop it."""
        return open_reader(self.git_dir, self.git)

    @property
    def own_dir(self) -> Path:
        """autosync's folder, shared by all work trees of the repository."""
        return self.common_dir / OWN_FOLDER

    @property
    def notes_dir(self) -> Path:
        """Where hooks leave their notes."""
        return self.own_dir / "notes"

    @property
    def announced(self) -> Path:
        """What one-shot runs have announced of a bare repository: JSON, `seen` has each branch's full name and commit,
        and `base` is empty."""
        return self.own_dir / "announced.json"

    @property
    def tree_dir(self) -> Path:
        """autosync's folder for this work tree alone (the same as own_dir in the main work tree)."""
        return self.git_dir / OWN_FOLDER

    @property
    def lock(self) -> Path:
        """The advisory lock between watcher and relay (see locks.py)."""
        return self.tree_dir / "lock"

    @property
    def push_lock(self) -> Path:
        """The advisory lock between a push by the relay and a rewording of what is not pushed (see reword.py)."""
        return self.tree_dir / "push-lock"

    @property
    def commit_journal(self) -> Path:
        """What the watcher writes down of a commit while git's lock of the index is taken for it."""
        return self.tree_dir / "commit"

    @property
    def pause_mark(self) -> Path:
        """Exists while the person has paused this repository."""
        return self.tree_dir / "paused"

    @property
    def paused(self) -> str | None:
        """Why it is paused: what the mark says, which is nothing when a person has made it. None when it is not."""
        try:
            with self.pause_mark.open("rb") as mark:
                return mark.read(1000).decode(errors="replace").strip() or PAUSED_BY_HAND
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return PAUSED_BY_HAND

    def operation(self) -> str | None:
        """What a person is in the middle of: `merge`, `rebase`, `bisect` ..., or None."""
        # one listing instead of a question for each name: this is asked before and after everything
        try:
            with os.scandir(self.git_dir) as entries:
                present = {entry.name for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return None
        for name, operation in _OPERATIONS:
            first, _, inner = name.partition("/")
            if first in present and (not inner or (self.git_dir / name).exists()):
                return operation
        if "reftable" in present:
            for name, operation in _REFS:
                if self.git.run("rev-parse", "--quiet", "--verify", name, check=False).code == 0:
                    return operation
        return None

    def index_lock_age(self, now: float) -> float | None:
        """Seconds since index.lock was made (``now`` in seconds since the epoch), None when there is none."""
        try:
            return max(0.0, now - (self.git_dir / "index.lock").lstat().st_mtime)
        except OSError:
            return None

    def index_mark(self) -> tuple[int, int, int] | None:
        """A mark that changes whenever git replaces the index; None without an index."""
        try:
            found = (self.git_dir / "index").stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def make_own_folders(self) -> None:
        """Make autosync's folders, writable for whom the repository is shared with. Raises OSError."""
        # as git does for core.sharedRepository: what the common directory grants, ours grants too
        granted = stat.S_IMODE(self.common_dir.stat().st_mode) & 0o2777
        for folder in (self.own_dir, self.notes_dir, self.tree_dir):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(granted)
