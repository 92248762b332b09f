"""Which of a batch's paths go into the index, and which are held back: `staging.Chooser` looks at the
disk, here git is asked what only git knows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from autosync.common.git import Git
from autosync.common.reader import Reader
from autosync.common.repository import Repository

from . import filters, scan, staging
from .gitconfig import GitConfig
from .ignores import ignored_by_git
from .quarantine import Held

#: Batches above this are first compared with what git says changed: that costs the same for any number.
LARGE = 1000
# Larger ones are handled in parts: git reads one while the next one is looked at.
_PART = 20_000
# So many paths are looked at before others get their turn.
_AT_ONCE = 500
_GITLINK = 0o160000


@dataclass(slots=True)
class Candidates:
    """``present`` and ``gone`` paths go to `update-index`, ``replaced`` ones are files that are folders now.
    ``filters`` are the clean filters in play, ``nested`` the other repositories that were met."""

    present: list[bytes] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)
    replaced: list[bytes] = field(default_factory=list)
    held: dict[bytes, Held] = field(default_factory=dict)
    filters: set[str] = field(default_factory=set)
    nested: set[bytes] = field(default_factory=set)


class Finder:
    """Finds the candidates of one batch. ``tracked_but_ignored`` is asked only when an ignored path is met."""

    def __init__(
        self,
        repository: Repository,
        reader: Reader,
        config: GitConfig,
        rules: staging.Rules,
        tracked_but_ignored: Callable[[], Awaitable[set[bytes]]],
    ) -> None:
        self._repository = repository
        self._git: Git = repository.git
        self._root = os.fsencode(repository.path)
        self._reader = reader
        self._config = config
        self._rules = rules
        self._tracked_but_ignored = tracked_but_ignored
        self._listed: Collection[bytes] = ()  # git has said that these are not ignored

    async def parts(self, paths: list[bytes], rehash: Collection[bytes]) -> list[list[bytes]]:
        """What of ``paths`` has to be looked at, in portions for `find`; those in ``rehash`` are, whatever git says.
        Raises GitError."""
        if len(paths) > LARGE:
            self._listed = await scan.changed(self._git)
            paths = sorted(path for path in paths if path in self._listed or path.endswith(b"/") or path in rehash)
        return [paths[start : start + _PART] for start in range(0, len(paths), _PART)]

    async def find(self, paths: list[bytes], env: Mapping[str, str]) -> Candidates:
        """Sort ``paths``; ``env`` names the index that says what is tracked. Raises GitError, Unreadable."""
        chooser = staging.Chooser(self._root, self._rules)
        for number, path in enumerate(paths):
            chooser.add(path)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        choice = chooser.choice
        found = Candidates(await self._unless_ignored(choice.present), held=choice.held)
        found.gone = await self._unless_ignored(choice.gone)
        if choice.folders or choice.suspects or choice.inner:
            await self._add_tracked(choice, found, env)
        await self._hold_unfiltered(found)
        return found

    async def _add_tracked(self, choice: staging.Choice, found: Candidates, env: Mapping[str, str]) -> None:
        """Decide on what depends on being tracked already."""
        suspects = await self._unless_ignored(list(choice.suspects))
        asked = [*choice.folders, *suspects, *choice.inner]
        entries = await staging.tracked_below(self._git, asked, env) if asked else []
        tracked = {entry.path for entry in entries if entry.mode != _GITLINK}
        for path in suspects:
            if path in tracked:  # a person has let it in
                found.present.append(path)
            else:
                found.held[path] = choice.suspects[path]
        for root, inner in choice.inner.items():
            found.nested.add(root)
            found.present += [path for path in inner if path in tracked]
        below = staging.vanished(self._root, choice.folders, tracked)
        found.gone = found.gone + below.gone
        found.replaced = below.replaced

    async def _unless_ignored(self, paths: list[bytes]) -> list[bytes]:
        """Those of the paths that no rule ignores."""
        ignored = {path for path in paths if self._rules.ignored.match(path)}
        asked = [path for path in paths if path not in self._listed]
        for start in range(0, len(asked), _AT_ONCE):
            ignored |= ignored_by_git(self._reader, asked[start : start + _AT_ONCE])
            if start:
                await asyncio.sleep(0)
        if ignored:
            ignored -= await self._tracked_but_ignored()
        return [path for path in paths if path not in ignored]

    async def _hold_unfiltered(self, found: Candidates) -> None:
        """Hold back what would be stored without its filter."""
        if not found.present or not filters.attributes_name_filters(self._repository, self._config, found.present):
            return
        named = await filters.filters_of(self._git, found.present)
        unfiltered = {path for path, name in named.items() if not filters.configured(name, self._config)}
        if unfiltered:
            # a locked clone holds what is stored: no change, and nothing to hold
            changed = await scan.changed(self._git)
            found.held |= {path: filters.missing(self._repository.path, named[path]) for path in unfiltered & changed}
            found.present = [path for path in found.present if path not in unfiltered]
        found.filters = {name for path, name in named.items() if path not in unfiltered}
