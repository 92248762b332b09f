"""Which repository this is, for announcements: its oldest root commit, or a configured id."""

from __future__ import annotations

from collections.abc import Mapping

from autosync.common.repository import Repository


class Identity:
    """``id`` goes into announcements, None while nothing is committed; ``root`` is the oldest first commit. A
    repository made by joining histories has several roots; an announcement for any of them is for it."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.root: str | None = None
        self._all: frozenset[str] = frozenset()
        self._asked: str | None = None

    def update(
        self,
        repository: Repository,
        configured: str | None,
        head: str | None,
        refs: Mapping[str, str],
        related: bool = True,
    ) -> bool:
        """Bring it up to date; returns whether it is another. Asks git only when a first commit has appeared, the
        configured id has changed, or a history with nothing in common has come or been joined (``related``). Raises
        OSError."""
        start = head or next(iter(refs.values()), None)
        asked = f"{configured}:{start is not None}:{related}"
        if asked == self._asked:
            return False
        self._asked = asked
        before = (self.id, self._all)
        everywhere = self._roots(repository, "--branches" if repository.bare else "--remotes") if start else []
        here = (self._roots(repository, "HEAD") if start else []) or everywhere
        if start and not here:  # no branch is left
            here = self._roots(repository, start)
        self.root = here[0] if here else None
        self.id = configured or self.root
        self._all = frozenset([*here, *everywhere, *([configured] if configured else [])])
        return (self.id, self._all) != before

    def matches(self, repository_id: str) -> bool:
        """Whether an announcement with this id is, or may be, meant."""
        return not self._all or repository_id in self._all

    @property
    def names(self) -> frozenset[str]:
        """All ids to listen for."""
        return self._all

    @staticmethod
    def _roots(repository: Repository, start: str) -> list[str]:
        """The root commits, oldest first; none from an unborn HEAD."""
        args = ("log", "--max-parents=0", "--no-show-signature", "--format=%ct %H", start, "--")
        result = repository.git.run(*args, check=False)
        if result.code:
            return []
        rows = sorted((int(line.split()[0]), line.split()[1]) for line in result.text.splitlines())
        return [commit for _, commit in rows]
