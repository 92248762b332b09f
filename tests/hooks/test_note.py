"""What a hook leaves, wherever git runs it from."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autosync.common.repository import Repository
from autosync.hooks import script
from autosync.hooks.install import install
from tests.hooks.conftest import SHELLS, make_pair
from tests.support.git import git

ZERO = "0" * 40


def put_in(repository: Repository) -> None:
    report = install(repository, standalone=False, config=None)
    assert not report.problems


def lines(note: Path) -> list[str]:
    return os.fsdecode(note.read_bytes()).split("\n")


def run_with(shell: list[str], hook: bytes, where: Path, *args: str, input: bytes = b"", **env: str):
    """Run a hook as git would, with a shell of choice."""
    file = where.parent / "the-hook"
    file.write_bytes(hook)
    return subprocess.run(
        [*shell, os.fspath(file), *args], cwd=where, input=input, capture_output=True, env={**os.environ, **env}
    )


@pytest.fixture
def bare_notes(tmp_path: Path) -> Path:
    """A work tree with nothing in it but the folder for notes."""
    notes = tmp_path / "tree/.git/autosync/notes"
    notes.mkdir(parents=True)
    return notes


def test_a_commit_leaves_a_note_with_gits_process_number(pair, any_git):
    put_in(pair.repository())
    process = subprocess.Popen(["git", "commit", "--quiet", "--allow-empty", "-m", "m"], cwd=pair.clone)
    assert process.wait() == 0
    first, end, nothing = lines(pair.notes / "post-commit")
    assert first.split() == ["1", "post-commit", f"{process.pid:07d}"]
    assert (end, nothing) == ("end", "")


def test_every_client_hook_leaves_its_note(pair, any_git):
    put_in(pair.repository())
    git(pair.clone, "checkout", "--quiet", "-b", "side")
    assert lines(pair.notes / "post-checkout")[0].startswith("1 post-checkout ")
    pair.commit("on the side")
    git(pair.clone, "checkout", "--quiet", "main")
    git(pair.clone, "merge", "--quiet", "side")
    assert lines(pair.notes / "post-merge")[0].startswith("1 post-merge ")
    git(pair.clone, "commit", "--quiet", "--amend", "--allow-empty", "-m", "changed")
    assert lines(pair.notes / "post-rewrite")[0].startswith("1 post-rewrite ")


def test_a_push_notes_remote_and_refs(pair, any_git):
    pair.push("origin", "main:gone")
    put_in(pair.repository())
    old = git(pair.clone, "rev-parse", "HEAD")
    pair.commit()
    new = git(pair.clone, "rev-parse", "HEAD")
    git(pair.clone, "branch", "other")
    process = subprocess.Popen(["git", "push", "--quiet", "origin", "main", "other", ":gone"], cwd=pair.clone)
    process.wait()
    note = lines(pair.notes / f"pre-push.{process.pid % 64}")
    assert note[:2] == [f"1 pre-push {process.pid}", f"remote origin {pair.central}"]
    assert sorted(note[2:-2]) == [
        f"(delete) {ZERO} refs/heads/gone {old}",
        f"refs/heads/main {new} refs/heads/main {old}",
        f"refs/heads/other {new} refs/heads/other {ZERO}",
    ]
    assert note[-2:] == ["end", ""]


def test_a_push_to_an_address_notes_the_address(pair, any_git):
    put_in(pair.repository())
    pair.commit()
    pair.push(os.fspath(pair.central), "main")
    [note] = pair.notes.glob("pre-push.*")
    assert lines(note)[1] == f"remote {pair.central} {pair.central}"


def test_a_dry_run_of_a_push_notes_too_and_moves_nothing(pair, any_git):
    put_in(pair.repository())
    pair.commit()
    pair.push("--dry-run")
    assert list(pair.notes.glob("pre-push.*"))


def test_a_push_without_verification_leaves_no_note(pair, any_git):
    put_in(pair.repository())
    pair.commit()
    pair.push("--no-verify")
    assert not list(pair.notes.glob("pre-push.*"))


def test_a_linked_work_tree_notes_in_the_common_folder(pair, any_git, tmp_path):
    put_in(pair.repository())
    git(pair.clone, "worktree", "add", "--quiet", "../linked")
    assert (pair.notes / "post-checkout").exists()
    (tmp_path / "linked/below").mkdir()
    git(tmp_path / "linked/below", "commit", "--quiet", "--allow-empty", "-m", "m")
    assert (pair.notes / "post-commit").exists()
    git(tmp_path / "linked/below", "push", "--quiet", "origin", "linked")
    [note] = pair.notes.glob("pre-push.*")
    assert "refs/heads/linked" in note.read_text()


def test_a_submodule_notes_in_its_own_folder(pair, any_git):
    git(pair.clone, "submodule", "--quiet", "add", os.fspath(pair.central), "sub")
    put_in(Repository.open(pair.clone / "sub"))
    git(pair.clone / "sub", "commit", "--quiet", "--allow-empty", "-m", "m")
    assert (pair.clone / ".git/modules/sub/autosync/notes/post-commit").exists()


@pytest.mark.parametrize("where", ["below", ".git"])
def test_a_push_from_elsewhere_in_the_repository_is_noted(pair, any_git, where):
    put_in(pair.repository())
    pair.commit()
    (pair.clone / "below").mkdir()
    git(pair.clone / where, "push", "--quiet")
    assert list(pair.notes.glob("pre-push.*"))


def test_named_places_are_honoured(pair, any_git, tmp_path):
    put_in(pair.repository())
    git(tmp_path, "--git-dir=clone/.git", "--work-tree=clone", "commit", "--quiet", "--allow-empty", "-m", "m")
    assert (pair.notes / "post-commit").exists()


def test_a_moved_repository_goes_on_noting(pair, any_git, tmp_path):
    put_in(pair.repository())
    moved = pair.clone.rename(tmp_path / "moved elsewhere")
    git(moved, "commit", "--quiet", "--allow-empty", "-m", "m")
    assert (moved / ".git/autosync/notes/post-commit").exists()


def test_a_push_that_arrives_is_noted(pair, any_git):
    put_in(pair.central_repository())
    notes = pair.central / "autosync/notes"
    for change in (["main:new"], ["main:main"], ["+main:new"], [":new"]):
        pair.commit()
        pair.push("origin", *change)
        assert lines(notes / "post-receive")[0].startswith("1 post-receive ")
        (notes / "post-receive").unlink()


AWKWARD = [
    b"a b",
    b"-dash",
    b"'\"$HOME`id`\\",
    b"*?[x]",
    b"line\nbreak",
    b"caf\xc3\xa9 \xff\xfe\x81\x88",
    b"~tilde",
    b"(",
    b"hooks",
]


@pytest.mark.parametrize(("number", "name"), list(enumerate(AWKWARD)), ids=repr)
def test_paths_with_awkward_bytes(tmp_path, any_git, number, name):
    shell = SHELLS[number % len(SHELLS)]
    folder = tmp_path / os.fsdecode(name)
    pair = make_pair(folder)
    put_in(pair.repository())
    put_in(pair.central_repository())
    for hook in [*(pair.clone / ".git/hooks").glob("p*-*"), pair.central / "hooks/post-receive"]:
        if hook.suffix != ".sample" and hook.exists():
            hook.write_bytes(
                hook.read_bytes().replace(
                    b"#!/bin/sh", b"#!" + " ".join([str(shutil.which(shell[0])), *shell[1:]]).encode(), 1
                )
            )
    pair.commit()
    pair.push()
    git(pair.clone, "worktree", "add", "--quiet", "../linked")
    git(folder / "linked", "commit", "--quiet", "--allow-empty", "-m", "m")
    names = {note.name.split(".")[0] for note in pair.notes.iterdir()}
    assert {"post-commit", "pre-push"} <= names
    assert (pair.central / "autosync/notes/post-receive").exists()


@pytest.mark.parametrize(
    ("given", "noted"),
    [
        ("https://me:secret@example.org:8443/a@b:c", "https://me@example.org:8443/a@b:c"),
        ("https://me:se@cret@example.org/", "https://me@example.org/"),
        ("https://example.org:80/me:x@y", "https://example.org:80/me:x@y"),
        ("https://token@example.org/x", "https://token@example.org/x"),
        ("git@example.org:x/y", "git@example.org:x/y"),
        ("/a b/c", "/a b/c"),
        ("/a\nend\nb", "-"),
    ],
)
def test_no_password_and_no_line_break_gets_into_a_note(shell, bare_notes, tmp_path, given, noted):
    run_with(shell, script.hook("pre-push", None, None), tmp_path / "tree", "origin", given)
    run_with(shell, script.hook("pre-push", None, None), tmp_path / "tree", given, given)
    remotes = {lines(note)[1] for note in bare_notes.iterdir()}
    assert remotes <= {f"remote origin {noted}", f"remote {noted} {noted}"}
    assert remotes
    assert b"cret" not in b"".join(note.read_bytes() for note in bare_notes.iterdir())


def test_a_push_of_very_many_refs_makes_a_bounded_note(shell, bare_notes, tmp_path):
    refs = b"".join(b"refs/heads/b%d %s refs/heads/b%d %s\n" % (n, b"1" * 40, n, b"0" * 40) for n in range(2000))
    done = run_with(shell, script.hook("pre-push", None, None), tmp_path / "tree", "origin", "/x", input=refs)
    assert (done.returncode, done.stderr) == (0, b"")
    [note] = bare_notes.iterdir()
    assert 2500 < note.stat().st_size <= 4096
    assert lines(note)[-2:] == ["end", ""]


def test_git_does_not_mind_that_not_all_refs_are_read(pair, any_git):
    put_in(pair.repository())
    commit = git(pair.clone, "rev-parse", "HEAD")
    many = "".join(f"create refs/heads/b{n} {commit}\n" for n in range(3000))
    git(pair.clone, "update-ref", "--stdin", input=many.encode())
    pair.push("origin", "refs/heads/*")
    assert len(git(pair.central, "for-each-ref", "refs/heads/b*").splitlines()) == 3000


def test_notes_are_whole_with_any_number_at_once(shell, bare_notes, tmp_path):
    hook = tmp_path / "hook"
    hook.write_bytes(script.hook("post-commit", None, None))
    push = tmp_path / "push"
    push.write_bytes(script.hook("pre-push", None, None))

    def once(number: int) -> None:
        file, args = (hook, []) if number % 2 else (push, ["origin", "/x" * (number % 7)])
        subprocess.run([*shell, os.fspath(file), *args], cwd=tmp_path / "tree", stdin=subprocess.DEVNULL, check=True)
        for note in bare_notes.iterdir():
            found = note.read_bytes()
            assert len(found) < 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(once, range(200)))
    assert len(list(bare_notes.iterdir())) <= 65
    assert lines(bare_notes / "post-commit")[1:] == ["end", ""]


def test_notes_never_pile_up(pair, any_git):
    put_in(pair.repository())
    for _ in range(5):
        pair.commit()
    assert [note.name for note in pair.notes.iterdir()] == ["post-commit"]


def test_a_note_of_somebody_else_does_not_silence_ours(shell, bare_notes, tmp_path):
    (bare_notes / "post-commit").mkdir()  # stands for a file that we may not write
    run_with(shell, script.hook("post-commit", None, None), tmp_path / "tree")
    [other] = bare_notes.glob("post-commit.*")
    assert lines(other)[1:] == ["end", ""]


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o777])
def test_a_group_may_replace_notes_in_a_shared_repository(shell, bare_notes, tmp_path, mask):
    bare_notes.chmod(0o2770)
    hook = tmp_path / "hook"
    hook.write_bytes(script.hook("post-commit", None, None))
    subprocess.run([*shell, os.fspath(hook)], cwd=tmp_path / "tree", umask=mask, check=True)
    assert (bare_notes / "post-commit").stat().st_mode & 0o777 == 0o660


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("name", ["post-commit", "pre-push"])
def test_the_note_is_one_write_and_no_program_is_started(shell, bare_notes, tmp_path, name):
    hook, trace = tmp_path / "hook", tmp_path / "trace"
    hook.write_bytes(script.hook(name, None, None))
    traced = ["strace", "-f", "-o", os.fspath(trace), "-e", "trace=execve,fork,vfork,clone,clone3,write"]
    refs = b"".join(b"refs/heads/b%d %s refs/heads/b%d %s\n" % (n, b"1" * 40, n, b"0" * 40) for n in range(100))
    done = subprocess.run(
        [*traced, *shell, os.fspath(hook), "origin", "/x"], cwd=tmp_path / "tree", input=refs, capture_output=True
    )
    if b"PTRACE" in done.stderr:
        pytest.skip("strace may not be used here")
    calls = [line.split(maxsplit=1)[1].split("(")[0] for line in trace.read_text().splitlines() if "(" in line]
    assert calls.count("execve") == 1
    assert not {"fork", "vfork", "clone", "clone3"} & set(calls)
    # bash writes line by line
    assert calls.count("write") == 1 or "bash" in shell[0]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_shellcheck_finds_nothing(tmp_path):
    files = {
        "hook": script.hook("pre-push", '"${0%hooks/*}x"', script.Standalone(Path("/bin/a b"), Path("/c d"))),
        "forwarder": script.forwarder("'/a b/c'"),
        "uninstall": (Path(__file__).parents[2] / "hooks/uninstall.sh").read_bytes(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        done = subprocess.run(["shellcheck", "-s", "sh", name], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
