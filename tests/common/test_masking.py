"""What is left of a URL when it is shown."""

from __future__ import annotations

import pytest

from autosync.common.errors import Problem, write_report
from autosync.common.git import GitError
from autosync.common.masking import masked

TOLD = "https://rene:Wort@example.org/notes.git"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (TOLD, "https://example.org/notes.git"),
        ("https://token@example.org/notes.git", "https://example.org/notes.git"),
        ("https://to@ken:x-oauth-basic@example.org/", "https://example.org/"),
        ("ssh://git@example.org:2222/notes.git", "ssh://git@example.org:2222/notes.git"),
        ("ssh://git:Wort@example.org/notes.git", "ssh://git@example.org/notes.git"),
        ("git@example.org:notes.git", "git@example.org:notes.git"),
        ("https://example.org/a:b@c", "https://example.org/a:b@c"),
        ("a file a:b@c, and nothing else", "a file a:b@c, and nothing else"),
        (
            f"unable to access '{TOLD}', nor git://a:b@h",
            "unable to access 'https://example.org/notes.git', nor git://h",
        ),
        ("unable to look up rene:Wort@127.0.0.1 (port 9418)", "unable to look up 127.0.0.1 (port 9418)"),
    ],
)
def test_passwords_are_left_out_and_nothing_else(text, shown):
    assert masked(text) == shown


def test_neither_trouble_with_git_nor_problems_nor_reports_show_them(tmp_path):
    error = GitError(["ls-remote", TOLD], 128, TOLD.encode(), b"fatal: no " + TOLD.encode())
    problem = Problem(f"no {TOLD}", f"git clone {TOLD}")
    report = write_report(ValueError(TOLD), tmp_path).read_text()
    for text in (str(error), error.message, str(problem), problem.what, problem.remedy, problem.args[0], report):
        assert "Wort" not in text
        assert "example.org/notes.git" in text


def test_megabytes_of_one_word_are_looked_through_at_once():
    assert masked("a" * 4_000_000 + "@") == "a" * 4_000_000 + "@"
