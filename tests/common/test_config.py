"""Configuration: every mistake at once, each with its place; layers; the sample."""

from __future__ import annotations

import os
import re

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from autosync.common import config
from autosync.common.config import model
from autosync.common.config.sample import sample
from autosync.common.errors import Problem

WHOLE = """
name = "laptop"
[xmpp]
jid = "rene@example.org"
password-file = "xmpp-password"
host = "127.0.0.1"
port = 5222
ca-file = "ca.pem"
peers = ["antonio@example.org"]
[reflector]
url = "tcp://127.0.0.1:1986"
secret-file = "reflector-secret"
[notify]
desktop = true
xmpp = ["rene@phone.example.org"]
[defaults]
poll = 60.0
[[repository]]
path = "~/notes"
watch = true
push = "auto"
pull = "auto"
announce = true
settle = 2.0
max-wait = 60.0
push-delay = 2.0
conflict = "keep-both"
exclude = ["build/"]
max-file-size = "50MB"
message = "{summary}"
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "config.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_every_key_of_the_design(write, home):
    path = write(WHOLE)
    read, (repo,) = config.load(path)
    assert read.name == "laptop"
    assert read.xmpp.password_file == path.parent / "xmpp-password"
    assert read.xmpp.ca_file == path.parent / "ca.pem"
    assert read.reflector.secret_file == path.parent / "reflector-secret"
    assert repo.path == home / "notes"
    assert repo.settings.poll == 60.0
    assert repo.settings.max_file_size == 50_000_000


def test_all_problems_at_once_with_file_and_key_path(write):
    path = write(
        'nam = "x"\nsettle = 1.0\n[xmpp]\njid = 3\npassword-file = "p"\n'
        '[[repository]]\npath = "a"\nsettel = 1\nwatch = "yes"\n'
        '[[repository]]\npush = "sometimes"\nmax-file-size = "7 parsecs"\n[defaults]\npoll = -1\n'
    )
    with pytest.raises(Problem) as caught:
        config.load(path)
    text = str(caught.value)
    for line in (
        "nam: unknown key; did you mean 'name'?",
        "settle: it belongs below [defaults], for all repositories, or below the [[repository]] it is for",
        "xmpp.jid: expected a text in quotes, got 3",
        "repository[0].settel: unknown key; did you mean 'settle'?",
        "repository[0].watch: expected true or false, got 'yes'",
        "repository[1].path: is required",
        "repository[1].push: expected 'auto' or 'manual', got 'sometimes'",
        "repository[1].max-file-size: expected a size like 500000, '50MB' or '2GiB', got '7 parsecs'",
        "defaults.poll: expected 1.0 or more, got -1",
    ):
        assert f"{path}: {line}" in text
    assert text.startswith("9 problems")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = ", "not valid TOML"),
        ("repository = 3", "repository: expected a list, got 3"),
        ("[repository]\npath = 'a'", "repository: expected a list"),
        ("name = ''", "name: expected a printable name"),
        ("[xmpp]\njid = 'a@b/resource'\npassword-file = 'p'", "xmpp.jid: expected an account like"),
        ("[xmpp]\njid = 'a@b'", "expected either password-file or password-command"),
        ("[reflector]\nurl = 'http://x'", "reflector.url: expected an address like"),
        ("[reflector]\nurl = 'tcp://rene@x'", "reflector.url: expected an address like"),
        ("[reflector]\nurl = 'tcp://x'\nsparkleshare = true\nsecret-file = 's'", "SparkleShare cannot read sealed"),
        ("[[repository]]\npath = 'a'\n[[repository]]\npath = './a'", "is repository[0] already"),
        ("[[repository]]\npath = 'a'\nsettle = nan", "expected"),
        ("[[repository]]\npath = 'a'\nsettle = true", "settle: expected a number, got true"),
        ("[[repository]]\npath = ''", "path: expected a path"),
    ],
)
def test_wrong_values(write, text, expected):
    with pytest.raises(Problem) as caught:
        config.load(write(text))
    assert expected in str(caught.value)
    assert caught.value.remedy


def test_a_missing_file_and_one_that_is_not_text(tmp_path):
    with pytest.raises(Problem, match="there is no configuration file"):
        config.load(tmp_path / "absent.toml")
    (tmp_path / "binary").write_bytes(b'name = "\xff"')
    with pytest.raises(Problem, match="not UTF-8 at byte 8"):
        config.load(tmp_path / "binary")


def test_an_empty_file_is_a_configuration(write):
    read, repos = config.load(write(""))
    assert repos == []
    assert read.xmpp is None
    assert read.name


def test_layers_the_machine_wins_over_the_repository(write, tmp_path):
    path = write('[defaults]\nsettle = 5\n[[repository]]\npath = "r"\npush-delay = 7\n')
    _, (repo,) = config.load(path)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".autosync.toml").write_text('settle = 1\npush-delay = 1\nmax-wait = 9\nid = "mine"\n')
    found = config.effective(repo, config.load_shared(repo.path))
    assert (found.settle, found.push_delay, found.max_wait, found.id) == (5.0, 7.0, 9.0, "mine")


def test_a_pattern_stands_for_what_matches_now(write, tmp_path):
    for name in ("a.git", "b.git", "c"):
        (tmp_path / "srv" / name).mkdir(parents=True)
    (tmp_path / "srv" / "file.git").touch()
    path = write(
        '[[repository]]\npath = "srv/*.git"\nannounce = false\n[[repository]]\npath = "srv/b.git"\n'
        '[[repository]]\npath = "srv/[absent"\n'
    )
    read, repos = config.load(path)
    assert {r.path.name: r.settings.announce for r in repos} == {"a.git": False, "b.git": True, "[absent": True}
    assert config.pattern_folders(read, path) == [tmp_path / "srv"]


HARMLESS = {"id", "settle", "max-wait", "push-delay", "exclude", "max-file-size", "message", "conflict"}


def test_a_repositorys_own_file_is_limited_to_harmless_keys(tmp_path):
    keys = {field.alias or name for name, field in model.Shared.model_fields.items()}
    assert keys >= HARMLESS
    assert not any(
        "command" in key or "url" in key or "path" in key or "file" in key.split("-") for key in keys - HARMLESS
    )
    for text in ('path = "/etc"', 'message-command = ["rm"]', "push = 'auto'", "[xmpp]\njid = 'a@b'", "watch = false"):
        (tmp_path / ".autosync.toml").write_text(text)
        with pytest.raises(Problem, match="unknown key"):
            config.load_shared(tmp_path)


def test_a_repositorys_own_file_is_not_followed_or_read_without_end(tmp_path):
    (tmp_path / ".autosync.toml").symlink_to("/etc/passwd")
    with pytest.raises(Problem, match="not a plain file"):
        config.load_shared(tmp_path)
    (tmp_path / ".autosync.toml").unlink()
    (tmp_path / ".autosync.toml").write_text("#" * 100_000)
    with pytest.raises(Problem, match="larger than"):
        config.load_shared(tmp_path)


def test_secrets_that_others_can_read_are_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret\nmore\n")
    for mode in (0o644, 0o640, 0o604):
        secret.chmod(mode)
        with pytest.raises(Problem, match="can be read by others") as caught:
            config.read_secret(secret)
        assert caught.value.remedy == f"chmod 600 {secret}"
        assert "s3cret" not in str(caught.value)
    secret.chmod(0o600)
    assert config.read_secret(secret) == "s3cret"
    link = tmp_path / "link"
    link.symlink_to(secret)
    assert config.read_secret(link) == "s3cret"
    secret.write_bytes(b"s3cret\r\n")
    assert config.read_secret(secret) == "s3cret"
    for content, words in (
        (b"\n", "is empty"),
        (b"", "is empty"),
        (b"\xff\n", "is not UTF-8"),
        (b"x" * 5000, "longer than"),
    ):
        secret.write_bytes(content)
        with pytest.raises(Problem, match=words) as caught:
            config.read_secret(secret)
        assert str(secret) in caught.value.what
        assert caught.value.remedy
    secret.write_bytes(b"x" * 4096)
    assert config.read_secret(secret) == "x" * 4096
    with pytest.raises(Problem, match="cannot read"):
        config.read_secret(tmp_path / "absent")


def test_a_secret_that_is_no_file_or_somebody_elses_is_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name, words in (("pipe", "not a plain file"), ("folder", "Is a directory")):
        with pytest.raises(Problem, match=words):
            config.read_secret(tmp_path / name)
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    mine = os.geteuid()
    if mine == 0:
        os.chown(secret, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(Problem, match="belongs to somebody else"):
        config.read_secret(secret)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "config.toml").write_bytes(b'\xef\xbb\xbfname = "laptop"\n')
    assert config.load(tmp_path / "config.toml")[0].name == "laptop"


@pytest.mark.parametrize("text", ['message = "a\\u0000b"', 'exclude = ["a\\u0000b"]', 'message-command = ["a\\u0000"]'])
def test_no_text_holds_a_nul(write, text):
    with pytest.raises(Problem, match="without NUL characters"):
        config.load(write(f'[[repository]]\npath = "p"\n{text}\n'))


def every_key():
    for header, table in (("xmpp", model.Xmpp), ("reflector", model.Reflector), ("notify", model.Notify)):
        for name, field in table.model_fields.items():
            yield header, field.alias or name
    for name, field in model.RepositoryEntry.model_fields.items():
        yield "repository", field.alias or name
    yield "", "name"


def test_the_sample_names_every_key_and_is_a_comment():
    text = sample()
    assert all(not line or line.startswith("#") for line in text.splitlines())
    assert tomli.loads(text) == {}
    for _, key in every_key():
        assert re.search(rf"^# {key} = ", text, re.MULTILINE), key


def test_each_line_of_the_sample_is_accepted(write):
    """Each key alone, with what its table requires."""
    table, base = "", {"xmpp": 'jid = "a@b"\npassword-file = "p"\n', "reflector": 'url = "tcp://h"\n'}
    for line in sample().splitlines():
        if found := re.match(r"# (\[+)([a-z]+)\]+", line):
            table = found[2]
        elif found := re.match(r"# ([a-z-]+) = ", line):
            key = found[1]
            required = base.get(table, 'path = "p"\n' if table == "repository" else "")
            required = "".join(r + "\n" for r in required.splitlines() if not r.startswith(key + " "))
            if key == "password-command":
                required = 'jid = "a@b"\n'
            header = {"": "", "repository": "[[repository]]\n"}.get(table, f"[{table}]\n")
            config.load(write(f"{header}{required}{line.removeprefix('# ')}\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[transport]]\nurl = "tcp://h"', "transport[0]: expected type = 'xmpp' or type = 'reflector'"),
        ('[[transport]]\ntype = "smtp"', "transport[0]: expected type = 'xmpp' or type = 'reflector'"),
        ('[[transport]]\ntype = "reflector"\nurll = "tcp://h"', "transport[0].urll: unknown key; did you mean 'url'?"),
        ('[[transport]]\ntype = "xmpp"\njdi = "a@b"', "transport[0].jdi: unknown key; did you mean 'jid'?"),
        ('[[transport]]\ntype = "reflector"\nurl = 1', "transport[0].url: expected a text in quotes"),
        (
            '[reflector]\nurl = "tcp://h"\n[[transport]]\ntype = "reflector"\nurl = "tcp://h"',
            "expected each jid of xmpp, and each url of reflector, only once",
        ),
    ],
)
def test_mistakes_in_a_transport_are_named(write, text, words):
    with pytest.raises(Problem, match=re.escape(words)):
        config.load(write(text))


@given(st.text())
def test_any_text_gives_a_problem_or_a_configuration(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("c") / "config.toml"
    path.write_text(text, errors="surrogatepass")
    try:
        config.load(path)
    except Problem:
        pass


@pytest.mark.parametrize(
    ("text", "value"),
    [("50MB", 50_000_000), ("2GiB", 2 << 30), ("1.5 kb", 1500), ("7", 7), ("3M", 3_000_000), (12, 12)],
)
def test_sizes(text, value):
    assert config.parse_size(text) == value


@pytest.mark.parametrize("text", ["", "MB", "-1", "1TBB", "1 0", -1, 1.5, True, None])
def test_wrong_sizes(text):
    with pytest.raises(ValueError, match="expected a size"):
        config.parse_size(text)
