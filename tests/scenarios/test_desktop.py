"""What a person sees on the desktop of one machine when something comes from another: real services."""

from __future__ import annotations

from tests.support.desktop import desktop_beside, session_bus
from tests.support.machines import Fleet
from tests.support.wait import until


def test_files_and_conflicts_are_shown_and_a_button_opens_the_folder(tmp_path, monkeypatch):
    with session_bus(tmp_path) as address, desktop_beside(address) as screen, Fleet(tmp_path) as fleet:
        laptop = fleet.add("laptop").start()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        desk = fleet.add("desk").start()
        laptop.write("todo.md", "1\n")
        laptop.write("plan.md", "1\n")
        until(lambda: laptop.clean() and laptop.head == laptop.git("rev-parse", "origin/main"), "the push")
        desk.run("autosync", "sync")
        seen = screen.notice("2 files from laptop")
        assert seen.body in ("notes: plan.md and todo.md", "notes: todo.md and plan.md")
        assert (seen.urgency, seen.labels) == (0, ["Show", "Open folder"])
        screen.press("2 files from laptop", "Open folder")
        until(lambda: screen.files.asked == [("folders", [desk.repo.as_uri()])], "the file manager")
        laptop.stop()
        laptop.commit("todo.md", "2\n")
        laptop.git("push", "-q")
        desk.write("todo.md", "3\n")
        desk.run("autosync", "sync", check=False)
        seen = screen.notice("notes: both versions kept")
        assert "Edited on two machines: todo.md.\nThe other version is todo.conflict-" in seen.body
