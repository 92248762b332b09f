"""Single files held back, and the brake on mass deletion."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.wait import until

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n"
ENCRYPTED = "text before\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEpAIBAAKCAQEAxyz0123456789\n"


def held(w):
    return {one["path"]: one for one in w.status()["quarantined"]}


def test_a_large_file_is_held_back_alone_until_it_is_allowed(watched):
    w = watched('settle = 0.1\nmax-file-size = "10kB"')
    w.write("large.bin", b"x" * 10_001)
    w.write("small", b"x" * 10_000)
    w.until_committed("small", b"x" * 10_000)
    found = until(lambda: held(w).get("large.bin"), "the large file to be reported")
    assert "10001 bytes is more than max-file-size" in found["reason"]
    command = found["remedy"].split("pass: ")[1].split(", or")[0]
    subprocess.run(command, shell=True, cwd=w.root, check=True)
    w.until_committed("large.bin", b"x" * 10_001)
    until(lambda: not held(w), "the report to be withdrawn")


def test_a_file_that_shrinks_is_let_go(watched):
    w = watched('settle = 0.1\nmax-file-size = "10kB"')
    w.write("other", b"x")
    w.write("f", b"x" * 20_000)
    until(lambda: held(w), "the large file to be reported")
    w.write("f", b"x")
    w.until_committed("f", b"x")
    assert not held(w)
    w.write("f", b"x" * 20_000)
    until(lambda: held(w), "the large file to be reported")
    (w.root / "f").unlink()
    until(lambda: not held(w), "the report to be withdrawn")
    until(lambda: w.files() == {"other"}, "the deletion")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", "A=1"),
        ("deploy/.netrc", "machine x"),
        ("vault.kdbx", "x"),
        ("id_ed25519", "x"),
        ("notes/key.txt", KEY),
        (
            "pem",
            "text before\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEpAIBAAKCAQEAxyz0123456789\n",
        ),
        ("age", "# created: 2026\nAGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ\n"),
    ],
)
def test_what_looks_like_a_secret_is_held_back_alone(watched, name, content):
    w = watched()
    w.write(name, content)
    w.write("beside", "1")
    w.until_committed("beside", b"1")
    found = until(lambda: held(w).get(name), "the secret to be reported")
    assert w.files() == {"beside"}
    subprocess.run(found["remedy"].removeprefix("to let it pass: "), shell=True, cwd=w.root, check=True)
    w.until_committed(name, content.encode())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env.example", "A="),
        ("docs.md", "a key begins with\n-----BEGIN PRIVATE KEY-----\nand then\n"),
        ("test.py", 'KEY = """-----BEGIN RSA PRIVATE KEY-----"""\n'),
        ("public.pem", "-----BEGIN PUBLIC KEY-----\nMIIEpAIBAAKCAQEAxyz0123456789\n-----END PUBLIC KEY-----\n"),
    ],
)
def test_what_only_speaks_of_secrets_is_committed(watched, name, content):
    w = watched()
    w.write(name, content)
    w.until_committed(name, content.encode())


def test_a_secret_that_a_person_has_committed_goes_on(watched):
    w = watched(start=False)
    w.write(".env", "A=1")
    w.git("add", ".env")
    w.git("commit", "-qm", "on purpose")
    w.start()
    w.write(".env", "A=2")
    w.until_committed(".env", b"A=2")


def test_the_list_of_secret_names_is_configurable(watched):
    w = watched('settle = 0.1\nquarantine = ["*.secret"]')
    w.write("x.secret", "1")
    w.write(".env", "1")
    w.until_committed(".env", b"1")
    assert set(until(lambda: held(w), "the secret to be reported")) == {"x.secret"}


def many(w, count=40):
    for number in range(count):
        w.write(f"d{number % 4}/f{number}", f"{number}\n")
    w.until_clean()


def test_an_emptied_root_is_held_until_confirmed(watched):
    w = watched()
    w.write("a", "1")
    w.write("b/c", "1")
    w.until_clean()
    head = w.git("rev-parse", "HEAD")
    (w.root / "a").unlink()
    (w.root / "b" / "c").unlink()
    (w.root / "b").rmdir()
    found = until(lambda: (s := w.status())["reason"] == "2 of 2 files are gone" and s, "the brake")
    assert found["state"] == "held"
    assert "--confirm-deletions" in found["remedy"]
    assert w.commit()["commit"] is None
    assert w.git("rev-parse", "HEAD") == head
    w.ask("confirm-deletions", paths=[str(w.root)])
    until(lambda: w.files() == set(), "the deletion to be committed")


def test_a_large_share_of_vanished_files_holds_everything(watched):
    w = watched("settle = 0.1\nbrake-count = 10\nbrake-share = 0.4")
    many(w)
    w.stop()
    for number in range(17):
        (w.root / f"d{number % 4}" / f"f{number}").unlink()
    w.write("d0/f36", "edited")
    w.start()
    assert w.until_state("held")["reason"] == "17 of 40 files are gone"
    assert w.committed("d0/f36") == b"36\n"
    for number in range(5):
        w.write(f"d{number % 4}/f{number}", f"{number}\n")
    w.until_committed("d0/f36", b"edited")
    assert len(w.files()) == 40 - 12


def test_moving_a_large_share_of_the_files_is_no_deletion(watched):
    w = watched("settle = 0.1\nbrake-count = 10\nbrake-share = 0.4")
    many(w)
    (w.root / "all").mkdir()
    for number in range(4):
        (w.root / f"d{number}").rename(w.root / "all" / f"d{number}")
    w.until_clean()
    assert len(w.files()) == 40
    assert "all/d0/f0" in w.files()


def test_few_deletions_pass(watched):
    w = watched()
    many(w, 10)
    for number in range(9):
        (w.root / f"d{number % 4}" / f"f{number}").unlink()
    w.until_clean()
    assert w.files() == {"d1/f9"}
