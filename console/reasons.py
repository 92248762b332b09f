"""Why a path is not synchronised: its rule, its state, the repository's state, in the order in which a file travels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autosync.common.git import Git, GitError, split
from autosync.common.shell import typed
from autosync.watcher import quarantine
from autosync.watcher.ignores import BUILT_IN
from autosync.watcher.patterns import Patterns

from . import wording
from .choose import addition
from .place import Place, Reason

#: Paths in a folder that are named.
_NAMED = 3


def outside(path: Path) -> Reason:
    """Of a path in no configured repository."""
    start = path if path.is_dir() else path.parent
    top = None
    if start.is_dir():
        asked = Git(start).run("rev-parse", "--show-toplevel", check=False)
        top = asked.text if asked.code == 0 else None
    if top:
        return Reason(
            f"it is in the repository {top}, which is not in the configuration", f"autosync init {typed(top)}"
        )
    return Reason("it is in no repository of the configuration", addition(path))


def reasons(place: Place, entry: dict[str, Any], now: float) -> Iterator[Reason]:
    """All reasons, the nearest to the file first; ``entry`` is the repository's in the survey, with what is said there
    of the service as ``watcher``."""
    try:
        tracked = _tracked(place)
        if place.mode is None and not tracked:
            yield _absent(place)
            return
        if not tracked:
            left_out = _left_out(place)
            if left_out is not None:
                yield left_out
                return
        if place.folder:
            yield from _folder(place)
        waiting = not place.folder and _waits(place, tracked)
        if waiting:
            yield from _uncommitted(place, entry, now)
        elif not place.folder:
            yield from _untold(place)
        yield from _travel(place, entry, waiting)
    except GitError as error:
        yield Reason(str(error), f"see what git says: git -C {typed(place.repo.path)} status")


def version(place: Place, now: float) -> str | None:
    """The version that is committed, and where it is: a sentence; None when none is."""
    git = place.repository.git
    if place.repository.reader().head().commit is None:
        return None
    fields = "%h%x00%ct%x00%(trailers:key=Autosync-Machine,valueonly,separator=%x2C)%x00%an"
    said = git.run("log", "-1", "--no-show-signature", f"--format={fields}", "HEAD", "--", place.pathspec).text
    if not said:
        return None
    commit, when, machine, author = said.split("\0")
    who = f"on {machine.strip()}" if machine.strip() else f"by {author}"
    sentence = f"commit {commit}, made {wording.ago(int(when), now)} {who}"
    remotes = git.run("for-each-ref", "--contains", commit, "--format=%(refname:short)", "refs/remotes/").text
    names = [line for line in remotes.splitlines() if not line.endswith("/HEAD")]
    return f"{sentence}; it is on {wording.listed(names)}" if names else f"{sentence}; it is here only"


# the rule that leaves it out ---------------------------------------------------------------------------------


def _tracked(place: Place) -> bool:
    listed = place.repository.git.run("ls-files", "-z", "--", place.pathspec)
    return bool(listed.stdout)


def _absent(place: Place) -> Reason:
    git = place.repository.git
    shown = typed(place.path)
    had = (
        place.repository.reader().head().commit
        and git.run("log", "-1", "--no-show-signature", "--format=%h", "HEAD", "--", place.pathspec).text
    )
    if had:
        return Reason(f"it is not there: commit {had} deleted it", f"autosync restore {shown}")
    return Reason("there is no such file, and git has never had it", "look at its name")


def _left_out(place: Place) -> Reason | None:
    """The rule by which an untracked path is left out."""
    name = place.name + ("/" if place.folder else "")
    said = place.repository.git.run(
        "check-ignore", "-v", "-z", "--no-index", "--stdin", input=os.fsencode(name) + b"\0", check=False
    )
    fields = split(said.stdout)
    if said.code == 0 and len(fields) == 4 and not fields[2].startswith("!"):
        source, line, pattern, _ = fields
        add = f"git -C {typed(place.repo.path)} add -f {typed(place.name)}"
        return Reason(
            f"git ignores it: {source}, line {line}: {pattern}",
            f"change that line; or, for this one alone: {add}",
        )
    excluded = _own_pattern(place, place.settings.exclude)
    if excluded is not None:
        return Reason(
            f"it is excluded: exclude has {excluded!r}", "take that out of exclude (configuration, or .autosync.toml)"
        )
    if place.settings.builtin_ignores:
        leaving = _own_pattern(place, [*BUILT_IN, *(p for p in place.settings.exclude if p.startswith("!"))])
        if leaving is not None:
            return Reason(
                f"it looks like what a program leaves while it works: {leaving}",
                f'to have it synchronised all the same: exclude = ["!{leaving}"]',
            )
    return None


def _own_pattern(place: Place, patterns: list[str]) -> str | None:
    """The pattern that leaves the path out: the one without which it would not be."""
    path = os.fsencode(place.name)
    if not Patterns(patterns).match(path, place.folder):
        return None
    return next((p for p in reversed(patterns) if Patterns([p]).match(path, place.folder)), None)


def _folder(place: Place) -> Iterator[Reason]:
    """What of a folder is not synchronised."""
    git, here = place.repository.git, place.pathspec
    changed = split(git.run("ls-files", "-z", "--others", "--modified", "--exclude-standard", "--", here).stdout)
    if changed:
        names = wording.listed([wording.plain(name) for name in changed], _NAMED)
        first = typed(place.repo.path / changed[0])
        yield Reason(
            f"{wording.count(len(changed), 'file is', 'files are')} not committed: {names}", f"autosync explain {first}"
        )
    elif not git.run("ls-files", "-z", "--", here).stdout:
        yield Reason("there is nothing in it that git keeps: it keeps no empty folders", "put a file into it")


# what has not been committed ---------------------------------------------------------------------------------


def _waits(place: Place, tracked: bool) -> bool:
    """Whether what is on the disk is not what is committed."""
    if not tracked:
        return True
    said = place.repository.git.run("status", "--porcelain", "-z", "--untracked-files=no", "--", place.pathspec)
    return bool(said.stdout)


def _uncommitted(place: Place, entry: dict[str, Any], now: float) -> Iterator[Reason]:
    held = next((one for one in entry["quarantined"] if one["path"].rstrip("/") == place.name), None)
    if held is None and entry["watcher_state"] is None:
        held = _would_be_held(place)
    if held is not None:
        yield Reason(f"it is held back: {held['reason']}", held["remedy"])
        return
    if not place.settings.watch:
        yield Reason(
            "it is not committed, and the watcher does not commit here (watch = false)",
            f"git -C {typed(place.repo.path)} commit, or set watch = true",
        )
        return
    if place.mode is None:
        yield Reason("it is deleted, and that is not committed yet", _soon(entry))
    elif entry["watcher_state"] in ("watching", "polling"):
        quiet = now - place.changed
        settle = place.settings.settle
        if 0 <= quiet < settle:
            what = f"it changed {wording.ago(place.changed, now)}: it is committed when quiet for {settle:g} s"
        else:
            what = "it is not committed yet: a program still has it open, or its turn has not come"
        yield Reason(what, _soon(entry))
    elif entry["watcher_state"] is None and entry["watcher"]["error"]:
        yield Reason(f"it is not committed: {entry['watcher']['error']}", entry["watcher"]["remedy"])
    else:
        yield Reason("it is not committed yet", None)


def _soon(entry: dict[str, Any]) -> str:
    return f"wait a moment, or: autosync sync {typed(entry['path'])}"


def _would_be_held(place: Place) -> dict[str, str] | None:
    """What the watcher would say, where it does not run. The content is looked at as it would."""
    if place.mode is None or place.folder:
        return None
    names = place.settings.quarantine
    root, path = os.fsencode(place.repo.path), os.fsencode(place.name)
    allowed = place.repository.reader().config_all("autosync.allow")
    if Patterns(allowed).match(path):
        return None
    secrets = Patterns(quarantine.SECRET_NAMES if names is None else names)
    found = quarantine.judge(root, path, place.size, place.settings.max_file_size, secrets)
    if found is None:
        try:
            with place.path.open("rb") as file:
                found = quarantine.secret(root, path) if quarantine.is_secret(file.read(quarantine.HEAD)) else None
        except OSError as error:
            return {"reason": f"it cannot be read ({error.strerror})", "remedy": f"chmod u+r {typed(place.path)}"}
    return {"reason": found.reason, "remedy": found.remedy} if found else None


def _untold(place: Place) -> Iterator[Reason]:
    """git was told not to look at the file."""
    listed = place.repository.git.run("ls-files", "-v", "-z", "--", place.pathspec).stdout
    here = f"git -C {typed(place.repo.path)} update-index"
    name = typed(place.name)
    if listed[:1].islower():
        yield Reason("git was told to take it for unchanged (assume-unchanged)", f"{here} --no-assume-unchanged {name}")
    elif listed[:1] == b"S" and place.mode is not None:
        yield Reason(
            "git was told to leave it out of the work tree (skip-worktree)", f"{here} --no-skip-worktree {name}"
        )


# what has not travelled --------------------------------------------------------------------------------------


def _travel(place: Place, entry: dict[str, Any], waiting: bool) -> Iterator[Reason]:
    """What keeps the repository: it matters to the path when it waits, or when one side lacks the other's version."""
    unpushed, unpulled = _differs(place)
    state, reason, remedy = entry["state"], entry["reason"], entry["remedy"]
    if unpushed:
        yield Reason("its newest commit is not pushed yet", None if reason else f"autosync sync {typed(entry['path'])}")
    if unpulled:
        yield Reason("a newer version of it has come, and is not merged yet", None)
    # that the watcher is missing has been told of
    stuck = state not in ("in sync", "unborn", "syncing", "watcher not running")
    if stuck and (waiting or unpushed or unpulled or state == "no upstream"):
        why = f"the {state.replace(' not', ' is not')}" if state.endswith("running") else f"the repository is {state}"
        yield Reason(f"{why}: {reason}" if reason and not state.endswith("running") else why, remedy)


def _differs(place: Place) -> tuple[bool, bool]:
    """Whether HEAD has a commit for the path that the upstream lacks, and the other way round."""
    git, reader = place.repository.git, place.repository.reader()
    head = reader.head()
    upstream = reader.upstream(head.branch) if head.branch else None
    if upstream is None or upstream.tracking is None or head.commit is None or not reader.resolve(upstream.tracking):
        return False, False
    both = ("--left-right", "--no-merges", "--max-count=100", f"HEAD...{upstream.tracking}", "--")
    said = git.run("rev-list", *both, place.pathspec).text
    marks = {line[0] for line in said.splitlines() if line}
    return "<" in marks, ">" in marks
