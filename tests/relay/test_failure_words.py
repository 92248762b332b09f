"""What a person reads of a failed git command."""

from __future__ import annotations

import pytest

from autosync.common.git import GitError
from autosync.relay.failures import PAUSES, Kind, classify


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            "remote: Enumerating objects: 4, done.\n"
            "error: insufficient permission for adding an object to repository database .git/objects\n"
            "fatal: failed to write object\n",
            "insufficient permission for adding an object",
        ),
        ("remote: Counting objects: 1, done.\nfatal: write error: No space left on device\n", "write error: No space"),
        ("ssh: connect to host h port 22: Connection refused\nfatal: Could not read\n", "ssh: connect to host h"),
    ],
)
def test_progress_of_the_remote_is_no_reason(said, what):
    failure = classify(GitError(("fetch",), 128, b"", said.encode()), "origin", "/r")
    assert what in failure.what
    assert "objects: " not in failure.what


def test_the_reason_is_what_ssh_said_and_not_that_nothing_could_be_read():
    said = (
        "Authorised users only\noops\ngit@h: Permission denied (publickey).\r\n"
        "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n"
    )
    failure = classify(GitError(("fetch",), 128, b"", said.encode()), "origin", "/r")
    assert failure.what == "origin refuses this machine (git@h: Permission denied (publickey).)"


def test_a_host_key_that_is_another_one_is_told_from_one_that_is_not_known():
    end = "Host key verification failed.\r\nfatal: Could not read from remote repository.\n"
    changed = (
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n"
        "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\n"
        "Offending ED25519 key in /home/r/.ssh/known_hosts:7\n"
    )
    failure = classify(GitError(("fetch",), 128, b"", f"{changed}{end}".encode()), "origin", "/r")
    assert (failure.kind, failure.what) == (Kind.AUTH, "origin shows another ssh host key than before")
    assert "line 7 of /home/r/.ssh/known_hosts" in failure.remedy
    failure = classify(GitError(("fetch",), 128, b"", end.encode()), "origin", "/r")
    assert (failure.kind, failure.what) == (Kind.AUTH, "the ssh host key of origin is not known here")
    assert "git -C /r ls-remote origin" in failure.remedy


_GITHUB = "! [remote rejected] main -> main (%s)\nerror: failed to push some refs to 'github.com:team/notes.git'\n"
# what hosts and git itself say
REFUSALS = {
    "protected on GitHub": (
        Kind.PROTECTED,
        "remote: error: GH006: Protected branch update failed for refs/heads/main.\n"
        "remote: error: At least 1 approving review is required by reviewers with write access.\n"
        + _GITHUB
        % "protected branch hook declined",
    ),
    "a rule on GitHub": (
        Kind.PROTECTED,
        "remote: error: GH013: Repository rule violations found for refs/heads/main.\n"
        "remote: - Changes must be made through a pull request.\n"
        + _GITHUB
        % "push declined due to repository rule violations",
    ),
    "a secret on GitHub": (
        Kind.REJECTED,
        "remote: error: GH013: Repository rule violations found for refs/heads/main.\n"
        "remote: - Push cannot contain secrets\n" + _GITHUB % "push declined due to repository rule violations",
    ),
    "protected on GitLab": (
        Kind.PROTECTED,
        "remote: GitLab: You are not allowed to push code to protected branches on this project.\n"
        "! [remote rejected] main -> main (pre-receive hook declined)\n",
    ),
    "protected on Gitea": (
        Kind.PROTECTED,
        "remote: Gitea: Not allowed to push to protected branch main\n"
        "! [remote rejected] main -> main (pre-receive hook declined)\n",
    ),
    "a work tree": (Kind.PROTECTED, "! [remote rejected] main -> main (branch is currently checked out)\n"),
    "a hook": (
        Kind.REJECTED,
        "remote: the message names no ticket\n! [remote rejected] main -> main (pre-receive hook declined)\n",
    ),
    "a hook that speaks of logins": (
        Kind.REJECTED,
        "remote: authentication failed in the tests\n! [remote rejected] main -> main (pre-receive hook declined)\n",
    ),
    "large on GitHub": (
        Kind.TOO_LARGE,
        "remote: error: File a.bin is 120.00 MB; this exceeds GitHub's file size limit of 100.00 MB\n"
        + _GITHUB % "pre-receive hook declined",
    ),
    "large for git": (
        Kind.TOO_LARGE,
        "remote: fatal: pack exceeds maximum allowed size (1.00 MiB)\n"
        "error: remote unpack failed: index-pack abnormal exit\n! [remote rejected] main -> main (unpacker error)\n",
    ),
    "large for a proxy": (
        Kind.TOO_LARGE,
        "error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\n"
        "fatal: the remote end hung up unexpectedly\n",
    ),
    "no key": (Kind.AUTH, "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n"),
    "a key that may only read": (
        Kind.AUTH,
        "ERROR: The key you are authenticating with has been marked as read only.\n"
        "fatal: Could not read from remote repository.\n",
    ),
    "not for this account": (Kind.AUTH, "ERROR: Permission to team/notes.git denied to somebody.\nfatal: Could not\n"),
    "gitolite": (Kind.AUTH, "FATAL: W any notes somebody DENIED by fallthru\nfatal: Could not read\n"),
    "no password": (
        Kind.AUTH,
        "fatal: could not read Username for 'https://h': terminal prompts disabled\n",
    ),
    "not with this account over http": (
        Kind.AUTH,
        "remote: Permission to a/b.git denied to c.\n"
        "fatal: unable to access 'https://h/a/b.git/': The requested URL returned error: 403\n",
    ),
    "a wrong certificate": (
        Kind.AUTH,
        "fatal: unable to access 'https://h/': SSL certificate problem: unable to get local issuer certificate\n",
    ),
    "no name": (Kind.OFFLINE, "ssh: Could not resolve hostname h: Name or service not known\n"),
    "no route": (Kind.OFFLINE, "ssh: connect to host h port 22: No route to host\n"),
    "no host": (
        Kind.OFFLINE,
        "fatal: unable to access 'https://h/': Failed to connect to h port 443: Connection refused\n",
    ),
    "cut off": (
        Kind.OFFLINE,
        "kex_exchange_identification: Connection closed by remote host\nfatal: Could not read\n",
    ),
    "a server in trouble": (
        Kind.OFFLINE,
        "fatal: unable to access 'https://h/': The requested URL returned error: 502\n",
    ),
    "gone": (Kind.MISSING, "ERROR: Repository not found.\nfatal: Could not read from remote repository.\n"),
    "the person's own hook": (
        Kind.REJECTED,
        "the tests fail\nerror: failed to push some refs to 'h:notes'\n",
    ),
    "a race": (Kind.RACE, "! [rejected] main -> main (fetch first)\n"),
    "a race at the end": (Kind.RACE, "! [remote rejected] main -> main (failed to update ref)\n"),
}


