"""`undo`, `restore` and `peers`."""

from __future__ import annotations

import os

import pytest

from tests.support.git import git


def automatic(machine, path: str, content: str | None) -> str:
    """A commit as the watcher makes it."""
    file = machine.notes / path
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    git(machine.notes, "add", "-A", "--", path)
    git(machine.notes, "commit", "-qm", f'"{path}" edited\n\nAutosync-Machine: laptop')
    return git(machine.notes, "rev-parse", "HEAD")


def test_undo_takes_back_one_after_the_other_and_rewrites_nothing(machine):
    first, second = automatic(machine, "a", "1\n"), automatic(machine, "a", "2\n")
    git(machine.notes, "commit", "-q", "--allow-empty", "-m", "by hand")
    code, out, _ = machine.run("undo")
    assert code == 0
    assert '"a" edited' in out
    assert (machine.notes / "a").read_text() == "1\n"
    assert machine.run("undo", machine.notes)[0] == 0
    assert not (machine.notes / "a").exists()
    log = git(machine.notes, "log", "--format=%H %s")
    assert first in log
    assert second in log
    code, _, err = machine.run("undo")
    assert code == 1
    assert "autosync made none" in err


def test_undo_of_a_conflict_says_where_the_other_version_is(machine):
    automatic(machine, "a.txt", "mine\n")
    automatic(machine, "a.conflict-1234567.txt", "theirs\n")
    code, out, _ = machine.run("undo")
    assert code == 0
    assert not (machine.notes / "a.conflict-1234567.txt").exists()
    command = out.splitlines()[1].partition("autosync ")[2].split(" ")
    assert machine.run(*[word.replace("~", os.environ["HOME"]) for word in command])[0] == 0
    assert (machine.notes / "a.conflict-1234567.txt").read_text() == "theirs\n"


def test_undo_names_the_repositories_to_choose_from(machine):
    machine.config.write_text(machine.config.read_text() + '[[repository]]\npath = "~/central.git"\n')
    code, _, err = machine.run("undo")
    assert code == 1
    assert f"autosync undo {machine.notes}\nautosync undo {machine.central}\n" in err
    code, _, err = machine.run("peers", "add", "desk", "ssh://desk/x")
    assert f"autosync peers add desk ssh://desk/x {machine.notes}\n" in err


def test_undo_refuses_what_later_changes_are_in_the_way_of(machine):
    commit = automatic(machine, "a", "1\n2\n3\n")
    (machine.notes / "a").write_text("1\ntwo\n3\n")
    git(machine.notes, "commit", "-qam", "by hand")
    code, _, err = machine.run("undo")
    assert code == 1
    assert f"git -C {machine.notes} revert {commit[:7]}" in err
    assert git(machine.notes, "status", "--porcelain") == ""


def test_undo_does_not_touch_uncommitted_work(machine):
    automatic(machine, "a", "1\n")
    automatic(machine, "a", "2\n")
    (machine.notes / "a").write_text("not committed\n")
    head = git(machine.notes, "rev-parse", "HEAD")
    code, _, err = machine.run("undo")
    assert code == 1
    assert "uncommitted" in err
    assert (machine.notes / "a").read_text() == "not committed\n"
    assert git(machine.notes, "rev-parse", "HEAD") == head


def dated(machine, content: str, date: str) -> None:
    (machine.notes / "f").write_text(content)
    git(machine.notes, "add", "f")
    os.environ["GIT_COMMITTER_DATE"] = date
    git(machine.notes, "commit", "-qm", f"f {date}")
    del os.environ["GIT_COMMITTER_DATE"]


@pytest.fixture
def versions(machine):
    # after the first commit of all, which is of now
    dated(machine, "old\n", "2090-01-01T12:00:00Z")
    dated(machine, "new\n", "2090-03-01T12:00:00Z")
    return machine


def test_restore_brings_a_version_back_for_the_watcher_to_commit(versions):
    code, out, _ = versions.run("restore", versions.notes / "f", "--at", "2090-02-01 00:00")
    assert (code, (versions.notes / "f").read_text()) == (0, "old\n")
    assert "the watcher commits it" in out
    assert git(versions.notes, "diff", "--name-only") == "f"
    assert git(versions.notes, "diff", "--cached", "--name-only") == ""


