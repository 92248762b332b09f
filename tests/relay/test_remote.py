"""Where an upstream is: URLs as git reads them, and the login that some of them name."""

from __future__ import annotations

from pathlib import Path

import pytest

from autosync.common.reader import Upstream
from autosync.common.repository import Repository
from autosync.relay.remote import Place, Remote, Tracked, parse
from autosync.relay.state import Observed
from tests.support.git import git


@pytest.mark.parametrize(
    ("url", "place", "path"),
    [
        ("ssh://server/srv/notes.git", Place("server"), "/srv/notes.git"),
        ("ssh://rene@server:2222/srv/notes.git/", Place("rene@server", 2222), "/srv/notes.git"),
        ("git+ssh://server/~/notes", Place("server"), "~/notes"),
        ("ssh://server/~rene/notes", Place("server"), "~rene/notes"),
        ("ssh://[::1]:22/x", Place("::1", 22), "/x"),
        ("server:notes.git", Place("server"), "notes.git"),
        ("rene@server:/srv/notes.git", Place("rene@server"), "/srv/notes.git"),
        ("rene@[fe80::1%eth0]:notes", Place("rene@fe80::1%eth0"), "notes"),
        ("[server:2222]:notes", Place("server", 2222), "notes"),
        ("server:~/a b\nc", Place("server"), "~/a b\nc"),
    ],
)
def test_ssh_urls(url, place, path):
    assert parse(url) == (place, path)


@pytest.mark.parametrize(
    "url",
    [
        "/srv/notes.git",
        "./a:b",
        "../a:b",
        "file:///srv/notes.git",
        "https://server/notes.git",
        "ext::sh -c true",
        "ssh://-oProxyCommand=touch${IFS}x/notes",
        "-oProxyCommand=x:notes",
        "ssh://rene@-oProxyCommand=x/notes",
        "-l@server:notes",
        "ssh://server;true/notes",
        "ssh://a b/notes",
        "server:",
        "ssh:///notes",
        "ssh://server",
        "server:a\0b",
        "server:" + "x" * 5000,
    ],
)
def test_what_is_no_ssh_url_or_a_trick(url):
    assert parse(url) is None


def test_git_says_what_a_url_stands_for_and_is_asked_only_when_it_changes(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q", "notes")
    git(tmp_path / "notes", "config", "url.ssh://rene@server/srv/.insteadOf", "work/")
    git(tmp_path / "notes", "config", "core.sshCommand", "ssh -i key")
    git(tmp_path / "notes", "remote", "add", "origin", "work/notes.git")
    repository, remote = Repository.open(tmp_path / "notes"), Remote()
    seen = Observed(bare=False, upstream=Upstream("origin", "refs/heads/main", None), url="work/notes.git")
    assert remote.update(repository, seen)
    assert remote.urls == ("work/notes.git", "ssh://rene@server/srv/notes.git")
    assert remote.tracked == Tracked(Place("rene@server", None, "ssh -i key"), "/srv/notes.git", "refs/heads/main")
    assert not remote.update(repository, seen)
    assert remote.update(repository, Observed(bare=False))
    assert remote.urls == () and remote.tracked is None
    # as git itself, what is in the environment stands above the configuration
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -v")
    assert remote.update(repository, seen)
    assert remote.tracked.place.command == "ssh -v"


def test_a_local_upstream_costs_no_git(tmp_path):
    remote = Remote()
    seen = Observed(bare=False, upstream=Upstream("origin", "refs/heads/main", None), url="/srv/notes.git")
    assert remote.update(Repository(Path("/nowhere"), None, Path("/nowhere"), Path("/nowhere")), seen)
    assert remote.urls == ("/srv/notes.git",)
    assert remote.tracked is None