def test_a_lock_at_the_remote_is_named():
    said = (
        "remote: error: cannot lock ref 'refs/heads/main': Unable to create '/srv/n.git/./refs/heads/main.lock': File "
        "exists.\nremote: Another git process seems to be running\n"
        "! [remote rejected] main -> main (failed to update ref)\n"
    )
    failure = classify(GitError(("push",), 1, b"", said.encode()), "origin", "/r")
    assert failure.kind is Kind.RACE
    assert "/srv/n.git/./refs/heads/main.lock" in failure.what
    assert "remove /srv/n.git/./refs/heads/main.lock" in failure.remedy


@pytest.mark.parametrize(
    ("why", "remedy"),
    [
        ("Unable to create '/srv/n.git/./refs/heads/topic/x.lock': Permission denied", "permission"),
        ("Unable to create '/srv/n.git/./refs/heads/topic/x.lock': No space left on device", "room"),
        ("'refs/heads/topic' exists; cannot create 'refs/heads/topic/x'", "rename"),
    ],
)
@pytest.mark.parametrize("end", ["! [remote rejected] topic/x -> topic/x (failed to update ref)\n", ""])
def test_a_ref_that_cannot_be_locked_at_all_is_no_race(why, remedy, end):
    said = f"remote: error: cannot lock ref 'refs/heads/topic/x': {why}        \n{end}"
    failure = classify(GitError(("push",), 1, b"", said.encode()), "origin", "/r")
    assert failure.kind is Kind.UNSAFE
    assert why in failure.what
    assert remedy in failure.remedy


@pytest.mark.parametrize("name", REFUSALS)
def test_kinds_of_refusal_are_told_apart(name):
    kind, said = REFUSALS[name]
    failure = classify(GitError(("push",), 1, b"", said.encode()), "origin", "/r")
    assert failure.kind is kind
    assert failure.what and failure.remedy


def test_each_kind_has_pauses_of_its_own():
    kinds = [Kind.PROTECTED, Kind.REJECTED, Kind.TOO_LARGE, Kind.AUTH, Kind.OFFLINE]
    assert len({PAUSES[kind] for kind in kinds}) == len(kinds)


def test_a_git_that_was_killed_is_not_taken_at_its_last_word():
    failure = classify(GitError(("push",), -9, b"", b"Enumerating objects: 4, done.\n"), "origin", "/r")
    assert "signal 9" in failure.what
