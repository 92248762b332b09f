"""The person's hooks, signing, filters and identity hold on automatic commits."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.programs import need
from tests.support.wait import until


def hook(w, name, script, folder=".git/hooks"):
    path = w.root / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def error(w):
    return until(lambda: (s := w.status())["state"] == "error" and s, "the error to be shown")


def test_hooks_run_in_gits_order_with_gits_environment(watched, tmp_path):
    w = watched(start=False)
    trace = tmp_path / "trace"
    for name in ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "reference-transaction"):
        hook(w, name, f'echo "{name} $* $(git diff --cached --name-only)" >> {trace}')
    extend = 'echo "Reviewed-by: hook" >> "$1"'
    hook(w, "commit-msg", f'echo "commit-msg $(git diff --cached --name-only)" >> {trace}; {extend}')
    hook(w, "prepare-commit-msg", f'echo "prepare-commit-msg $2 $(git diff --cached --name-only)" >> {trace}')
    w.start()
    w.write("f", "1")
    w.until_committed("f", b"1")
    until(lambda: "post-commit" in trace.read_text(), "the hook post-commit")
    lines = [line.split() for line in trace.read_text().splitlines()]
    assert [line[0] for line in lines if line[0] != "reference-transaction"] == [
        "pre-commit",
        "prepare-commit-msg",
        "commit-msg",
        "post-commit",
    ]
    by_name = {line[0]: line for line in lines}
    assert by_name["pre-commit"][1:] == ["f"]
    assert by_name["prepare-commit-msg"][1:] == ["message", "f"]
    assert "reference-transaction" in by_name
    assert w.git("log", "-1", "--format=%(trailers:key=Reviewed-by,valueonly)").strip() == "hook"


def test_hooks_elsewhere_are_found(watched, tmp_path):
    w = watched(start=False)
    hook(w, "pre-commit", f"touch {tmp_path}/ran", folder="../hooks")
    w.git("config", "core.hooksPath", "../hooks")
    w.start()
    w.write("f", "1")
    w.until_committed("f", b"1")
    assert (tmp_path / "ran").exists()


def test_a_hook_that_changes_what_is_committed_is_obeyed(watched):
    w = watched(start=False)
    hook(w, "pre-commit", "tr a-z A-Z < f > f.new && mv f.new f && git add f")
    w.start()
    w.write("f", "text")
    w.until_committed("f", b"TEXT")
    w.until_clean()
    assert (w.root / "f").read_bytes() == b"TEXT"
    assert len(w.commits()) == 1


def test_a_rejecting_hook_is_a_state_and_no_loop(watched, tmp_path):
    w = watched("settle = 0", start=False)
    reject = hook(w, "pre-commit", f"echo x >> {tmp_path}/runs; echo 'no TODO allowed' >&2; exit 1")
    w.start()
    w.write("f", "1")
    found = error(w)
    assert "the hook pre-commit rejects the commit (no TODO allowed)" in found["reason"]
    assert "autosync sync" in found["remedy"]
    for number in range(20):
        w.write("f", str(number))
    until(lambda: w.status()["dirty"], "the change to be seen")
    assert len((tmp_path / "runs").read_text().split()) <= 4
    reject.unlink()
    assert w.commit()["commit"]
    w.until_committed("f", b"19")
    assert w.status()["state"] == "watching"


def test_a_hook_that_hangs_is_ended(watched):
    w = watched("settle = 0\nhook-limit = 0.5", start=False)
    hang = hook(w, "pre-commit", "sleep 1000")
    w.start()
    w.write("f", "1")
    assert "did not end within 0.5 seconds" in error(w)["reason"]
    hang.unlink()
    w.ask("look")
    w.until_committed("f", b"1")


def test_a_hook_has_no_terminal_and_no_input(watched, tmp_path):
    w = watched(start=False)
    hook(w, "pre-commit", f"cat > {tmp_path}/input; (: < /dev/tty) 2> {tmp_path}/tty; true")
    w.start()
    w.write("f", "1")
    w.until_committed("f", b"1")
    assert (tmp_path / "input").read_bytes() == b""
    assert (tmp_path / "tty").read_bytes() != b""


def test_commits_are_signed_when_the_person_signs(watched, home):
    need("ssh-keygen", "openssh-client")
    w = watched(start=False)
    key = home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (home / "allowed").write_text(f"person@example.org {key.with_suffix('.pub').read_text()}")
    for name, value in {
        "gpg.format": "ssh",
        "user.signingKey": str(key),
        "commit.gpgSign": "true",
        "gpg.ssh.allowedSignersFile": str(home / "allowed"),
    }.items():
        w.git("config", name, value)
    w.start()
    w.write("f", "1")
    w.until_committed("f", b"1")
    assert w.git("log", "-1", "--format=%G?") == "G"


def test_a_key_that_cannot_sign_is_a_state_and_nothing_unsigned(watched, home):
    need("ssh-keygen", "openssh-client")
    w = watched("settle = 0", start=False)
    key = home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", key], check=True)
    for name, value in {"gpg.format": "ssh", "user.signingKey": str(key), "commit.gpgSign": "true"}.items():
        w.git("config", name, value)
    w.start()
    w.write("f", "1")
    found = error(w)
    assert "cannot sign" in found["reason"]
    assert w.commits() == []
    w.git("config", "commit.gpgSign", "false")
    w.ask("look")
    w.until_committed("f", b"1")


def test_a_prompt_for_a_passphrase_is_ended_and_nothing_is_unsigned(watched, home):
    w = watched("settle = 0\nhook-limit = 0.5", start=False)
    prompt = home / "gpg-that-asks"
    prompt.write_text("#!/bin/sh\nexec sleep 1000\n")
    prompt.chmod(0o755)
    w.git("config", "gpg.program", str(prompt))
    w.git("config", "commit.gpgSign", "true")
    w.start()
    w.write("f", "1")
    found = error(w)
    assert "cannot sign the commit (ended after 0.5 seconds)" in found["reason"]
    assert "gpg-agent" in found["remedy"]
    assert w.commits() == []
    w.git("config", "commit.gpgSign", "false")
    w.until_committed("f", b"1")


def test_a_gpg_key_with_a_passphrase_is_a_state_until_the_agent_knows_it(watched, home):
    need("gpg", "gnupg")
    w = watched("settle = 0", start=False)
    (home / ".gnupg").mkdir(mode=0o700)
    (home / ".gnupg" / "gpg-agent.conf").write_text("allow-preset-passphrase\n")
    gpg = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "open sesame"]
    generate = [*gpg, "--quick-generate-key", "person@example.org", "ed25519"]
    subprocess.run(generate, check=True, capture_output=True)
    try:
        subprocess.run(["gpgconf", "--kill", "all"], check=True)
        w.git("config", "user.signingKey", "person@example.org")
        w.git("config", "commit.gpgSign", "true")
        w.start()
        w.write("f", "1")
        assert "cannot sign" in error(w)["reason"]
        assert w.commits() == []
        # the person signs something: from now on the agent knows the passphrase
        subprocess.run([*gpg, "--sign"], input=b"x", check=True, capture_output=True)
        w.ask("look")
        w.until_committed("f", b"1")
        assert w.git("log", "-1", "--format=%G?") in ("G", "U")
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=True)


def test_a_gpg_key_signs(watched, home):
    need("gpg", "gnupg")
    w = watched(start=False)
    (home / ".gnupg").mkdir(mode=0o700)
    generate = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "person@example.org", "ed25519"]
    subprocess.run(generate, check=True, capture_output=True)
    try:
        w.git("config", "user.signingKey", "person@example.org")
        w.git("config", "commit.gpgSign", "true")
        w.start()
        w.write("f", "1")
        w.until_committed("f", b"1")
        assert w.git("log", "-1", "--format=%G?") in ("G", "U")
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=True)


def test_large_files_go_through_git_lfs(watched):
    need("git-lfs")
    w = watched(start=False)
    w.git("lfs", "install", "--local")
    w.git("lfs", "track", "*.bin")
    w.start()
    w.write("a.bin", b"large\n")
    w.write("sub/b.bin", b"larger\n")
    w.write("c.txt", b"small\n")
    w.until_clean()
    assert w.committed("a.bin").startswith(b"version https://git-lfs.github.com/spec/v1")
    assert w.committed("sub/b.bin").startswith(b"version https://git-lfs")
    assert w.committed("c.txt") == b"small\n"


def test_without_git_lfs_set_up_nothing_is_stored_unfiltered(watched, monkeypatch):
    need("git-lfs")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    w = watched()
    w.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    w.write("a.bin", b"large\n")
    w.write("c.txt", b"small\n")
    w.until_committed("c.txt", b"small\n")
    held = until(lambda: w.status()["quarantined"], "the unfiltered file to be reported")
    assert [one["path"] for one in held] == ["a.bin"]
    assert held[0]["remedy"] == "git lfs install"
    assert "a.bin" not in w.files()
    w.git("lfs", "install", "--local")
    until(lambda: w.committed("a.bin"), "the filtered file")
    assert w.committed("a.bin").startswith(b"version https://git-lfs")


@pytest.mark.parametrize("required", ["", "true"])
def test_a_filter_that_fails_never_stores_what_it_should_have_filtered(watched, required):
    w = watched(start=False)
    w.git("config", "filter.broken.clean", "no-such-command")
    if required:
        w.git("config", "filter.broken.required", required)
    w.start()
    w.write(".gitattributes", "*.bin filter=broken\n")
    w.write("a.bin", b"plain\n")
    w.write("c.txt", b"small\n")
    w.until_committed("c.txt", b"small\n")
    held = until(lambda: w.status()["quarantined"], "the unfiltered file to be reported")
    assert [one["path"] for one in held] == ["a.bin"]
    assert w.ever() == {".gitattributes", "c.txt"}
    w.git("config", "filter.broken.clean", "tr a-z A-Z")
    until(lambda: w.committed("a.bin") == b"PLAIN\n", "the filtered file")


def test_git_crypt_encrypts_and_a_locked_clone_is_left_alone(watched, tmp_path):
    need("git-crypt")
    w = watched(start=False)
    subprocess.run(["git-crypt", "init"], cwd=w.root, check=True, capture_output=True)
    w.write(".gitattributes", "*.key filter=git-crypt diff=git-crypt\n")
    w.start()
    w.write("my.key", b"top secret\n")
    w.write("f", b"plain\n")
    w.until_clean()
    assert w.committed("my.key").startswith(b"\0GITCRYPT\0")
    subprocess.run(["git-crypt", "export-key", tmp_path / "k"], cwd=w.root, check=True, capture_output=True)
    subprocess.run(["git-crypt", "lock"], cwd=w.root, check=True, capture_output=True)
    w.write("f", b"more\n")
    w.until_committed("f", b"more\n")
    assert w.status()["quarantined"] == []
    w.write("other.key", b"plaintext\n")
    held = until(lambda: w.status()["quarantined"], "the unfiltered file to be reported")
    assert (held[0]["path"], held[0]["remedy"]) == ("other.key", f"(cd '{w.root}' && git-crypt unlock)")
    assert "other.key" not in w.files()
    commits = len(w.commits())
    (w.root / "other.key").unlink()
    subprocess.run(["git-crypt", "unlock", tmp_path / "k"], cwd=w.root, check=True, capture_output=True)
    w.write("other.key", b"plaintext\n")
    w.until_clean()
    assert w.committed("other.key").startswith(b"\0GITCRYPT\0")
    assert len(w.commits()) == commits + 1


def test_line_ends_and_encodings_are_gits(watched):
    w = watched(start=False)
    w.write(".gitattributes", "*.txt text eol=crlf\n*.utf16 text working-tree-encoding=UTF-16\n")
    w.start()
    w.write("a.txt", b"one\r\ntwo\r\n")
    w.write("b.utf16", "grüße\n".encode("utf-16"))
    w.until_clean()
    assert w.committed("a.txt") == b"one\ntwo\n"
    assert w.committed("b.utf16") == "grüße\n".encode()


def test_without_an_identity_the_fallback_is_used(watched, home):
    config = home / ".gitconfig"
    config.write_text(config.read_text().replace("[user]", "[ignored]") + "[user]\n\tuseConfigOnly = true\n")
    w = watched()
    w.write("f", "1")
    w.until_committed("f", b"1")
    user = w.git("log", "-1", "--format=%(trailers:key=Autosync-User,valueonly)").strip()
    assert w.git("log", "-1", "--format=%an <%ae> %cn <%ce>") == f"{user} <{user}@laptop> {user} <{user}@laptop>"


def test_the_message_is_a_template_with_context(watched):
    template = 'message = "auto on {machine}: {summary} ({count})"'
    w = watched(f'settle = 0.1\n{template}\nmessage-command = ["sh", "-c", "echo context; pwd"]')
    w.write("f", "1")
    w.until_committed("f", b"1")
    parts = w.git("log", "-1", "--format=%B").split("\n\n")
    assert parts[:3] == ['auto on laptop: "f" added (1)', f"context\n{os.path.realpath(w.root)}", "added f"]


def test_a_failing_message_command_stops_nothing(watched):
    w = watched('settle = 0.1\nmessage-command = ["no-such-command-anywhere"]')
    w.write("f", "1")
    w.until_committed("f", b"1")
