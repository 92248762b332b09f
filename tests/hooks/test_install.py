"""Installing as a guest, and giving back what was there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from autosync.common.errors import Problem
from autosync.common.repository import Repository
from autosync.hooks import names
from autosync.hooks.install import inspect, install, uninstall
from autosync.hooks.main import main
from tests.hooks.conftest import snapshot
from tests.support.git import git

REPORTING = """\
#!/bin/sh
{
	printf '%s|' "$0" "$@"
	env | grep -v -e '^_=' -e '^SHLVL=' -e '^OLDPWD=' -e '^PWD=' | sort
	pwd
	umask
	cat
} >>"$LOG"
exit "${RESULT:-0}"
"""


def put_in(repository: Repository, **options):
    report = install(repository, standalone=False, config=None, **options)
    assert not report.problems
    return report


def states(repository: Repository) -> dict[str, str]:
    return {status.name: status.state for status in inspect(repository)}


def test_twice_is_the_same_as_once(pair, any_git):
    assert put_in(pair.repository()).changes
    once = snapshot(pair.clone / ".git")
    assert put_in(pair.repository()).changes == ()
    assert snapshot(pair.clone / ".git") == once


@pytest.mark.parametrize("what", ["clone", "central"])
def test_uninstalling_gives_back_what_was_there(pair, any_git, what):
    path = getattr(pair, what)
    folder = path / ".git" if what == "clone" else path
    (folder / "config").write_bytes((folder / "config").read_bytes() + b"# mine\n[core]\n  pager=less ; odd")
    (folder / "hooks/post-commit").write_bytes(b"not even executable")
    before = snapshot(folder)
    put_in(Repository.open(path))
    pair.commit()
    pair.push()
    assert not uninstall(Repository.open(path)).problems
    assert snapshot(folder) == before


def test_what_was_changed_meanwhile_stays(pair, any_git):
    config = pair.clone / ".git/config"
    put_in(pair.repository())
    git(pair.clone, "config", "branch.main.description", "new")
    (pair.clone / ".git/hooks/commit-msg").write_text("mine")
    uninstall(pair.repository())
    assert git(pair.clone, "config", "branch.main.description") == "new"
    assert (pair.clone / ".git/hooks/commit-msg").read_text() == "mine"
    assert "autosync" not in config.read_text()


def test_a_dry_run_changes_nothing(pair, any_git, script):
    script(pair.clone / ".git/hooks/pre-push", "#!/bin/sh\n")
    before = snapshot(pair.clone / ".git")
    assert install(pair.repository(), standalone=False, config=None, dry_run=True).changes
    assert snapshot(pair.clone / ".git") == before
    put_in(pair.repository())
    installed = snapshot(pair.clone / ".git")
    assert uninstall(pair.repository(), dry_run=True).changes
    assert snapshot(pair.clone / ".git") == installed


def taken(log: Path) -> str:
    text = log.read_text(errors="surrogateescape") if log.exists() else ""
    log.unlink(missing_ok=True)
    return text


def test_a_hook_that_was_there_gets_what_it_got_before(pair, any_git, script, log):
    for name in names.CLIENT:
        script(pair.clone / ".git/hooks" / name, REPORTING)

    def work() -> str:
        environment = os.environ | {"GIT_COMMITTER_DATE": "1000000000 +0000", "GIT_AUTHOR_DATE": "1000000000 +0000"}
        for words in (
            ["commit", "--quiet", "--allow-empty", "-m", "m"],
            ["checkout", "--quiet", "-b", "side"],
            ["commit", "--quiet", "--amend", "--allow-empty", "-m", "n"],
            ["push", "--quiet", "origin", "side"],
            ["push", "--quiet", "origin", ":side"],
            ["checkout", "--quiet", "main"],
            ["merge", "--quiet", "--ff", "side"],
            ["branch", "--quiet", "-D", "side"],
            ["reset", "--quiet", "--soft", "origin/main"],
        ):
            subprocess.run(["git", *words], cwd=pair.clone, check=True, env=environment)
        return taken(log).replace("hooks-before-autosync/", "hooks/")

    expected = work()
    put_in(pair.repository())
    assert set(states(pair.repository()).values()) <= {"chained", "installed"}
    assert work() == expected
    assert {note.name.split(".")[0] for note in pair.notes.iterdir()} == set(names.CLIENT)


@pytest.mark.parametrize("result", [0, 1, 77])
def test_the_exit_status_of_a_hook_that_was_there_decides(pair, any_git, script, log, monkeypatch, result):
    script(pair.clone / ".git/hooks/pre-push", REPORTING)
    put_in(pair.repository())
    pair.commit()
    monkeypatch.setenv("RESULT", str(result))
    done = subprocess.run(["git", "push", "--quiet"], cwd=pair.clone, capture_output=True)
    assert (done.returncode == 0) == (result == 0)
    same = git(pair.central, "rev-parse", "main") == git(pair.clone, "rev-parse", "main")
    assert same == (result == 0)


def test_all_refs_of_a_large_push_reach_a_hook_that_was_there(pair, old_git, script, log):
    script(pair.clone / ".git/hooks/pre-push", REPORTING)
    put_in(pair.repository())
    commit = git(pair.clone, "rev-parse", "HEAD")
    many = "".join(f"create refs/heads/b{n} {commit}\n" for n in range(2500))
    git(pair.clone, "update-ref", "--stdin", input=many.encode())
    pair.push("origin", "refs/heads/b*")
    assert taken(log).count(" refs/heads/b") == 2500


def test_a_hook_that_reads_nothing_is_no_trouble(pair, old_git, script):
    script(pair.clone / ".git/hooks/pre-push", "#!/bin/sh\nexit 0\n")
    put_in(pair.repository())
    commit = git(pair.clone, "rev-parse", "HEAD")
    many = "".join(f"create refs/heads/b{n} {commit}\n" for n in range(2500))
    git(pair.clone, "update-ref", "--stdin", input=many.encode())
    done = subprocess.run(["git", "push", "-q", "origin", "refs/heads/b*"], cwd=pair.clone, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "text",
    [
        '#!/bin/sh\n. "$(dirname "$0")/helper"; echo "helped by $help" >>"$LOG"\n',
        '#!/bin/sh\n[ "$(basename "$0")" = post-commit ] && echo right >>"$LOG"\n',
        '#!/bin/sh\ncd "$(dirname "$0")/../.." && [ -d .git ] && echo root >>"$LOG"\n',
        '#!/bin/sh\nfor part in "$0".d/*; do "$part"; done\n',
        '#!/bin/bash\n[[ $(readlink -f "$0") == */post-commit ]] && echo real >>"$LOG"\n',
        "#!/usr/bin/env python3\nimport os, sys\nopen(os.environ['LOG'], 'a').write(os.path.basename(sys.argv[0]))\n",
        'echo no first line >>"$LOG"\n',
    ],
)
def test_hooks_that_look_around_themselves_find_what_they_look_for(pair, any_git, script, log, text):
    hooks = pair.clone / ".git/hooks"
    script(hooks / "post-commit", text)
    script(hooks / "helper", "help=helper\n")
    script(hooks / "post-commit.d/one", '#!/bin/sh\necho part >>"$LOG"\n')
    pair.commit()
    expected = taken(log)
    assert expected
    put_in(pair.repository())
    pair.commit()
    assert taken(log) == expected


def test_a_hook_that_is_a_symbolic_link(pair, any_git, script, log):
    script(pair.clone / "scripts/mine", '#!/bin/sh\necho mine >>"$LOG"\n')
    (pair.clone / ".git/hooks/post-commit").symlink_to("../../scripts/mine")
    before = snapshot(pair.clone / ".git")
    put_in(pair.repository())
    pair.commit()
    assert taken(log) == "mine\n"
    uninstall(pair.repository())
    assert snapshot(pair.clone / ".git") == before
    assert (pair.clone / "scripts/mine").read_text().endswith('"$LOG"\n')


def test_a_hook_of_ours_that_was_changed_is_left(pair, old_git):
    put_in(pair.repository())
    hook = pair.clone / ".git/hooks/post-commit"
    hook.write_bytes(hook.read_bytes() + b"echo mine\n")
    assert states(pair.repository())["post-commit"] == "changed"
    for report in (install(pair.repository(), standalone=False, config=None), uninstall(pair.repository())):
        [problem] = report.problems
        assert "changed" in problem.what
        assert "rm " in (problem.remedy or "")
    assert hook.read_bytes().endswith(b"echo mine\n")
    assert not (pair.clone / ".git/hooks/pre-push").exists()


def test_a_hook_put_in_over_ours_is_left_with_what_to_do(pair, old_git, script):
    hook = script(pair.clone / ".git/hooks/post-commit", "#!/bin/sh\n# first\n")
    put_in(pair.repository())
    hook.unlink()
    script(hook, "#!/bin/sh\n# second\n")
    assert states(pair.repository())["post-commit"] == "missing"
    [problem] = install(pair.repository(), standalone=False, config=None).problems
    assert "is still kept" in problem.what
    [problem] = uninstall(pair.repository()).problems
    assert "mv " in (problem.remedy or "")
    assert "second" in hook.read_text()
    assert "first" in (pair.clone / ".git/hooks-before-autosync/post-commit").read_text()


def test_a_hook_put_in_again_unchanged_over_ours_is_taken_up_again(pair, old_git, script):
    hook = script(pair.clone / ".git/hooks/post-commit", "#!/bin/sh\n# first\n")
    before = snapshot(pair.clone / ".git")
    put_in(pair.repository())
    script(hook, "#!/bin/sh\n# first\n")
    put_in(pair.repository())
    assert states(pair.repository())["post-commit"] == "chained"
    uninstall(pair.repository())
    assert snapshot(pair.clone / ".git") == before


def test_a_hook_that_is_not_executable_any_more_is_disabled(pair, old_git):
    put_in(pair.repository())
    (pair.clone / ".git/hooks/pre-push").chmod(0o644)
    [status] = [status for status in inspect(pair.repository()) if not status.in_order]
    assert (status.name, status.state) == ("pre-push", "disabled")
    assert status.remedy is not None
    assert status.remedy.startswith("chmod +x ")
    put_in(pair.repository())
    assert set(states(pair.repository()).values()) == {"installed"}


def test_a_missing_folder_for_notes_is_seen_and_mended(pair, any_git):
    put_in(pair.repository())
    pair.notes.rmdir()
    assert set(states(pair.repository()).values()) == {"broken"}
    put_in(pair.repository())
    assert set(states(pair.repository()).values()) == {"installed"}


def test_nothing_is_installed(pair, any_git):
    assert set(states(pair.repository()).values()) == {"missing"}
    assert not uninstall(pair.repository()).changes
    assert list(states(pair.central_repository())) == ["post-receive"]


def test_a_repository_without_a_hooks_folder(pair, old_git):
    hooks = pair.clone / ".git/hooks"
    for sample in hooks.iterdir():
        sample.unlink()
    hooks.rmdir()
    put_in(pair.repository())
    pair.commit()
    assert (pair.notes / "post-commit").exists()
    uninstall(pair.repository())
    assert not hooks.exists()


def test_hooks_of_a_shared_repository_are_the_groups_too(pair, any_git):
    git(pair.central, "config", "core.sharedRepository", "group")
    for folder in (pair.central, pair.central / "hooks"):
        folder.chmod(0o2775)
    put_in(pair.central_repository())
    assert (pair.central / "autosync/notes").stat().st_mode & 0o7777 == 0o2775
    for file in ("hooks/post-receive", "autosync/hook"):
        if (pair.central / file).exists():
            assert (pair.central / file).stat().st_mode & 0o7777 == 0o775


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a repository to somebody else")
def test_root_does_not_install_for_others(pair):
    os.chown(pair.clone / ".git", 54321, 54321)
    with pytest.raises(Problem) as caught:
        install(pair.repository(), standalone=False, config=None)
    assert "sudo -u" in (caught.value.remedy or "")


# the command ------------------------------------------------------------------------------------


def test_the_command_installs_lists_and_uninstalls(pair, any_git, capsys):
    assert main([os.fspath(pair.clone)]) == 0
    assert main(["--list", os.fspath(pair.clone)]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in names.CLIENT)
    assert main(["--uninstall", os.fspath(pair.clone)]) == 0
    assert main(["--list", os.fspath(pair.clone)]) == 1
    assert "autosync-install-hooks " in capsys.readouterr().err


def test_the_command_takes_the_current_folder(pair, any_git, monkeypatch):
    monkeypatch.chdir(pair.central)
    assert main([]) == 0
    assert states(pair.central_repository()) == {"post-receive": "installed"}


def test_the_command_takes_all_repositories_and_one_in_trouble_stops_none(pair, any_git, tmp_path, capsys):
    config = tmp_path / "config.toml"
    config.write_text(
        '[[repository]]\npath = "gone"\n[[repository]]\npath = "clone"\n[[repository]]\npath = "central.git"'
    )
    assert main(["--all", "--config", os.fspath(config)]) == 1
    assert "gone is not there" in capsys.readouterr().err
    assert set(states(pair.repository()).values()) == {"installed"}
    assert git(pair.clone, "config", "autosync.config") == os.fspath(config)
    assert main(["--all", "--uninstall", "--config", os.fspath(config)]) == 1
    assert set(states(pair.repository()).values()) == {"missing"}
    assert "autosync" not in (pair.clone / ".git/config").read_text()


def test_the_command_takes_all_repositories_that_a_pattern_means(pair, any_git, tmp_path):
    git(tmp_path, "clone", "--quiet", "--bare", os.fspath(pair.central), "second.git")
    config = tmp_path / "config.toml"
    config.write_text('[[repository]]\npath = "*.git"\n')
    assert main(["--all", "--config", os.fspath(config)]) == 0
    for name in ("central.git", "second.git"):
        assert states(Repository.open(tmp_path / name)) == {"post-receive": "installed"}


def test_the_command_refuses_what_does_not_go_together(pair, tmp_path, capsys):
    assert main(["--list", "--uninstall", os.fspath(pair.clone)]) == 2
    assert main(["--all", os.fspath(pair.clone)]) == 2
    assert main([os.fspath(tmp_path)]) == 1
    assert "is not a git repository" in capsys.readouterr().err


def test_the_command_says_what_it_would_do(pair, any_git, capsys):
    assert main(["--dry-run", os.fspath(pair.clone)]) == 0
    assert "nothing is changed, but would be" in capsys.readouterr().out
    assert set(states(pair.repository()).values()) == {"missing"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a repository that belongs to somebody else")
def test_a_repository_on_another_owner(pair, home, capsys):
    (home / ".gitconfig").write_text("")
    for path in [pair.clone, *pair.clone.rglob("*")]:
        os.lchown(path, 54321, 54321)
    assert main([os.fspath(pair.clone)]) == 1
    assert "safe.directory" in capsys.readouterr().err
