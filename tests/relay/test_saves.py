"""What appears at the places that git is about to replace."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from autosync.common.inotify import Q_OVERFLOW, Event, Inotify
from autosync.relay import saves
from autosync.relay.saves import Saves
from tests.support.wait import until


def save(folder: Path, name: str, text: str) -> None:
    (folder / "swap").write_text(text)
    (folder / "swap").rename(folder / name)


def held(watched: Saves) -> int:
    return len(watched._found)


@contextlib.contextmanager
def watching(watched: Saves) -> Iterator[None]:
    watched.start()
    try:
        yield
    finally:
        watched.stop()


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_what_lost_its_name_is_there_to_be_read(tmp_path):
    (tmp_path / "d").mkdir()
    watched = Saves(tmp_path, ["d/one", "two"])
    with watching(watched):
        save(tmp_path / "d", "one", "saved\n")
        save(tmp_path, "two", "stays\n")
        save(tmp_path, "other", "nobody's business\n")
        until(lambda: held(watched) == 2, "it is held")
        (tmp_path / "d/one").unlink()
    assert [(stray.path, stray.content(), stray.done) for stray in watched.strays()] == [("d/one", b"saved\n", True)]
    watched.close()


def test_of_very_many_files_those_that_stay_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(saves, "descriptors_for_one", lambda: 8)
    names = [f"{number}" for number in range(100)]
    before = descriptors()
    watched = Saves(tmp_path, names)
    with watching(watched):
        save(tmp_path, "0", "saved\n")
        until(lambda: held(watched) == 1, "it is held")
        (tmp_path / "0").unlink()
        for name in names:
            (tmp_path / name).write_text("git's own\n")
        until(lambda: any(one.path == "99" for one in watched._found), "it is held")
        assert held(watched) <= 8
    assert b"saved\n" in [stray.content() for stray in watched.strays()]
    watched.close()
    until(lambda: descriptors() == before, "all is closed")


def test_without_an_instance_to_be_had_the_move_goes_on(tmp_path, monkeypatch, caplog):
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(saves, "Inotify", none_left)
    caplog.set_level("INFO")
    watched = Saves(tmp_path, ["one"])
    with watching(watched):
        save(tmp_path, "one", "saved\n")
    assert watched.strays() == []
    watched.close()
    assert "not seen" in caplog.text


@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
def test_what_is_no_file_is_let_be(tmp_path, kind):
    watched = Saves(tmp_path, ["one", "two"])
    with watching(watched):
        if kind == "folder":
            (tmp_path / "one").mkdir()
        elif kind == "fifo":
            os.mkfifo(tmp_path / "one")
        else:
            (tmp_path / "one").symlink_to("/etc/passwd")
        save(tmp_path, "two", "saved\n")
        until(lambda: any(one.path == "two" for one in watched._found), "it is held")
        (tmp_path / "two").unlink()
    assert [stray.path for stray in watched.strays()] == ["two"]
    watched.close()


def test_when_events_are_lost_all_that_is_there_is_held(tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    for name in ("d/one", "two", "other"):
        (tmp_path / name).write_text("saved\n")
    watched = Saves(tmp_path, ["d/one", "two", "three"])
    read = Inotify.read

    def overflowed(self: Inotify):
        return [Event(-1, Q_OVERFLOW, 0, b"") for _ in read(self)]

    monkeypatch.setattr(Inotify, "read", overflowed)
    with watching(watched):
        (tmp_path / "three").touch()
        until(lambda: held(watched) == 3, "they are held")
        (tmp_path / "two").unlink()
    assert [(stray.path, stray.content()) for stray in watched.strays()] == [("two", b"saved\n")]
    watched.close()