def test_restore_brings_back_a_deleted_file_and_lists_versions(versions):
    git(versions.notes, "rm", "-q", "f")
    git(versions.notes, "commit", "-qm", "gone")
    code, out, _ = versions.run("restore", versions.notes / "f")
    assert code == 0
    assert out.count("\n") == 4
    commit = git(versions.notes, "rev-parse", "--short", "HEAD~1")
    assert out.splitlines()[0].endswith("(deleted)")
    assert out.endswith(f"autosync restore {versions.notes / 'f'} --at {commit}\n")
    assert versions.run("restore", versions.notes / "f", "--at", commit)[0] == 0
    assert (versions.notes / "f").read_text() == "new\n"


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("1990-01-01", "nothing is as old as '1990-01-01' here: its versions: autosync restore "),
        ("whenever", "neither a time nor a commit"),
        ("HEAD~2", "did not exist"),
    ],
)
def test_restore_says_what_it_cannot_do(versions, at, words):
    code, _, err = versions.run("restore", versions.notes / "f", "--at", at)
    assert code == 1
    assert words in err
    assert (versions.notes / "f").read_text() == "new\n"


@pytest.mark.parametrize("ignored", [False, True])
def test_restore_overwrites_nothing_that_is_not_committed(versions, ignored):
    if ignored:
        git(versions.notes, "rm", "-q", "f")
        git(versions.notes, "commit", "-qm", "gone")
        (versions.notes / ".git/info/exclude").write_text("f\n")
    (versions.notes / "f").write_text("mine\n")
    code, _, err = versions.run("restore", versions.notes / "f", "--at", "HEAD~1")
    assert code == 1
    assert "not committed yet" in err
    assert (versions.notes / "f").read_text() == "mine\n"


def test_peers_are_added_and_removed(machine):
    assert machine.run("peers", "add", "desk", "ssh://desk/home/rene/notes")[0] == 0
    assert machine.run("peers", "add", "desk", "ssh://desk/home/rene/notes")[0] == 0
    assert git(machine.notes, "remote", "get-url", "desk") == "ssh://desk/home/rene/notes"
    code, _, err = machine.run("peers", "add", "desk", "ssh://other/notes")
    assert code == 1
    assert "remote remove desk" in err
    assert machine.run("peers", "remove", "desk")[0] == 0
    assert machine.run("peers", "remove", "desk")[0] == 1
    assert machine.run("peers", "remove", "origin")[0] == 1
    assert git(machine.notes, "remote") == "origin"


@pytest.mark.parametrize("name", ["-x", "a b", "", "../up"])
def test_a_peer_with_an_impossible_name(machine, name):
    code, _, err = machine.run("peers", "add", "--", name, "url")
    assert code == 1
    assert "cannot be the name" in err


def test_peers_without_a_relay_says_how_to_start_one(machine):
    code, _, err = machine.run("peers")
    assert code == 1
    assert err.startswith("autosync peers: the relay is not running")
    assert machine.run("peers", "list")[2].startswith("autosync peers list: the relay")


def test_undo_where_git_does_not_know_the_person(machine, home, monkeypatch):
    automatic(machine, "a", "1\n")
    (home / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = machine.run("undo")
    assert (code, err) == (0, "")
    assert git(machine.notes, "log", "-1", "--format=%ae").endswith("@laptop")


def test_restore_of_a_file_with_a_strange_name(machine, monkeypatch):
    monkeypatch.chdir(machine.notes)
    for name in ("-x", "two\nlines"):
        automatic(machine, f"./{name}", "1\n")
        automatic(machine, f"./{name}", None)
    _, out, _ = machine.run("restore", "./-x")
    shown, commit = out.splitlines()[-1].removeprefix("bring one back with: autosync restore ").split(" --at ")
    assert shown == "./-x"
    assert machine.run("restore", shown, "--at", commit)[0] == 0
    assert (machine.notes / "-x").read_text() == "1\n"
    _, _, err = machine.run("restore", "two\nlines", "--at", "HEAD")
    assert err.startswith("autosync restore: two\\nlines did not exist at HEAD")
    assert "autosync restore $'two\\012lines'\n" in err
