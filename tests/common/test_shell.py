"""Words of commands: a shell reads back exactly what was meant."""

from __future__ import annotations

import os
import subprocess

import pytest

from autosync.common.shell import command_line, typed

NAMES = [
    "notes",
    "My Notes",
    "it's",
    "$HOME;`id`",
    "a\nb",
    "caf\udce9 1",
    "\udce9'\\7",
    "\u200b7",
    "-n",
    "größe 日本",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_bash_reads_what_was_meant(name):
    line = command_line("printf", r"%s\0", name)
    assert line.isprintable()
    # the command comes as a terminal would give it
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=os.environ | {"LC_ALL": "C.UTF-8"})
    assert (done.stdout, done.stderr) == (os.fsencode(name) + b"\0", b"")


def test_plain_words_stay_as_they_are():
    assert command_line("git", "-C", "/srv/notes", "push") == "git -C /srv/notes push"
    assert typed("My Notes") == "'My Notes'"
