"""Ignored folders cost nothing; a change of the rules takes effect at once."""

from __future__ import annotations

from tests.support.git import git
from tests.support.wait import until


def directories(w, number):
    until(lambda: w.status()["directories"] == number, f"{number} watched folders (are {w.status()['directories']})")


def test_ignored_folders_get_no_watch(watched):
    w = watched(start=False)
    w.write(".gitignore", "node_modules/\n")
    for number in range(300):
        w.write(f"node_modules/m{number}/lib/f", "1")
    w.write("src/node_modules/x/f", "1")
    w.write("src/f", "1")
    w.start()
    w.until_clean()
    assert w.files() == {".gitignore", "src/f"}
    directories(w, 2)
    w.write("src/late/node_modules/y/f", "1")
    w.write("src/late/f", "1")
    w.until_clean()
    directories(w, 3)


def test_a_new_rule_takes_effect_at_once_and_so_does_taking_it_back(watched):
    w = watched()
    w.write(".gitignore", "build/\n")
    w.write("build/deep/f", "1")
    w.write("src/f", "1")
    w.until_committed("src/f", b"1")
    directories(w, 2)
    w.write(".gitignore", "src/new/\n")
    w.until_committed("build/deep/f", b"1")
    directories(w, 4)
    w.write("build/deep/g", "1")
    w.until_committed("build/deep/g", b"1")
    w.write("src/new/f", "1")
    w.write("src/.gitignore", "*.log\n")
    w.write("src/x.log", "1")
    w.write("src/g", "1")
    w.until_committed("src/g", b"1")
    (w.root / "src" / ".gitignore").unlink()
    w.until_committed("src/x.log", b"1")
    assert "src/new/f" not in w.ever()


def test_the_exclude_file_of_the_repository_counts_too(watched):
    w = watched()
    w.write("a/f", "1")
    w.until_clean()
    (w.root / ".git" / "info" / "exclude").write_text("secret/\n")
    w.write("secret/f", "1")
    w.write("a/g", "1")
    w.until_committed("a/g", b"1")
    assert "secret/f" not in w.files()
    (w.root / ".git" / "info" / "exclude").write_text("")
    w.until_committed("secret/f", b"1")


def test_exclude_is_for_the_watcher_only_and_can_come_from_the_repository(watched):
    w = watched('settle = 0.1\nexclude = ["/scratch/", "*.bak"]')
    w.write("scratch/f", "1")
    w.write("sub/scratch/f", "1")
    w.write("x.bak", "1")
    w.until_committed("sub/scratch/f", b"1")
    assert w.files() == {"sub/scratch/f"}
    w.stop()
    w.configure("settle = 0.1")
    w.write(".autosync.toml", 'exclude = ["/scratch/"]\n')
    w.start()
    w.until_committed("x.bak", b"1")
    assert "scratch/f" not in w.files()
    w.write(".autosync.toml", "exclude = []\n")
    w.until_committed("scratch/f", b"1")
    w.write(".autosync.toml", "exclude = 1\n")
    w.until_committed(".autosync.toml", b"exclude = 1\n")
    w.write("scratch/f", "the settings stay as they were")
    w.until_committed("scratch/f", b"the settings stay as they were")


def test_tracked_files_in_ignored_folders_are_watched_and_committed(watched):
    w = watched(start=False)
    w.write(".gitignore", "build/\n*.log\n")
    w.write("build/keep/f", "1")
    w.write("build/other/g", "1")
    w.write("x.log", "1")
    w.git("add", "-f", "build/keep/f", "x.log", ".gitignore")
    w.git("commit", "-qm", "tracked all the same")
    w.start()
    directories(w, 3)
    w.write("build/keep/f", "2")
    w.write("x.log", "2")
    w.until_committed("build/keep/f", b"2")
    w.until_committed("x.log", b"2")
    w.write("build/keep/untracked", "1")
    w.write("y.log", "1")
    (w.root / "build" / "keep" / "f").unlink()
    until(lambda: "build/keep/f" not in w.files(), "the deletion")
    assert w.files() == {".gitignore", "x.log"}


def test_what_somebody_else_tracks_in_ignored_folders_is_watched_from_then_on(watched):
    w = watched()
    w.write(".gitignore", "build/\n")
    w.until_clean()
    w.write("build/f", "1")
    w.write("name~", "1")
    w.git("add", "-f", "build/f", "name~")
    w.git("commit", "-qm", "by hand")
    directories(w, 2)
    w.write("build/f", "2")
    w.write("name~", "2")
    w.until_committed("build/f", b"2")
    w.until_committed("name~", b"2")


def test_a_branch_that_moves_after_the_index_is_seen(watched):
    w = watched()
    w.write(".gitignore", "build/\n")
    w.until_clean()
    w.write("build/f", "1")
    w.git("add", "-f", "build/f")
    w.write("other", "1")
    until(lambda: w.status()["state"] == "held", "what is staged to be seen")
    w.git("update-ref", "HEAD", w.git("commit-tree", w.git("write-tree"), "-p", "HEAD", "-m", "by hand"))
    directories(w, 2)


def test_a_folder_moved_into_and_out_of_an_ignored_one(watched):
    w = watched()
    w.write(".gitignore", "trash/\n")
    w.write("a/b/f", "1")
    w.write("trash/x", "1")
    w.until_clean()
    (w.root / "a").rename(w.root / "trash" / "a")
    until(lambda: "a/b/f" not in w.files(), "the deletion")
    directories(w, 1)
    (w.root / "trash" / "a").rename(w.root / "back")
    w.until_committed("back/b/f", b"1")
    directories(w, 3)


def test_a_repository_that_is_made_or_unmade_inside(watched):
    w = watched()
    w.write("in/sub/f", "1")
    w.write("beside", "1")
    w.until_clean()
    git(w.root / "in", "init", "-q")
    w.write("in/sub/new", "theirs now")
    w.write("in/sub/f", "tracked by both")
    w.until_committed("in/sub/f", b"tracked by both")
    assert "in/sub/new" not in w.files()
    until(lambda: w.status()["nested"] == ["in"], "the nested repository to be reported")
    w.write("in/sub/f", "tracked by both, still")
    w.until_committed("in/sub/f", b"tracked by both, still")
    (w.root / "in" / ".git").rename(w.root.parent / "taken away")
    w.until_committed("in/sub/new", b"theirs now")
    assert w.status()["nested"] == []
