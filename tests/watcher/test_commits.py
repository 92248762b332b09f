"""What lands in commits: real files, a real watcher."""

from __future__ import annotations

import os
import stat

from tests.support.git import git
from tests.support.wait import until


def test_an_edit_is_committed_with_a_useful_message(watched):
    w = watched()
    w.write("notes/todo.md", "milk\n")
    w.until_committed("notes/todo.md", b"milk\n")
    w.write("notes/todo.md", "milk, eggs\n")
    w.until_committed("notes/todo.md", b"milk, eggs\n")
    assert w.commits() == ['"notes/todo.md" added', '"notes/todo.md" edited']
    body = w.git("log", "-1", "--format=%b")
    assert body.startswith("edited notes/todo.md\n\nAutosync-Machine: laptop\nAutosync-User: ")
    trailers = w.git("log", "-1", "--format=%(trailers:key=Autosync-Machine,valueonly)")
    assert trailers.strip() == "laptop"
    assert w.git("log", "-1", "--format=%an <%ae>") == "Test Person <person@example.org>"
    assert "commit: " in w.git("reflog", "-1")


def test_what_changed_while_it_was_off_is_committed_at_start(watched):
    w = watched(start=False)
    w.write("kept", "1")
    w.write("edited", "1")
    w.write("dropped", "1")
    w.git("add", "-A")
    w.git("commit", "-qm", "first")
    w.write("edited", "22")
    w.write("new/deep/file", "1")
    (w.root / "dropped").unlink()
    w.start()
    w.until_clean()
    assert w.files() == {"kept", "edited", "new/deep/file"}
    assert len(w.commits()) == 2


def test_names_of_all_kinds_arrive(watched):
    w = watched()
    names = [
        b"a b",
        b"line\nbreak",
        b"-rf",
        b"--",
        b"\xff\xfe",
        b"tab\t",
        b'quo"te',
        b":(glob)*",
        b"*",
        b"d\xff/e\n",
        b"!x",
    ]
    for name in names:
        w.write(name, name)
    (w.root / "link").symlink_to("a b")
    (w.root / "dangling").symlink_to("/nowhere at all")
    (w.root / "to folder").symlink_to("/etc")
    w.write("empty", b"")
    script = w.write("run.sh", "#!/bin/sh\n")
    w.until_clean()
    script.chmod(0o755)
    w.until_clean()
    assert {os.fsencode(path) for path in w.files()} == {
        *names,
        b"link",
        b"dangling",
        b"to folder",
        b"empty",
        b"run.sh",
    }
    modes = dict(reversed(line.split(maxsplit=3)[0::3]) for line in w.git("ls-tree", "-r", "HEAD").splitlines())
    assert modes["run.sh"] == "100755"
    assert modes["to folder"] == "120000"
    for name in names:
        os.unlink(os.fsencode(w.root) + b"/" + name)
    w.until_clean()
    assert w.files() == {"link", "dangling", "to folder", "empty", "run.sh"}


def test_moves_are_seen_as_moves(watched):
    w = watched()
    for number in range(12):
        w.write(f"old/deep/{number}", f"content {number}\n" * 20)
    w.write("single", "something of its own\n" * 20)
    w.until_clean()
    before = len(w.commits())
    (w.root / "old").rename(w.root / "new")
    w.until_clean()
    assert w.git("log", "-1", "--format=", "-M", "--name-status").count("R100") == 12
    (w.root / "other").mkdir()
    (w.root / "single").rename(w.root / "other" / "renamed")
    w.until_clean()
    assert w.git("log", "-1", "--format=", "-M", "--name-status").startswith("R100\tsingle\tother/renamed")
    assert len(w.commits()) == before + 2


def test_moves_in_and_out_of_the_tree_keep_watches_right(watched, tmp_path):
    w = watched()
    outside = tmp_path / "outside"
    (outside / "a" / "b").mkdir(parents=True)
    (outside / "a" / "b" / "f").write_text("1")
    w.write("first", "1")
    w.until_clean()
    assert w.status()["directories"] == 1
    (outside / "a").rename(w.root / "in")
    w.until_committed("in/b/f", b"1")
    until(lambda: w.status()["directories"] == 3, "the moved folders to be watched")
    (w.root / "in").rename(w.root / "elsewhere")
    w.write("elsewhere/b/f", "2")
    w.until_committed("elsewhere/b/f", b"2")
    (w.root / "elsewhere").rename(outside / "gone")
    w.until_clean()
    assert w.files() == {"first"}
    assert w.status()["directories"] == 1
    (outside / "gone" / "b" / "g").write_text("not ours")
    (outside / "gone").rename(w.root / "back")
    w.until_committed("back/b/g", b"not ours")
    w.write("back/b/h", "3")
    w.until_committed("back/b/h", b"3")


