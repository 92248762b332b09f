"""Whether the upstream can be read and written to, from the environment that the relay runs in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from autosync.common.config import Settings
from autosync.common.errors import Problem
from autosync.common.git import GitError, clean_environment
from autosync.common.reader import Unreadable, Upstream
from autosync.common.repository import Repository
from autosync.common.shell import typed
from autosync.relay import agent
from autosync.relay.failures import Failure, Kind, classify
from autosync.relay.remote import parse

from .findings import Check

#: Seconds that a remote may take.
_LIMIT = 30.0
#: What decides how git and ssh log in.
_TELLING = ("PATH", "HOME", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "http_proxy", "https_proxy", "all_proxy", "no_proxy")


def environment_of(pid: int | None) -> dict[str, str]:
    """The environment of a process of ours (proc_pid_environ(5)), as far as it decides about logins; empty when it
    cannot be read."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes() if pid else b""
    except OSError:
        return {}
    fields = (os.fsdecode(field).partition("=") for field in content.split(b"\0") if field)
    found = {name: value for name, _, value in fields}
    if not found:
        return {}
    told = {name: found[name] for name in found if name in _TELLING or name.startswith("GIT_SSH")}
    # set and empty is what ssh takes for absent
    return clean_environment(told) | {agent.VARIABLE: agent.place_for(found)}


def reach(repository: Repository, settings: Settings, relay: Mapping[str, str]) -> Check | None:
    """Ask the upstream, and try a push that sends nothing; ``relay`` is that service's environment, empty when it does
    not run. None where there is no upstream."""
    try:
        reader = repository.reader()
        head = reader.head()
        upstream = reader.upstream(head.branch) if head.branch else None
        if upstream is None or head.branch is None:
            return None
        pushes = settings.push == "auto" and head.commit is not None
        failure = _tried(repository, upstream, head.branch if pushes else None, relay)
        if failure is None:
            return Check("remote", f"{upstream.remote} can be {'read and written to' if pushes else 'read'}")
        if (
            failure.kind is Kind.AUTH
            and relay
            and _tried(repository, upstream, head.branch if pushes else None, {}) is None
        ):
            return Check("remote", problem=_only_here(upstream.remote, relay))
    except (GitError, Unreadable, OSError) as error:
        return Check("remote", problem=Problem(str(error), f"see: git -C {typed(repository.path)} remote -v"))
    remedy = failure.remedy
    if "(publickey" in failure.what and parse(reader.remote_url(upstream.remote)) and not _agent(relay):
        remedy += "; no ssh agent is there: either start one (ssh-add -l shows it), or use a key without a passphrase"
    return Check("remote", problem=Problem(failure.what, remedy))


def _tried(repository: Repository, upstream: Upstream, branch: str | None, env: Mapping[str, str]) -> Failure | None:
    git = repository.git
    try:
        git.run("ls-remote", "--heads", "--", upstream.remote, limit=_LIMIT, env=env)
        if branch is not None:
            # nothing is sent, and no hook runs; but the login is the one for writing
            where = (upstream.remote, f"{branch}:{upstream.ref}")
            git.run("push", "--dry-run", "--no-verify", "--porcelain", "--", *where, limit=_LIMIT, env=env)
            _refuse_unwritable(repository, upstream)
    except GitError as error:
        failure = classify(error, upstream.remote, str(repository.path))
        return None if failure.kind is Kind.RACE else failure
    except PermissionError as error:
        what = f"{upstream.remote} can be read but not written to ({error.filename})"
        return Failure(Kind.UNSAFE, what, f"let this user write there: chmod or chown {typed(error.filename)}")
    return None


def _refuse_unwritable(repository: Repository, upstream: Upstream) -> None:
    """A path as remote: git notices only while it writes."""
    folder = Path(repository.reader().remote_url(upstream.remote).removeprefix("file://"))
    for place in (folder / "objects", folder / "refs" / "heads"):
        if folder.is_absolute() and place.is_dir() and not os.access(place, os.W_OK):
            raise PermissionError(13, "not writable", str(place))


def _agent(relay: Mapping[str, str]) -> bool:
    place = relay.get("SSH_AUTH_SOCK", os.environ.get("SSH_AUTH_SOCK", ""))
    return bool(place) and Path(place).exists()


def _only_here(remote: str, relay: Mapping[str, str]) -> Problem:
    """The login works in this shell, but not where the relay runs."""
    ours = clean_environment()
    other = [name for name in _TELLING if ours.get(name, "") != relay.get(name, "")]
    names = " ".join(other) or "SSH_AUTH_SOCK"
    return Problem(
        f"{remote} lets this shell in, but not the relay, whose environment is another ({names})",
        f"with systemd: systemctl --user import-environment {' '.join(other or ['SSH_AUTH_SOCK'])} && "
        "systemctl --user restart autosync-relay; else start the relay from this shell",
    )
