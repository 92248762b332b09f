"""`autosync import`: a configuration file of dvcs-autosync, as its own example has it and as people had it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from autosync.common import config
from autosync.console.main import main
from tests.support.git import git

OLD = """\
[autosync]
path = ~/notes
pidfile = ~/.autosync.pid
syncmethod = xmpp
pulllock = conservative
readfrequency = 5
ignorepath = .git .svn .hg build src/generated
    other

[dvcs]
statuscmd = git status | grep -iq "nothing to commit"
addcmd = git add %s
movecmd = git rm %s
    git add %s
commitcmd = git commit -m %s
pushcmd = git push
pullcmd = git pull
remoteurlcmd = git config --get remote.origin.url

[xmpp]
username = rene-sync@example.org
password = päss%word
alsonotify = rene@example.org
"""


@pytest.fixture
def old(home):
    git(home, "init", "-q", "-b", "main", "notes")
    file = home / ".autosync"
    file.write_text(OLD)
    return file


@pytest.fixture
def new(home) -> Path:
    return home / ".config" / "autosync" / "config.toml"


def test_everything_is_taken_over(home, old, new, capsys):
    assert main(["import"]) == 0
    said = capsys.readouterr().out
    read, (repo,) = config.load(new)
    assert repo.path == home / "notes"
    assert repo.settings.exclude == ["/build/", "/src/generated/", "/other/"]
    assert repo.settings.push_delay == 5.0
    assert read.xmpp is not None
    assert (read.xmpp.jid, read.xmpp.dvcs_autosync) == ("rene-sync@example.org", True)
    assert read.xmpp.password_file is not None
    assert config.read_secret(read.xmpp.password_file) == "päss%word"
    assert read.notify.xmpp == ["rene@example.org"]
    assert "not carried over" not in said
    assert "autosync init" in said
    assert "päss" not in said
    assert old.read_text() == OLD


def test_again_changes_nothing(old, new, capsys):
    assert main(["import", str(old)]) == 0
    before = new.read_text()
    assert main(["import", str(old)]) == 0
    assert new.read_text() == before
    assert "was already in" in capsys.readouterr().out


def test_only_shown(old, new, capsys):
    assert main(["import", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert '[[repository]]\npath = "~/notes"\nexclude = [' in said
    assert '[xmpp]\njid = "rene-sync@example.org"' in said
    assert "päss" not in said
    assert not new.exists()
    # what is shown is a configuration
    new.parent.mkdir(parents=True)
    new.write_text(said)
    assert len(config.load(new)[1]) == 1


def test_what_the_configuration_has_already_stays(home, old, new):
    new.parent.mkdir(parents=True)
    new.write_text('# mine\n[reflector]\nurl = "tcp://server:1986"\n[notify]\ndesktop = false\n')
    assert main(["import"]) == 0
    text = new.read_text()
    assert text.startswith("# mine\n[reflector]\n")
    read, repos = config.load(new)
    assert read.reflector is not None
    assert not read.notify.desktop
    assert read.notify.xmpp == []
    assert len(repos) == 1


def test_the_example_as_it_came_names_no_account(old, new):
    old.write_text(OLD.replace("rene-sync@example.org", "your XMPP id here")
                   .replace("rene@example.org", "if set, another XMPP id that will get notified"))  # fmt: skip
    assert main(["import"]) == 0
    read, _ = config.load(new)
    assert read.xmpp is None
    assert not (new.parent / "xmpp-password").exists()


def test_a_folder_inside_a_repository(home, old, new):
    (home / "notes" / "deep" / "er").mkdir(parents=True)
    old.write_text(OLD.replace("~/notes", "~/notes/deep/er"))
    assert main(["import"]) == 0
    _, (repo,) = config.load(new)
    assert repo.path == home / "notes"
    assert repo.settings.exclude[0] == "/deep/er/build/"


def test_commands_of_ones_own_and_the_server_are_told(old, capsys):
    old.write_text(OLD.replace("git push", "~/bin/my-push").replace("= xmpp", "= autosync-server"))
    assert main(["import"]) == 0
    said = capsys.readouterr().out
    assert "not carried over: it runs its own pushcmd: ~/bin/my-push" in said
    assert "not carried over: autosync-server" in said


def test_a_process_that_still_runs_is_named(home, old, capsys):
    script = home / "dvcs-autosync"
    script.write_text("#!/bin/sh\nread line\n")
    script.chmod(0o755)
    with subprocess.Popen([script], stdin=subprocess.PIPE) as process:
        (home / ".autosync.pid").write_text(f"{process.pid}\n")
        assert main(["import"]) == 0
        process.stdin.close()
    assert f"kill {process.pid} " in capsys.readouterr().out
    (home / ".autosync.pid").write_text(f"{os.getpid()}0000\n")
    assert main(["import"]) == 0
    assert "kill" not in capsys.readouterr().out


@pytest.mark.parametrize(("text", "what"), [
    (None, "there is no file"),
    ("[autosync]\nsyncmethod = xmpp\n", "has no path in a section"),
    ("path = here\n", "is not a configuration file of dvcs-autosync"),
    (OLD.replace("git commit", "hg commit"), "is kept by Mercurial"),
    (OLD.replace("~/notes", "~/nowhere"), "is not there"),
    (OLD.replace("~/notes", "~/run"), "is in no git repository"),
])  # fmt: skip
def test_what_cannot_be_taken_over_changes_nothing(old, new, capsys, text, what):
    old.unlink()
    if text is not None:
        old.write_text(text)
    assert main(["import"]) == 1
    assert what in capsys.readouterr().err
    assert not new.exists()


def test_several_files_with_several_accounts(home, old, new, capsys):
    git(home, "init", "-q", "papers")
    (home / "second").write_text(OLD.replace("~/notes", "~/papers"))
    assert main(["import", "~/.autosync", str(home / "second")]) == 0
    assert len(config.load(new)[1]) == 2
    (home / "second").write_text(OLD.replace("rene-sync", "other"))
    assert main(["import", str(old), str(home / "second")]) == 1
    assert "several accounts" in capsys.readouterr().err


def test_latin_1(home, old, new):
    git(home, "init", "-q", "für")
    old.write_bytes(OLD.replace("~/notes", "~/für").encode("latin-1"))
    assert main(["import"]) == 0
    _, (repo,) = config.load(new)
    assert repo.path == home / "für"