def test_a_file_becomes_a_folder_and_a_folder_a_file_or_link(watched):
    w = watched()
    w.write("f", "1")
    w.write("d/x", "1")
    w.write("e/y", "1")
    w.until_clean()
    (w.root / "f").unlink()
    w.write("f/inside", "2")
    for name in ("d/x", "e/y"):
        (w.root / name).unlink()
    (w.root / "d").rmdir()
    w.write("d", "now a file")
    (w.root / "e").rmdir()
    (w.root / "e").symlink_to("d")
    w.until_clean()
    assert w.files() == {"f/inside", "d", "e"}
    (w.root / "f" / "inside").unlink()
    w.until_clean()
    (w.root / "d").unlink()
    (w.root / "d").mkdir()
    w.until_clean()
    assert w.files() == {"e"}


def test_symbolic_links_are_never_followed(watched, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("1")
    w = watched()
    w.write("d/f", "1")
    w.until_clean()
    (w.root / "d" / "f").unlink()
    (w.root / "d").rmdir()
    (w.root / "d").symlink_to(outside)
    w.until_clean()
    (outside / "f").write_text("through the link")
    w.write("other", "1")
    w.until_committed("other", b"1")
    assert w.files() == {"d", "other"}
    assert stat.S_ISLNK((w.root / "d").lstat().st_mode)


def test_pipes_and_sockets_are_passed_over(watched):
    w = watched()
    os.mkfifo(w.root / "pipe")
    w.write("f", "1")
    w.until_committed("f", b"1")
    assert w.files() == {"f"}


def test_nested_repositories_are_left_out_and_reported_once(watched):
    w = watched()
    git(w.root, "init", "-q", "inner/repo")
    w.write("inner/repo/file", "1")
    w.write("inner/beside", "1")
    w.until_committed("inner/beside", b"1")
    w.write("inner/repo/sub/file", "1")
    w.write("more", "1")
    w.until_committed("more", b"1")
    assert w.files() == {"inner/beside", "more"}
    assert until(lambda: w.status()["nested"], "the nested repository to be reported") == ["inner/repo"]
    git(w.root / "inner/repo", "add", "-A")
    git(w.root / "inner/repo", "commit", "-qm", "x")
    w.write("more", "2")
    w.until_committed("more", b"2")
    assert w.files() == {"inner/beside", "more"}
    assert w.log.read_text().count("inner/repo is another repository") == 1


def test_submodules_are_left_out(watched, tmp_path):
    w = watched(start=False)
    git(tmp_path, "init", "-q", "library")
    git(tmp_path / "library", "commit", "-q", "--allow-empty", "-m", "x")
    w.git("submodule", "add", "-q", str(tmp_path / "library"), "lib")
    w.git("commit", "-qm", "with a submodule")
    before = w.git("rev-parse", "HEAD:lib")
    w.start()
    git(w.root / "lib", "commit", "-q", "--allow-empty", "-m", "y")
    w.write("lib/file", "1")
    w.write("own", "1")
    w.until_committed("own", b"1")
    assert w.git("rev-parse", "HEAD:lib") == before
    assert w.files() == {".gitmodules", "lib", "own"}


def test_only_what_differs_makes_a_commit(watched):
    w = watched()
    w.write("f", "1")
    w.until_clean()
    w.write("f", "1")
    os.utime(w.root / "f", (1, 1))
    w.write("g", "1")
    w.until_committed("g", b"1")
    assert w.commits() == ['"f" added', '"g" added']


def test_linked_work_trees_work(watched, tmp_path):
    main = tmp_path / "main"
    main.mkdir()
    git(main, "init", "-q")
    git(main, "commit", "-q", "--allow-empty", "-m", "x")
    git(main, "worktree", "add", "-q", "-b", "side", str(tmp_path / "work tree"))
    w = watched()
    w.write("f", "1")
    w.until_committed("f", b"1")
    assert git(main, "log", "-1", "--format=%s", "side") == '"f" added'
    assert git(main, "log", "-1", "--format=%s", "main") == "x"


def test_other_formats_of_repositories_work(watched, tmp_path):
    w = watched(start=False)
    w.write("a", "1")
    w.git("add", "-A")
    w.git("commit", "-qm", "x")
    w.git("update-index", "--split-index")
    w.start()
    w.write("b/c", "1")
    w.until_clean()
    (w.root / "a").unlink()
    w.until_clean()
    assert w.files() == {"b/c"}
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "--object-format=sha256", "work tree")
    sha256 = watched(folder=other)
    sha256.write("f", "1")
    sha256.until_committed("f", b"1")
    sha256.write("f", "2")
    sha256.until_committed("f", b"2")


def test_a_sparse_checkout_loses_nothing(watched):
    w = watched(start=False)
    for name in ("in/a", "out/b", "out/deep/c"):
        w.write(name, "1")
    w.git("add", "-A")
    w.git("commit", "-qm", "x")
    w.git("sparse-checkout", "set", "in")
    w.start()
    w.write("in/a", "2")
    w.until_committed("in/a", b"2")
    w.git("sparse-checkout", "disable")
    w.git("sparse-checkout", "set", "--sparse-index", "in")
    w.write("in/a", "3")
    w.until_committed("in/a", b"3")
    assert w.commit()["commit"] is None
    assert w.files() == {"in/a", "out/b", "out/deep/c"}
