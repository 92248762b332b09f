"""Real editors and programs: the final content is committed, no temporary file ever is, and the
number of commits is what a person would expect."""

from __future__ import annotations

import contextlib
import fcntl
import io
import mmap
import os
import pty
import sqlite3
import subprocess
import tarfile
import termios
import threading

import pytest

from tests.support.git import git
from tests.support.programs import need
from tests.support.wait import until

SETTLE = "settle = 0.5"
SEVERAL_SAVES = "settle = 3"  # a slow machine lets time pass between one save of a session and the next


def saved(w, names, commits):
    """Wait for rest; then exactly ``names`` were ever committed, in ``commits`` commits."""
    until(lambda: not w.status()["dirty"], "the watcher to rest")
    assert w.git("status", "--porcelain", "--untracked-files=no") == ""
    assert w.ever() == names
    assert len(w.commits()) == commits


@contextlib.contextmanager
def on_terminal(argv, cwd):
    """Run a program on a terminal of its own; gives a function that types, and waits for the end."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 80))
    # emacs asks for the controlling terminal
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *argv],
        cwd=cwd,
        stdin=child,
        stdout=child,
        stderr=child,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(child)
    drained = threading.Thread(target=_drain, args=(parent,))
    drained.start()

    def type_(keys: bytes) -> None:
        os.write(parent, keys)

    try:
        yield type_
        process.wait(60)
    finally:
        process.kill()
        process.wait()
        drained.join()
        os.close(parent)


def _drain(parent):
    with contextlib.suppress(OSError):  # EIO: the other side is closed
        while os.read(parent, 65536):
            pass


@pytest.mark.parametrize("copy", ["yes", "no", "auto"])
def test_vim(watched, copy):
    vim = need("vim")
    w = watched(SEVERAL_SAVES)
    w.write("text", "one\n")
    w.until_clean()
    options = f"set nocompatible backup writebackup swapfile updatecount=1 undofile backupskip= backupcopy={copy}"
    script = ["normal Gotwo", "write", "normal Gothree", "write", "normal Gofour", "wq"]
    argv = [vim, "-u", "NONE", "-N", "--cmd", options, "text", *(word for line in script for word in ("-c", line))]
    with on_terminal(argv, w.root):
        pass
    w.until_committed("text", b"one\ntwo\nthree\nfour\n")
    saved(w, {"text"}, 2)
    assert {".text.un~", "text~"} <= set(os.listdir(w.root))


def test_vim_with_settle_zero_never_commits_the_file_as_missing(watched):
    vim = need("vim")
    w = watched("settle = 0")
    w.write("text", "0\n")
    w.until_clean()
    options = "set nocompatible backup writebackup swapfile undofile backupskip= backupcopy=no"
    for number in range(1, 6):
        argv = [vim, "-u", "NONE", "-N", "-es", "--cmd", options, "-c", f"normal cc{number}", "-c", "wq", "text"]
        subprocess.run(argv, cwd=w.root, check=True)
        w.until_committed("text", f"{number}\n".encode())
    saved(w, {"text"}, 6)


def test_emacs(watched):
    emacs = need("emacs", "emacs-nox")
    w = watched(SEVERAL_SAVES)
    w.write("text", "one\n")
    w.until_clean()
    lisp = """
    (progn (setq make-backup-files t create-lockfiles t auto-save-default t vc-make-backup-files t
        backup-enable-predicate (lambda (_) t))
      (find-file "text") (goto-char (point-max)) (insert "two\\n") (do-auto-save) (save-buffer)
      (insert "three\\n") (do-auto-save) (save-buffer) (kill-emacs))
    """
    with on_terminal([emacs, "-Q", "-nw", "--eval", lisp], w.root):
        pass
    w.until_committed("text", b"one\ntwo\nthree\n")
    saved(w, {"text"}, 2)
    assert "text~" in os.listdir(w.root)


def test_nano(watched):
    nano = need("nano")
    w = watched(SETTLE)
    w.write("text", "one\n")
    w.until_clean()
    with on_terminal([nano, "--backup", "--locking", "--ignorercfiles", "text"], w.root) as type_:
        until(lambda: ".text.swp" in os.listdir(w.root), "nano to be there")
        type_(b"typed \x0f\r")  # ^O: write out
        until(lambda: (w.root / "text").read_bytes() == b"typed one\n", "nano to write")
        type_(b"\x18")  # ^X: exit
    w.until_committed("text", b"typed one\n")
    saved(w, {"text"}, 2)


def test_sed_in_place(watched):
    w = watched(SETTLE)
    for number in range(5):
        w.write(f"f{number}", "one\n")
    w.until_clean()
    commits = len(w.commits())
    subprocess.run(["sed", "-i", "s/one/two/", *(f"f{number}" for number in range(5))], cwd=w.root, check=True)
    w.until_committed("f4", b"two\n")
    saved(w, {f"f{number}" for number in range(5)}, commits + 1)


def test_a_backup_beside_is_what_the_person_asked_for(watched):
    w = watched(SETTLE)
    w.write("f", "one\n")
    w.until_clean()
    subprocess.run(["sed", "-i.orig", "s/one/two/", "f"], cwd=w.root, check=True)
    w.until_committed("f", b"two\n")
    saved(w, {"f", "f.orig"}, 2)


def test_git_checkout_of_another_branch(watched):
    w = watched(SETTLE, start=False)
    for number in range(300):
        w.write(f"d{number % 10}/f{number}", "one\n")
    w.git("add", "-A")
    w.git("commit", "-qm", "one")
    w.git("switch", "-qc", "other")
    w.git("rm", "-qr", "d1", "d2")
    w.git("mv", "d3", "moved")
    w.git("commit", "-qm", "two")
    w.start()
    for branch in ("main", "other", "main"):
        w.git("switch", "-q", branch)
        w.write(f"on-{branch}", branch)
        w.until_committed(f"on-{branch}", branch.encode())
        w.until_clean()
        assert w.git("show", "--format=", "--name-status", "HEAD").split("\t")[-1] == f"on-{branch}"


def test_tar(watched, tmp_path):
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        for number in range(3000):
            data = f"content {number}\n".encode()
            entry = tarfile.TarInfo(f"tree/d{number % 60}/f{number}")
            entry.size, entry.mtime = len(data), 1_000_000_000
            archive.addfile(entry, io.BytesIO(data))
    w = watched(SETTLE)
    subprocess.run(["tar", "xf", tmp_path / "t.tar"], cwd=w.root, check=True)
    until(lambda: len(w.files()) == 3000, "all files")
    saved(w, {f"tree/d{number % 60}/f{number}" for number in range(3000)}, 1)
    subprocess.run(["tar", "xf", tmp_path / "t.tar"], cwd=w.root, check=True)  # the same once more
    w.write("tree/after", "1")
    w.until_committed("tree/after", b"1")
    assert len(w.commits()) == 2


def test_rsync(watched, tmp_path):
    rsync = need("rsync")
    source = tmp_path / "source"
    for number in range(200):
        (source / f"d{number % 7}").mkdir(parents=True, exist_ok=True)
        (source / f"d{number % 7}" / f"f{number}").write_text(f"{number}\n" * 100)
    w = watched(SETTLE)
    subprocess.run([rsync, "-a", f"{source}/", "copy"], cwd=w.root, check=True)
    until(lambda: len(w.files()) == 200, "all files")
    (source / "d0" / "f0").write_text("changed\n")
    (source / "d1").rename(source / "d9")
    subprocess.run([rsync, "-a", "--delete", f"{source}/", "copy"], cwd=w.root, check=True)
    w.until_committed("copy/d0/f0", b"changed\n")
    w.until_clean()
    assert not [path for path in w.ever() if "/." in path]
    assert len(w.commits()) == 2
    assert w.git("log", "-1", "--format=", "-M", "--name-status").count("R100") == 29


def test_a_slow_rsync_is_never_committed_half_done(watched, tmp_path):
    rsync = need("rsync")
    (tmp_path / "large").write_bytes(os.urandom(600_000))
    w = watched("settle = 0.1\nmax-wait = 0.5")
    subprocess.run([rsync, "--bwlimit=200", tmp_path / "large", "."], cwd=w.root, check=True)
    w.until_committed("large", (tmp_path / "large").read_bytes())
    saved(w, {"large"}, 1)


def test_mv_across_folders(watched):
    w = watched(SETTLE)
    for number in range(10):
        w.write(f"a/b/f{number}", f"content of {number}\n" * 20)
    w.until_clean()
    (w.root / "c").mkdir()
    subprocess.run(["mv", "a/b", "c/d"], cwd=w.root, check=True)
    w.until_committed("c/d/f9", b"content of 9\n" * 20)
    w.until_clean()
    subprocess.run("mv c/d/* . && rmdir -p c/d", shell=True, cwd=w.root, check=True)
    w.until_committed("f9", b"content of 9\n" * 20)
    w.until_clean()
    assert w.files() == {f"f{number}" for number in range(10)}
    assert len(w.commits()) == 3
    for commit in ("HEAD", "HEAD~1"):
        assert w.git("show", "--format=", "-M", "--name-status", commit).count("R100") == 10


def test_mv_from_another_file_system(watched, tmp_path):
    """`cp` and `rm` in the eyes of inotify."""
    w = watched(SETTLE)
    for number in range(10):
        w.write(f"a/f{number}", f"content of {number}\n" * 20)
    w.until_clean()
    subprocess.run("cp -a a b && rm -r a", shell=True, cwd=w.root, check=True)
    w.until_committed("b/f9", b"content of 9\n" * 20)
    w.until_clean()
    assert len(w.commits()) == 2
    assert w.git("show", "--format=", "-M", "--name-status", "HEAD").count("R100") == 10


def test_a_download_that_grows(watched):
    w = watched("settle = 0.2\nmax-wait = 1.0")
    w.write("beside", "1")
    with (w.root / "file.iso").open("wb", buffering=0) as download, (w.root / "x.part").open("wb", buffering=0) as part:
        while not w.committed("file.iso"):  # what never rests is committed as it stands
            download.write(b"block\n" * 100)
            part.write(b"block\n" * 100)
        w.until_committed("beside", b"1")
        download.write(b"the end\n")
    (w.root / "x.part").rename(w.root / "x")
    until(lambda: (w.committed("file.iso") or b"").endswith(b"the end\n"), "the whole download")
    until(lambda: w.committed("x"), "the other download")
    w.until_clean()
    assert w.ever() == {"beside", "file.iso", "x"}


def test_an_mmap_writer(watched):
    w = watched("settle = 0.1\nmax-wait = 1.0")
    path = w.write("data", b"a" * 8192)
    w.until_clean()
    descriptor = os.open(path, os.O_RDWR)
    view = mmap.mmap(descriptor, 8192)
    os.ftruncate(descriptor, 8192)
    os.close(descriptor)  # the mapping keeps it open: it is closed for inotify with the mapping only
    view[0:1] = b"b"
    until(lambda: (w.committed("data") or b"")[:1] == b"b", "the open file to be committed at max-wait")
    # the page is dirty already: this changes neither time nor size
    before = path.stat().st_mtime_ns
    view[1:2] = b"c"
    unnoticed = path.stat().st_mtime_ns == before
    view.close()
    until(lambda: (w.committed("data") or b"")[:2] == b"bc", f"the last change (times unchanged: {unnoticed})")


@contextlib.contextmanager
def written_through_memory(path):
    """A file that another program has mapped, with one page written already. What it writes there from now on
    changes neither times nor size, until the kernel has written the page to the disk."""
    with path.open("r+b") as file:
        view = mmap.mmap(file.fileno(), 0)
    try:
        view[0:1] = b"1"
        yield view
    finally:
        view.close()


@pytest.mark.parametrize("flushes", [False, True])
def test_an_mmap_writer_that_was_there_before_the_watcher(watched, flushes):
    """It makes no event but the one when it closes the file, and no change that git would see."""
    w = watched("settle = 0.1", start=False)
    path = w.write("data", b"0" * 8192)
    w.write("beside", b"0")
    with written_through_memory(path) as view:
        w.start()
        w.until_committed("data", b"1" + b"0" * 8191)
        w.write("beside", b"1")  # the index is younger now
        w.until_committed("beside", b"1")
        view[1:2] = b"2"
        if flushes:
            view.flush()
    w.until_committed("data", b"12" + b"0" * 8190)


def test_an_mmap_writer_that_a_restart_of_the_watcher_outlasts(watched):
    w = watched("settle = 0.1\nmax-wait = 0.5")
    path = w.write("data", b"0" * 8192)
    w.until_clean()
    with written_through_memory(path) as view:
        w.commit()
        assert w.committed("data")[:2] == b"10"
        w.stop()
        w.start()
        w.write("beside", b"1")
        w.until_committed("beside", b"1")
        view[1:2] = b"2"
    w.until_committed("data", b"12" + b"0" * 8190)


def test_an_mmap_writer_in_a_crowd(watched):
    """So many changes that git is asked which of them are any."""
    w = watched("settle = 1", start=False)
    path = w.write("data", b"0" * 8192)
    with written_through_memory(path) as view:
        w.start()
        w.until_committed("data", b"1" + b"0" * 8191)
        w.write("beside", b"1")
        w.until_committed("beside", b"1")
        view[1:2] = b"2"
        for number in range(1200):
            w.write(f"d/f{number}", f"{number}")
    w.until_committed("d/f1199", b"1199")
    w.until_committed("data", b"12" + b"0" * 8190)


def test_a_close_without_a_change_does_not_undo_what_the_person_told_git(watched):
    w = watched("settle = 0.1", start=False)
    for name in ("assumed", "skipped", "beside"):
        w.write(name, "1")
    w.git("add", "-A")
    w.git("commit", "-qm", "x")
    w.git("update-index", "--assume-unchanged", "assumed")
    w.git("update-index", "--skip-worktree", "skipped")
    w.write("assumed", "mine")
    w.write("skipped", "mine")
    w.start()
    for name in ("assumed", "skipped", "beside"):
        (w.root / name).open("r+b").close()
    w.write("later", "1")
    w.until_committed("later", b"1")
    until(lambda: not w.status()["dirty"], "the watcher to rest")
    assert w.git("ls-files", "-v").split("\n") == ["h assumed", "H beside", "H later", "S skipped"]
    assert w.committed("assumed") == w.committed("skipped") == b"1"


def test_sqlite_in_wal_mode(watched):
    w = watched("settle = 0.2\nmax-wait = 2.0")
    path = w.root / "notes.db"
    with contextlib.closing(sqlite3.connect(path)) as data:
        data.execute("pragma journal_mode = wal")
        data.execute("create table t (x)")
        for number in range(200):
            data.execute("insert into t values (?)", (number,))
            data.commit()
        assert (w.root / "notes.db-wal").exists()
    w.until_committed("notes.db", path.read_bytes())
    assert w.ever() == {"notes.db"}
    copy = w.root.parent / "copy.db"
    copy.write_bytes(w.committed("notes.db"))
    with contextlib.closing(sqlite3.connect(copy)) as data:
        assert data.execute("select count(*) from t").fetchone() == (200,)


def test_an_atomic_save_by_rename(watched):
    """GLib, most modern editors: written beside, synced, moved over."""
    w = watched(SETTLE)
    w.write("f", "one\n")
    w.until_clean()
    temporary = w.write(".goutputstream-ABC123", "two\n")
    temporary.rename(w.root / "f")
    w.until_committed("f", b"two\n")
    saved(w, {"f"}, 2)


@pytest.mark.parametrize("settle", ["settle = 0", SETTLE])
def test_libreoffice(watched, settle):
    """What LibreOffice 7.4 did when it opened, saved twice and closed a document (seen with strace)."""
    w = watched(settle)
    document, lock = w.write("text.odt", b"PK one"), w.root / ".~lock.text.odt#"
    w.until_clean()

    def locked():
        with open(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "wb", buffering=0) as file:
            file.write(b",root,host,23.11.2026 22:44,file:///tmp;")

    opened = os.open(document, os.O_RDWR)
    fcntl.lockf(opened, fcntl.LOCK_EX)
    locked()
    for number, content in ((29, b"PK two"), (44, b"PK three")):
        temporary = w.root / f"lu244945ud{number:x}.tmp"
        lock.unlink()
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with open(os.open(temporary, os.O_RDWR), "wb", buffering=0) as file:
            again = os.open(document, os.O_RDWR)
            locked()
            os.close(again)
            for part in (content, b"x" * 4096, b"end"):
                file.write(part)
        temporary.rename(document)
        document.chmod(0o644)
        for _ in range(2):
            os.close(os.open(document, os.O_RDWR))
        w.until_committed("text.odt", content + b"x" * 4096 + b"end")
    lock.unlink()
    os.close(opened)
    saved(w, {"text.odt"}, 3)


def test_built_in_ignores_can_be_turned_off_and_taken_back(watched):
    w = watched("settle = 0.1\nbuiltin-ignores = false")
    w.write("backup~", "1")
    w.until_committed("backup~", b"1")
    w.stop()
    w.configure('settle = 0.1\nexclude = ["!*.part", "build/", "/top"]')
    w.start()
    for name in ("other~", "x.part", "build/x", "sub/build/y", "top", "sub/top"):
        w.write(name, "1")
    w.until_committed("x.part", b"1")
    w.until_committed("sub/top", b"1")
    assert w.files() == {"backup~", "x.part", "sub/top"}
    w.write("backup~", "tracked files are committed all the same")
    w.until_committed("backup~", b"tracked files are committed all the same")


def test_a_clone_inside_is_left_out(watched, tmp_path):
    git(tmp_path, "init", "-q", "theirs")
    (tmp_path / "theirs" / "f").write_text("1")
    git(tmp_path / "theirs", "add", "-A")
    git(tmp_path / "theirs", "commit", "-qm", "x")
    w = watched("settle = 0")
    subprocess.run(["git", "clone", "-q", str(tmp_path / "theirs"), "sub/clone"], cwd=w.root, check=True)
    w.write("mine", "1")
    w.until_committed("mine", b"1")
    assert w.ever() == {"mine"}
