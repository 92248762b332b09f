"""A repository's own settings come from others: mistakes in them stop nothing and widen nothing."""

from __future__ import annotations

import pytest

from autosync.common.config import SHARED_LIMIT, Shared
from autosync.common.repository import Repository
from autosync.common.shared import SharedSettings
from tests.support.git import git

RIGHT = 'exclude = ["build/"]\nconflict = "stop"\n'
WRONG = {
    "no TOML": b"exclude = [\n",
    "not UTF-8": b'message = "\xff"\n',
    "an unknown key": b'settel = 1.0\nexclude = ["other/"]\n',
    "a key that is the machine's own": b'message-command = ["rm"]\n',
    "a wrong type": b'exclude = "build/"\n',
    "NUL in the message": b'message = "a\\u0000b"\n',
    "NUL in a pattern": b'exclude = ["a\\u0000b"]\n',
    "without end": b"#" * (SHARED_LIMIT + 1),
    "deep": b"settle = " + b"[" * 20_000,
}


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q")
    return Repository.open(tmp_path)


def commit(repository, content: bytes) -> None:
    (repository.path / ".autosync.toml").write_bytes(content)
    git(repository.path, "add", "-A")
    git(repository.path, "commit", "-qm", "settings")


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_with_a_mistake_what_counted_before_it_counts(repository, wrong):
    commit(repository, RIGHT.encode())
    running = SharedSettings()
    assert running.read(repository).exclude == ["build/"]
    commit(repository, wrong)
    for settings in (running, SharedSettings()):
        found = settings.read(repository)
        assert (found.exclude, found.conflict) == (["build/"], "stop")
        assert str(repository.path / ".autosync.toml") in settings.problem.what
    commit(repository, b"settle = 7.0\n")
    assert running.read(repository).settle == 7.0
    assert running.problem is None


def test_a_file_that_was_never_right_sets_nothing(repository):
    commit(repository, b"nonsense")
    for _ in range(3):
        commit(repository, b"more nonsense %d" % _)
    settings = SharedSettings()
    assert settings.read(repository) == Shared()
    assert settings.problem is not None


def test_an_unborn_branch_a_link_and_a_folder(repository):
    place = repository.path / ".autosync.toml"
    place.symlink_to("/etc/passwd")
    settings = SharedSettings()
    assert settings.read(repository) == Shared()
    assert "not a plain file" in settings.problem.what
    git(repository.path, "add", "-A")
    git(repository.path, "commit", "-qm", "a link is no version of it")
    place.unlink()
    place.mkdir()
    assert SharedSettings().read(repository) == Shared()
    place.rmdir()
    assert settings.read(repository) == Shared()
    assert settings.problem is None
