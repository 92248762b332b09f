"""The watched folders, against the real kernel but without a process."""

from __future__ import annotations

import os
import random

import pytest

from autosync.common.inotify import Inotify
from autosync.watcher.settle import Kind
from autosync.watcher.tree import Tree


class Told:
    """A sink that keeps what it was told."""

    def __init__(self):
        self.marks = {}
        self.moves = []
        self.renewed = []

    def mark(self, path, kind):
        self.marks.setdefault(path, []).append(kind)

    def moved(self, old, new):
        self.moves.append((old, new))

    def renew(self, path):
        self.renewed.append(path)


class Driven:
    """A tree, its sink and a way to let it catch up."""

    def __init__(self, root, ignored=frozenset()):
        self.root = root
        self.inotify = Inotify()
        self.told = Told()
        self.tree = Tree(os.fsencode(root), self.inotify, lambda asked: ignored.intersection(asked), self.told)

    def catch_up(self):
        while True:
            events = list(self.inotify.read())
            self.tree.handle(events)
            more = self.tree.step(7)
            if not events and not more:
                return self

    def folders(self):
        """What is watched, by asking the kernel: each folder's inode."""
        with open(f"/proc/self/fdinfo/{self.inotify.fileno()}") as info:
            return {int(line.split("ino:")[1].split()[0], 16) for line in info if line.startswith("inotify")}


@pytest.fixture
def driven(tmp_path):
    made = []

    def make(**how):
        one = Driven(tmp_path, **how)
        one.tree.start(())
        made.append(one)
        return one.catch_up()

    yield make
    for one in made:
        one.inotify.close()


def real_folders(root):
    return {os.stat(folder).st_ino for folder, _, _ in os.walk(root)}


def test_a_file_in_a_folder_that_is_newer_than_its_watch_is_seen(driven, tmp_path):
    d = driven()
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_text("1")
    d.catch_up()
    assert b"a/b/f" in d.told.marks
    assert d.folders() == real_folders(tmp_path)


def test_kinds(driven, tmp_path):
    d = driven()
    f = tmp_path / "f"
    with f.open("w") as file:
        file.write("x")
        file.flush()
        d.catch_up()
        assert d.told.marks.pop(b"f")[0] is Kind.CREATED
    d.catch_up()
    assert d.told.marks.pop(b"f") == [Kind.CLOSED]
    os.link(f, tmp_path / "link")
    (tmp_path / "symlink").symlink_to("f")
    f.chmod(0o600)
    f.rename(tmp_path / "g")
    d.catch_up()
    assert d.told.marks[b"link"] == d.told.marks[b"symlink"] == [Kind.ARRIVED]
    assert d.told.marks[b"f"][-1] is Kind.GONE
    assert d.told.marks[b"g"] == [Kind.ARRIVED]
    assert d.told.moves == [(b"f", b"g")]


def test_a_folder_that_is_renamed_before_its_watch(driven, tmp_path):
    d = driven()
    (tmp_path / "a").mkdir()
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "f").write_text("1")
    d.catch_up()
    (tmp_path / "a" / "g").write_text("1")
    d.catch_up()
    assert {b"b/f", b"a/g"} <= set(d.told.marks)
    assert d.folders() == real_folders(tmp_path)


def test_a_folder_that_leaves_and_returns_while_it_is_read(driven, tmp_path):
    d = driven()
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    d.tree.handle(list(d.inotify.read()))
    d.tree.step(1)  # `a` is read, `a/b` waits for it
    (tmp_path / "a").rename(tmp_path / "z")
    (tmp_path / "z").rename(tmp_path / "a")
    d.catch_up()
    assert d.folders() == real_folders(tmp_path)


def test_folders_that_change_places(driven, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / name).write_text("1")
    d = driven()
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    d.catch_up()
    d.told.marks.clear()
    (tmp_path / "a" / "sub" / "new").write_text("1")
    (tmp_path / "b" / "sub" / "other").write_text("1")
    d.catch_up()
    assert set(d.told.marks) == {b"a/sub/new", b"b/sub/other"}
    assert d.folders() == real_folders(tmp_path)


def test_a_vanished_folder_is_named_and_its_watches_go(driven, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    d = driven()
    (tmp_path / "a").rename(tmp_path.parent / f"{tmp_path.name} outside")
    d.catch_up()
    assert d.told.marks == {b"a/": [Kind.GONE]}
    assert d.folders() == real_folders(tmp_path)


def test_unwanted_folders_get_no_watch(driven, tmp_path):
    (tmp_path / "ignored" / "deep").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    d = driven(ignored=frozenset({b"ignored", b"kept/ignored"}))
    (tmp_path / "kept" / "ignored").mkdir()
    d.catch_up()
    assert len(d.folders()) == len(d.tree) == 2


def test_of_another_repository_only_what_is_tracked_is_watched(driven, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name} outside"
    for name in ("kept", "theirs"):
        (outside / name / "deep").mkdir(parents=True)
    for name in ("objects", "refs", "HEAD"):
        (outside / ".git" / name).mkdir(parents=True)
    d = driven()
    outside.rename(tmp_path / "in")
    d.catch_up()
    assert d.told.renewed == [b"in"]
    d.tree.renew(b"in", {b"in", b"in/kept"})
    d.catch_up()
    theirs = real_folders(tmp_path / "in" / "theirs") | real_folders(tmp_path / "in" / ".git")
    assert d.folders() == real_folders(tmp_path) - theirs
    (tmp_path / "in" / ".git").rename(tmp_path.parent / f"{tmp_path.name} git")
    d.catch_up()
    assert d.told.renewed == [b"in", b"in"]
    d.tree.renew(b"in", ())
    d.catch_up()
    assert d.folders() == real_folders(tmp_path)


@pytest.mark.parametrize("seed", range(8))
def test_after_any_shuffle_every_folder_is_watched_once_and_every_file_was_told(driven, tmp_path, seed):
    choice = random.Random(seed)
    d = driven()
    outside = tmp_path.parent / f"{tmp_path.name} outside"
    outside.mkdir()
    for number in range(150):
        folders = [folder for folder, _, _ in os.walk(tmp_path)]
        action = choice.random()
        target = os.path.join(choice.choice(folders), f"n{choice.randrange(6)}")
        if action < 0.4:
            os.makedirs(target, exist_ok=True)
        elif action < 0.7 and len(folders) > 1:
            source = choice.choice(folders[1:])
            if not os.path.exists(target) and not target.startswith(source + "/"):
                os.rename(source, target)
        elif action < 0.8 and len(folders) > 1:
            os.rename(choice.choice(folders[1:]), outside / str(number))
        elif action < 0.9 and os.listdir(outside) and not os.path.exists(target):
            os.rename(outside / choice.choice(os.listdir(outside)), target)
        else:
            os.makedirs(target, exist_ok=True)
            with open(os.path.join(target, f"f{number}"), "w") as file:
                file.write("1")
        if choice.random() < 0.3:
            d.catch_up()
    d.catch_up()
    assert d.folders() == real_folders(tmp_path)
    assert len(d.tree) == len(d.folders())
    d.told.marks.clear()
    expected = set()
    for folder, _, _ in os.walk(tmp_path):
        with open(os.path.join(folder, "last"), "w") as file:
            file.write("1")
        expected.add(os.path.relpath(os.path.join(folder, "last"), tmp_path).encode())
    d.catch_up()
    assert set(d.told.marks) == expected
