"""What a repository's own file, `.autosync.toml`, sets. It comes from others: a mistake in it never stops the work."""

from __future__ import annotations

import logging

from .config import SHARED_FILE, SHARED_LIMIT, Shared, load_shared, parse_shared
from .errors import Problem
from .git import split
from .repository import Repository

_log = logging.getLogger(__name__)
#: Committed versions of the file that are looked at, newest first.
_VERSIONS = 20


class SharedSettings:
    """Reads the file of one repository, again and again. ``problem`` is what is wrong with it now."""

    def __init__(self) -> None:
        self.problem: Problem | None = None
        self._right: Shared | None = None

    def read(self, repository: Repository) -> Shared:
        """What counts now; for a bare repository nothing is set. With mistakes in the file that is what counted before
        them or, right after a start, the newest committed version without any: a file that was fetched takes no
        `exclude` away. Raises GitError, OSError."""
        if repository.work_tree is None:
            return Shared()
        try:
            self._right = load_shared(repository.work_tree)
            self.problem = None
        except Problem as found:
            if self.problem is None or self.problem.what != found.what:
                remedy = "correct it on any machine; until then its last version without mistakes counts"
                self.problem = Problem(found.what, remedy)
                _log.warning("%s: %s", repository.path, self.problem)
            if self._right is None:
                self._right = _committed(repository) or Shared()
        return self._right


def _committed(repository: Repository) -> Shared | None:
    """The newest committed version without mistakes, if there is one."""
    git = repository.git
    listed = git.run("rev-list", f"--max-count={_VERSIONS}", "HEAD", "--", SHARED_FILE, check=False)
    for commit in listed.text.split():
        for row in split(git.run("ls-tree", "-z", "-l", commit, "--", SHARED_FILE).stdout):
            mode, _, blob, size = row.partition("\t")[0].split()
            if not mode.startswith("100") or int(size) > SHARED_LIMIT:
                continue
            try:
                return parse_shared(git.run("cat-file", "blob", blob).stdout, repository.path / SHARED_FILE)
            except Problem:
                continue
    return None
