"""`autosync init`: making, cloning, adopting; the entry in the configuration."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from autosync.common import config
from autosync.common.errors import Problem
from autosync.common.instance import Instance
from autosync.common.repository import Repository
from autosync.console import entry
from autosync.console.main import main
from autosync.hooks.install import inspect
from tests.console.fake import running
from tests.support.git import git


@pytest.fixture
def init(capsys, home, monkeypatch):
    """Run `autosync init`; returns exit code, standard output and standard error."""
    monkeypatch.chdir(home)

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["init", *map(str, args)])
        return code, *capsys.readouterr()

    return run


def configured() -> list[Path]:
    return [repo.path for repo in config.load(Instance.of().config)[1]]


@pytest.fixture
def central(home: Path) -> Path:
    """A bare repository without commits, whose HEAD names a branch that nobody will use."""
    git(home, "init", "-q", "--bare", "-b", "master", "central.git")
    return home / "central.git"


def fill(central: Path, tmp_path: Path, branch: str = "main") -> str:
    git(tmp_path, "clone", "-q", str(central), "filler")
    git(tmp_path / "filler", "switch", "-q", "-c", branch)
    git(tmp_path / "filler", "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path / "filler", "push", "-q", "origin", branch)
    return git(tmp_path / "filler", "rev-parse", "HEAD")


def test_a_new_folder_becomes_a_repository_that_follows_an_empty_remote(init, home, central):
    code, out, _ = init("notes", "--remote", "central.git")
    assert code == 0
    assert configured() == [home / "notes"]
    assert git(home / "notes", "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(home / "notes", "config", "remote.origin.url") == str(central)
    assert git(home / "notes", "config", "branch.main.merge") == "refs/heads/main"
    assert all(hook.in_order for hook in inspect(Repository.open(home / "notes")))
    assert "made a repository" in out
    assert "the watcher is not running" in out
    assert 'path = "~/notes"' in Instance.of().config.read_text()


def test_nothing_is_cloned_over_and_a_remote_with_commits_is_cloned(init, home, central, tmp_path):
    commit = fill(central, tmp_path)
    (home / "empty").mkdir()
    for folder in ("empty", "absent/deeper"):
        code, out, _ = init(folder, "--remote", central)
        assert code == 0
        assert "cloned ~/central.git" in out
        assert git(home / folder, "rev-parse", "HEAD") == commit
        assert git(home / folder, "rev-parse", "--symbolic-full-name", "@{upstream}") == "refs/remotes/origin/main"


def test_a_single_branch_of_another_name_is_taken(init, home, central, tmp_path):
    commit = fill(central, tmp_path, "trunk")
    assert init("notes", "--remote", central)[0] == 0
    assert git(home / "notes", "rev-parse", "trunk") == commit


def test_a_folder_with_files_is_not_joined_with_a_remote_that_has_commits(init, home, central, tmp_path):
    fill(central, tmp_path)
    (home / "notes").mkdir()
    (home / "notes" / "file").write_text("mine")
    code, _, err = init("notes", "--remote", central)
    assert code == 1
    assert "two unrelated histories" in err
    assert sorted(os.listdir(home / "notes")) == ["file"]
    assert not Instance.of().config.exists()


def test_an_existing_repository_is_adopted_as_it_is(init, home, central):
    git(home, "init", "-q", "-b", "work", "notes")
    git(home / "notes", "commit", "-q", "--allow-empty", "-m", "first")
    code, out, _ = init("notes", "--remote", central)
    assert code == 0
    assert "adopted the repository" in out
    assert git(home / "notes", "config", "branch.work.merge") == "refs/heads/work"
    assert "was already in" in init("notes", "--remote", central)[1]
    assert configured() == [home / "notes"]


def test_another_remote_is_not_taken_away(init, home, central):
    git(home, "init", "-q", "-b", "main", "notes")
    git(home / "notes", "remote", "add", "origin", "/elsewhere")
    code, _, err = init("notes", "--remote", central)
    assert code == 1
    assert "remote set-url origin" in err
    assert git(home / "notes", "config", "remote.origin.url") == "/elsewhere"
    assert not Instance.of().config.exists()


def test_a_set_upstream_stays(init, home, central):
    git(home, "init", "-q", "-b", "main", "notes")
    git(home / "notes", "config", "branch.main.remote", "other")
    git(home / "notes", "config", "branch.main.merge", "refs/heads/else")
    assert init("notes", "--remote", central)[0] == 0
    assert git(home / "notes", "config", "branch.main.merge") == "refs/heads/else"


def test_a_bare_repository_is_adopted_with_its_own_hook(init, home, central):
    code, out, _ = init(central)
    assert code == 0
    assert "each push to it is announced" in out
    assert "watcher" not in out
    assert [hook.name for hook in inspect(Repository.open(central))] == ["post-receive"]


def test_a_remote_that_does_not_answer_changes_nothing(init, home):
    (home / "plain").touch()
    code, _, err = init("notes", "--remote", home / "plain")
    assert code == 1
    assert f"git ls-remote {home}/plain" in err
    assert not (home / "notes").exists()


def test_a_folder_of_another_repository_is_refused_but_not_one_beside_its_files(init, home):
    git(home, "init", "-q")
    (home / "tracked").mkdir()
    (home / "tracked" / "file").touch()
    git(home, "add", "tracked")
    code, _, err = init("tracked")
    assert code == 1
    assert f"belong to the repository {home} already" in err
    assert init("fresh")[0] == 0


def test_a_file_is_no_folder(init, home):
    (home / "file").touch()
    code, _, err = init("file")
    assert code == 1
    assert "is a file" in err


def test_a_large_first_commit_is_shown_and_has_to_be_wanted(init, home):
    for number in range(60):
        folder = home / "notes" / f"d{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(b"x" * 1000)
    with (home / "notes" / "film").open("wb") as film:
        film.truncate(60_000_000)
    (home / "notes" / ".env").write_text("secret")
    (home / "notes" / ".x.kate-swp").touch()
    code, _, err = init("notes")
    assert code == 1
    assert "it is large or looks like a secret: .env and film\n" in err
    assert "60 files with 60 kB would be committed" in err
    assert "d0/  30 files" in err
    assert f"autosync init {home}/notes --yes" in err
    assert not Instance.of().config.exists()
    assert sorted(os.listdir(home / "notes")) == [".env", ".x.kate-swp", "d0", "d1", "film"]
    assert init("notes", "--yes")[0] == 0
    assert configured() == [home / "notes"]


def test_what_is_ignored_does_not_count_as_a_first_commit(init, home):
    (home / "notes" / "build").mkdir(parents=True)
    (home / "notes" / ".gitignore").write_text("build/\n")
    for number in range(60):
        (home / "notes" / "build" / f"{number}").touch()
    assert init("notes")[0] == 0


def test_an_empty_remote_gets_no_commit_before_the_person_agrees(init, home, central):
    (home / "notes").mkdir()
    for number in range(60):
        (home / "notes" / f"{number}").touch()
    assert init("notes", "--remote", central)[0] == 1
    assert git(central, "for-each-ref") == ""


def test_without_an_identity_it_says_whose_names_are_used(init, home):
    (home / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    code, out, _ = init("notes")
    assert code == 0
    assert "automatic commits carry the names of user and machine" in out


def test_a_large_first_commit_is_no_matter_where_nothing_is_watched(init, home):
    Instance.of().config.parent.mkdir(parents=True)
    Instance.of().config.write_text("[defaults]\nwatch = false\n")
    (home / "notes").mkdir()
    for number in range(60):
        (home / "notes" / f"{number}").touch()
    assert init("notes")[0] == 0


def test_a_mistake_in_the_configuration_is_told_before_anything_is_done(init, home):
    Instance.of().config.parent.mkdir(parents=True)
    Instance.of().config.write_text("nam = 1")
    code, _, err = init("notes")
    assert code == 1
    assert "did you mean 'name'" in err
    assert not (home / "notes").exists()


def test_another_configuration_file_is_noted_in_the_repository(init, home):
    assert init("notes", "--config", home / "other.toml")[0] == 0
    assert git(home / "notes", "config", "autosync.config") == str(home / "other.toml")


def test_running_services_are_told(init, home):
    with running(Instance.of(), "watcher", {"status": {}}) as watcher:
        init("notes")
    assert "reload" in watcher.commands()


def test_what_a_service_objects_to_is_told(init, home):
    def refuse(request):
        raise Problem("no more room", "make some")

    with running(Instance.of(), "relay", {"status": {}, "reload": refuse}):
        code, _, err = init("notes")
    assert code == 0
    assert "the relay did not take it: no more room" in err


def test_where_nobody_can_answer_the_path_is_required(init):
    code, _, err = init()
    assert code == 2
    assert "Missing argument 'PATH'" in err


def test_announcements_are_configured_with_their_secret_for_the_owner_alone(init, home):
    (home / "given").write_text("s3cret\nsecond line\n")
    code, out, _ = init("notes", "--reflector", "tcp://server:1986", "--secret", home / "given")
    assert code == 0
    settings, _ = config.load(Instance.of().config)
    assert settings.reflector is not None
    assert settings.reflector.secret_file is not None
    assert config.read_secret(settings.reflector.secret_file) == "s3cret"
    assert "s3cret" not in out
    # what is there is not taken away
    assert "kept the [reflector]" in init("other", "--reflector", "tcp://elsewhere:1986")[1]
    assert config.load(Instance.of().config)[0].reflector == settings.reflector


def test_a_wrong_address_changes_nothing(init, home):
    code, _, err = init("notes", "--reflector", "server")
    assert code == 2
    assert "expected an address like 'tcp://host:1986'" in err
    code, _, err = init("notes", "--xmpp", "rene")
    assert code == 2
    assert "expected an account like 'name@example.org'" in err
    assert not (home / "notes").exists()
    assert not Instance.of().config.exists()


def test_a_secret_needs_to_be_for_something(init):
    assert init("notes", "--secret", "-")[0] == 2


# the entry ---------------------------------------------------------------------------------------------------


def test_an_entry_leaves_everything_else_as_it_was(home):
    instance = Instance.of(home / "config.toml")
    before = '# mine\nname = "x"  # here\n[[repository]]\npath = "a" # the first\nwatch=false'
    instance.config.write_text(before)
    instance.config.chmod(0o640)
    assert entry.add(instance, home / "b c")
    assert instance.config.read_text() == before + '\n\n[[repository]]\npath = "~/b c"\n'
    assert instance.config.stat().st_mode & 0o777 == 0o640
    assert not entry.add(instance, home / "b c")
    assert not entry.add(instance, home / "a")


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "ünï", "del\x7f", "tab\t", "~", "a#b"])
def test_any_name_survives(home, name):
    instance = Instance.of(home / "config.toml")
    assert entry.add(instance, home / name)
    assert [repo.path for repo in config.load(instance.config)[1]] == [home / name]


def test_a_name_that_toml_cannot_hold_is_a_problem(home):
    instance = Instance.of(home / "config.toml")
    with pytest.raises(Problem, match="is not UTF-8"):
        entry.add(instance, home / "\udcff")


def test_where_a_table_cannot_be_appended_the_file_stays_and_the_person_is_told(home):
    instance = Instance.of(home / "config.toml")
    before = 'repository = [{path = "a"}]\n'
    instance.config.write_text(before)
    with pytest.raises(Problem, match="cannot add") as caught:
        entry.add(instance, home / "b")
    assert '[[repository]]\npath = "~/b"' in str(caught.value.remedy)
    assert instance.config.read_text() == before
    assert os.listdir(home / "run") == ["autosync"]
    assert [name for name in os.listdir(home) if name.endswith(".toml")] == ["config.toml"]


def test_a_link_to_the_file_stays_a_link(home):
    (home / "dotfiles").mkdir()
    (home / "dotfiles" / "autosync.toml").write_text("")
    instance = Instance.of(home / "config.toml")
    instance.config.symlink_to(home / "dotfiles" / "autosync.toml")
    entry.add(instance, home / "notes")
    assert instance.config.is_symlink()
    assert [repo.path for repo in config.load(instance.config)[1]] == [home / "notes"]


def test_many_at_once_lose_none(home):
    instance = Instance.of(home / "config.toml")
    threads = [threading.Thread(target=entry.add, args=(instance, home / f"r{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {repo.path.name for repo in config.load(instance.config)[1]} == {f"r{n}" for n in range(8)}


def test_two_machines_that_begin_with_the_same_empty_remote_have_one_history(init, home, central):
    first, second = home / "first", home / "second"
    assert init(first, "--remote", central)[0] == 0
    assert init(second, "--remote", central)[0] == 0
    (one,) = git(first, "rev-list", "--max-parents=0", "HEAD").split()
    assert git(second, "rev-list", "--max-parents=0", "HEAD").split() == [one]
    assert git(first, "ls-files") == ""


def test_a_remote_that_takes_no_push_is_told_and_nothing_is_begun(init, home, central):
    (central / "hooks").mkdir(exist_ok=True)
    hook = central / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    code, _, err = init(home / "notes", "--remote", central)
    assert code == 1
    assert f"cannot push to {central}" in err
    assert git(home / "notes", "rev-parse", "--verify", "-q", "HEAD", check=False) == ""
    hook.unlink()
    assert init(home / "notes", "--remote", central)[0] == 0


def test_a_history_begins_without_an_identity(init, home, central):
    (home / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    assert init(home / "notes", "--remote", central)[0] == 0
    assert git(central, "rev-parse", "--verify", "main")


def test_a_path_with_nothing_there_is_told_with_how_to_make_it(init, home):
    code, _, err = init("notes", "--remote", f"{home}/cen tral.git")
    assert code == 1
    assert f"is not there: make it with: git init --bare -b main '{home}/cen tral.git'" in err


def test_a_clone_that_fails_names_why_and_not_what_was_begun(init, home, central, tmp_path, monkeypatch):
    fill(central, tmp_path)
    wrapper = home / "wrapped" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(
        '#!/bin/sh\nif [ "$1" = clone ]; then\n'
        "  echo \"Cloning into 'notes'...\" >&2; echo 'error: cannot write: No space left on device' >&2; exit 1\nfi\n"
        f'PATH={os.environ["PATH"]} exec git "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    code, _, err = init(home / "notes", "--remote", central)
    assert code == 1
    assert f"cannot clone {central} (error: cannot write: No space left on device)" in err
