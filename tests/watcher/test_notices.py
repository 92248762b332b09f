"""What the watcher shows on the desktop, and what its buttons do: a real watcher, a private bus."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autosync.watcher import quarantine
from autosync.watcher.patterns import Patterns
from tests.support.desktop import FakeDesktop, desktop_beside, session_bus
from tests.support.wait import until


@pytest.fixture
def screen(tmp_path, monkeypatch) -> Iterator[FakeDesktop]:
    bus = tmp_path / "bus"
    bus.mkdir()
    with session_bus(bus) as address, desktop_beside(address) as desktop:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield desktop


def gone(screen, title):
    until(lambda: not screen.server.titled(title), f"the end of the notice: {title}")


def test_a_file_that_is_held_back_passes_by_a_button(watched, screen):
    w = watched('settle = 0.1\nmax-file-size = "10kB"')
    w.write("odd [name]*.bin", b"x" * 20_000)
    title = "work tree: 1 file is held back"
    seen = screen.notice(title)
    assert "odd [name]*.bin: 20000 bytes is more than max-file-size" in seen.body
    assert (seen.urgency, seen.labels) == (1, ["Show", "Let this file pass"])
    screen.press(title, "Show")
    until(lambda: screen.files.asked, "the file manager")
    assert screen.files.asked == [("items", [(w.root / "odd [name]*.bin").as_uri()])]
    w.write("other.bin", b"x" * 20_000)
    assert "other.bin" in screen.notice("work tree: 2 files are held back").body
    (w.root / "other.bin").unlink()
    until(lambda: len(w.status()["quarantined"]) == 1, "one to be left")
    w.write(".env", b"A=1")
    screen.notice("work tree: 2 files are held back")
    (w.root / ".env").unlink()
    (w.root / "odd [name]*.bin").unlink()
    gone(screen, "work tree: 2 files are held back")
    w.write("odd [name]*.bin", b"y" * 20_000)
    screen.press(title, "Let this file pass")
    w.until_committed("odd [name]*.bin", b"y" * 20_000)


@pytest.mark.parametrize(
    "name", [b"plain", b"a[b]*?.c", b"back\\slash", b"blank ", b"folder/deep/x", b"!bang", b"\xff"]
)
def test_the_pattern_lets_that_path_pass_and_no_other(name):
    allowed = Patterns([quarantine.release_pattern(name)])
    assert allowed.match(name)
    assert not allowed.match(b"other/" + name)
    assert not allowed.match(name[:-1] + b"z")


def test_a_mass_deletion_is_confirmed_by_a_button_and_not_by_a_click_beside_it(watched, screen):
    w = watched("settle = 0.1\nbrake-count = 3")
    for number in range(4):
        w.write(f"f{number}")
    w.until_clean()
    for number in range(4):
        (w.root / f"f{number}").unlink()
    title = "work tree: 4 of 4 files are gone"
    seen = screen.notice(title)
    assert (seen.urgency, seen.labels) == (2, ["Confirm deletions", "Open folder", "Pause"])
    assert seen.actions["default"] == "Open folder"
    screen.press(title, "Confirm deletions")
    until(lambda: w.files() == set(), "the deletion to be committed")


def test_a_mass_deletion_that_comes_back_is_taken_from_the_screen(watched, screen):
    w = watched("settle = 0.1\nbrake-count = 3")
    for number in range(4):
        w.write(f"f{number}")
    w.until_clean()
    for number in range(4):
        (w.root / f"f{number}").unlink()
    screen.notice("work tree: 4 of 4 files are gone")
    w.git("checkout", "-q", ".")
    gone(screen, "work tree: 4 of 4 files are gone")


def test_pause_is_a_button(watched, screen):
    w = watched()
    w.write("f")
    w.until_clean()
    hook = w.root / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\necho no tabs please >&2\nexit 1\n")
    hook.chmod(0o755)
    w.write("f", "2\n")
    seen = screen.notice("work tree needs you")
    assert "no tabs please" in seen.body
    assert (seen.urgency, seen.labels) == (2, ["Open folder", "Pause"])
    screen.press("work tree needs you", "Pause")
    w.until_state("paused")
    (w.root / ".git" / "autosync" / "paused").unlink()
    hook.unlink()
    w.ask("look")
    w.until_committed("f", b"2\n")


def test_trouble_and_its_end_are_one_notice(watched, screen):
    w = watched()
    hook = w.root / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    w.write("f")
    screen.notice("work tree needs you")
    hook.unlink()
    w.ask("look")
    assert screen.notice("work tree is watched again").urgency == 0
    assert not screen.server.titled("work tree needs you")
