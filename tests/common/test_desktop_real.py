"""Notices on a real notification server: dunst, on a screen of its own."""

from __future__ import annotations

import asyncio

from autosync.common.desktop import Button, Desktop, Notice
from tests.support.desktop import session_bus
from tests.support.screen import Dunst
from tests.support.wait import eventually


def test_notices_are_shown_replaced_clicked_and_let_go(tmp_path, monkeypatch):
    async def run(dunst: Dunst) -> None:
        done: list[str] = []
        desktop = Desktop()

        async def press() -> None:
            done.append("pressed")

        async def shows(number: int, what: str) -> None:
            await eventually(lambda: dunst.count() == number and desktop._work.done(), what)

        notice = Notice("4 files from laptop", "todo.md & <others>", "low", (Button("Show", press),))
        desktop.show("files", notice)
        await shows(1, "the notice")
        desktop.show("files", Notice("5 files from laptop", "", "critical", notice.buttons))
        await shows(1, "the notice in its place")
        desktop.show("other", notice)
        await shows(2, "the other notice")
        desktop.withdraw("other")
        await shows(1, "the first to be left")
        dunst.click()
        await eventually(lambda: done == ["pressed"] and desktop._server is None, "the click, and the end of it")
        await eventually(lambda: dunst.count() == 0, "the clicked one to go")
        desktop.show("files", Notice("6 files from laptop", closed=lambda: done.append("closed")))
        await shows(1, "one more")
        dunst.dismiss()
        await eventually(lambda: done == ["pressed", "closed"], "the dismissal")
        await desktop.close()

    with session_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        with Dunst(tmp_path) as dunst:
            asyncio.run(run(dunst))
