"""Desktop notices on a private session bus, with a small notification server of the tests' own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autosync.common import buttons, session
from autosync.common.desktop import Button, Desktop, Notice
from tests.support.desktop import fake_desktop, session_bus
from tests.support.wait import eventually


@pytest.fixture
def bus(tmp_path, monkeypatch) -> Iterator[str]:
    with session_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield address


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def with_server(address, body, *capabilities, clock=None) -> None:
    async def run() -> None:
        chosen = capabilities or ("actions", "body", "body-markup")
        async with fake_desktop(address, chosen) as fake:
            desktop = Desktop(*([clock] if clock else []))
            try:
                await body(fake, desktop)
            finally:
                await desktop.close()

    asyncio.run(run())


def pressed(into: list[str], label: str) -> Button:
    async def press() -> None:
        into.append(label)

    return Button(label, press)


def test_a_notice_is_shown_and_replaced_in_its_place(bus):
    async def body(fake, desktop):
        desktop.show("k", Notice("notes needs\nyou", "do <this> & that", "critical"))
        await eventually(lambda: fake.server.shown, "the notice")
        ((number, seen),) = fake.server.shown.items()
        # a file's name is no markup
        assert (seen.title, seen.body, seen.urgency) == ("notes needs you", "do &lt;this&gt; &amp; that", 2)
        # some servers let it vanish all the same, unless they are told
        assert seen.expires == 0
        assert seen.icon.endswith("icon.svg")
        desktop.show("k", Notice("notes is fine", urgency="low"))
        await eventually(lambda: fake.server.calls == 2, "the second notice")
        assert [(n, s.title, s.urgency) for n, s in fake.server.shown.items()] == [(number, "notes is fine", 0)]
        assert fake.server.shown[number].expires == -1

    with_server(bus, body)


def test_a_server_without_markup_gets_the_text_as_it_is(bus):
    async def body(fake, desktop):
        desktop.show("k", Notice("t", "a <b> & \udcff"))
        await eventually(lambda: fake.server.shown, "the notice")
        assert fake.server.shown[1].body == "a <b> & \\xff"
        assert fake.server.shown[1].actions == {}

    with_server(bus, body, "body")


def test_a_button_acts_once_and_a_click_is_the_first_button(bus):
    async def body(fake, desktop):
        done: list[str] = []
        notice = Notice("t", "", buttons=(pressed(done, "Show"), pressed(done, "Pause")))
        desktop.show("one", notice)
        await eventually(lambda: fake.server.shown, "the notice")
        assert fake.server.shown[1].labels == ["Show", "Pause"]
        fake.server.press(1, "Pause")
        fake.server.ActionInvoked(1, "0")
        desktop.show("two", notice)
        await eventually(lambda: 2 in fake.server.shown, "the second notice")
        fake.server.press(2, "")
        await eventually(lambda: done == ["Pause", "Show"], "both presses")
        desktop.show("three", replace(notice, click=notice.buttons[1]))
        await eventually(lambda: 3 in fake.server.shown, "the third notice")
        fake.server.press(3, "")
        await eventually(lambda: done == ["Pause", "Show", "Pause"], "the click")

    with_server(bus, body)


#: What real servers say of themselves (GetServerInformation, GetCapabilities; Debian 12), without what is Plasma's own.
REAL = {
    "gnome-shell": ("actions", "body", "body-markup", "icon-static", "persistence", "sound"),
    "Plasma": ("actions", "body", "body-hyperlinks", "body-images", "body-markup", "icon-static", "inline-reply"),
    "Xfce Notify Daemon": ("actions", "body", "body-hyperlinks", "body-markup", "icon-static"),
    "lxqt-notificationd": ("actions", "body", "body-hyperlinks", "body-images", "body-markup", "persistence"),
    "Notification Daemon": (
        "action-icons",
        "actions",
        "body",
        "body-hyperlinks",
        "body-markup",
        "icon-static",
        "sound",
    ),
    "dunst": ("actions", "body", "body-hyperlinks", "body-markup", "icon-static"),
    "notify-osd": ("append", "body", "body-markup", "icon-static", "image/svg+xml", "truncation"),
    "plain": (),
}


@pytest.mark.parametrize("product", REAL)
def test_each_server_gets_what_it_can_show(bus, product):
    capabilities = REAL[product]

    async def body(fake, desktop):
        fake.server.product = product
        offered = (pressed([], "Show"), pressed([], "Open folder"))
        desktop.show("k", Notice("2 files from laptop", "a & b", "low", offered, lambda text: None))
        await eventually(lambda: fake.server.shown, "the notice")
        (seen,) = fake.server.shown.values()
        assert seen.body == ("a &amp; b" if "body-markup" in capabilities else "a & b")
        acts, replies = "actions" in capabilities, "inline-reply" in capabilities
        # these make a button of what should be a click
        clicked = acts and product not in ("Xfce Notify Daemon", "lxqt-notificationd")
        expected = {"default": "Show"} if clicked else {}
        expected |= {"0": "Show", "1": "Open folder"} if acts else {}
        expected |= {"inline-reply": "Reply"} if replies else {}
        assert seen.actions == expected

    with_server(bus, body, *(capabilities or ("none",)))


def test_a_button_that_fails_is_a_line_in_the_log(bus, caplog):
    async def body(fake, desktop):
        async def fail():
            raise ValueError("no such thing")

        desktop.show("k", Notice("t", buttons=(Button("Break", fail),)))
        await eventually(lambda: fake.server.shown, "the notice")
        fake.server.press(1, "Break")
        await eventually(lambda: "Break: no such thing" in caplog.text, "the line")

    with_server(bus, body)


def test_what_a_person_does_with_a_notice_is_told(bus):
    async def body(fake, desktop):
        replies: list[str] = []
        closed: list[bool] = []
        notice = Notice("t", reply=replies.append, closed=lambda: closed.append(True))
        assert "inline-reply" in await desktop.capabilities()
        desktop.show("k", notice)
        await eventually(lambda: fake.server.shown, "the notice")
        fake.server.reply(1, "a message")
        desktop.show("k", notice)
        await eventually(lambda: 2 in fake.server.shown, "the second notice")
        fake.server.dismiss(2)
        await eventually(lambda: len(closed) == 2, "both ends")
        assert replies == ["a message"]

    with_server(bus, body, "actions", "body", "inline-reply")


def test_a_notice_that_is_closed_at_once_is_noticed(bus):
    async def body(fake, desktop):
        closed: list[bool] = []
        fake.server.silent = True
        desktop.show("k", Notice("t", closed=lambda: closed.append(True)))
        await eventually(lambda: closed, "the end of the notice")
        await fake.alone()

    with_server(bus, body)


def test_only_a_bus_on_a_unix_socket_is_one(monkeypatch, home):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "tcp:host=127.0.0.1,port=1;unix:path=/run/bus,guid=1")
    assert session.session_bus() == "unix:path=/run/bus,guid=1"
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "tcp:host=127.0.0.1,port=1")
    assert session.session_bus() is None
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    assert session.session_bus() is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "run" / "bus"))
        assert session.session_bus() == f"unix:path={home}/run/bus"


def test_many_notices_are_not_all_shown_but_the_newest_of_each_comes_later(bus):
    clock = Clock()

    async def body(fake, desktop):
        for number in range(30):
            desktop.show(f"k{number % 6}", Notice(f"n{number}"))
        await eventually(lambda: fake.server.calls == 4, "the first few")
        desktop.show("u", Notice("urgent", urgency="critical"))
        await eventually(lambda: fake.server.titled("urgent"), "the urgent one")
        assert sorted(s.title for s in fake.server.shown.values()) == ["n24", "n25", "n26", "n27", "urgent"]
        clock.now += 61
        desktop.withdraw("k0")
        await eventually(lambda: fake.server.titled("n29"), "the others, a minute later")
        assert not fake.server.titled("n24")

    with_server(bus, body, clock=clock)


def test_the_bus_is_held_only_while_something_is_on_the_screen(bus):
    async def body(fake, desktop):
        desktop.show("k", Notice("t"))
        await eventually(lambda: fake.server.shown, "the notice")
        assert await fake.connections() == 1
        fake.server.dismiss(1)
        await fake.alone()

    with_server(bus, body)


def test_what_is_left_on_the_screen_goes_when_nobody_would_serve_it(bus):
    async def run():
        async with fake_desktop(bus) as fake:
            desktop = Desktop()
            desktop.show("plain", Notice("stays"))
            for key in "abc":
                desktop.show(key, Notice("goes", buttons=(pressed([], "x"),)))
            await eventually(lambda: len(fake.server.shown) == 4, "all")
            await desktop.close()
            assert [s.title for s in fake.server.shown.values()] == ["stays"]

    asyncio.run(run())


def test_without_a_server_or_a_bus_nothing_happens(bus, monkeypatch, caplog):
    async def unanswered() -> None:
        desktop = Desktop()
        desktop.show("k", Notice("t"))
        desktop.show("other", Notice("t"))
        await asyncio.sleep(0)
        if desktop._work is not None:
            await desktop._work
        assert await desktop.capabilities() is None
        await desktop.close()

    asyncio.run(unanswered())
    assert len([r for r in caplog.records if "no desktop notification" in r.message]) == 1
    for address in ("", "tcp:host=127.0.0.1,port=1", "unix:path=/nowhere/bus"):
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        asyncio.run(unanswered())


def test_who_wants_no_notices_gets_none(bus):
    async def body(fake, desktop):
        desktop.wanted = False
        desktop.show("k", Notice("t"))
        assert (desktop.there, desktop._work) == (False, None)

    with_server(bus, body)


def test_a_bus_or_a_server_that_goes_and_comes_back_is_no_trouble(bus, monkeypatch, tmp_path):
    async def run():
        desktop = Desktop()
        async with fake_desktop(bus) as fake:
            desktop.show("k", Notice("one"))
            await eventually(lambda: fake.server.shown, "the notice")
        await eventually(lambda: desktop._server is None, "the end of the connection: nothing of ours is shown")
        async with fake_desktop(bus) as fake:
            desktop.show("k", Notice("two"))
            await eventually(lambda: fake.server.titled("two"), "the notice by the new server")
            again = tmp_path / "again"
            again.mkdir()
            with session_bus(again) as address:
                monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
                desktop._server._bus.disconnect()
                await eventually(lambda: desktop._server is None, "the end of the old bus")
                async with fake_desktop(address) as new:
                    desktop.show("k", Notice("three"))
                    await eventually(lambda: new.server.titled("three"), "the notice on the new bus")
                    await desktop.close()

    asyncio.run(run())


def test_files_and_folders_are_shown_by_the_file_manager(bus):
    async def body(fake, desktop):
        await buttons.open_folder(desktop, Path("/home/rene/my notes")).press()
        await buttons.show_files(desktop, [Path("/a/b%.txt"), Path("/a/c")]).press()
        assert fake.files.asked == [
            ("folders", ["file:///home/rene/my%20notes"]),
            ("items", ["file:///a/b%25.txt", "file:///a/c"]),
        ]

    with_server(bus, body)


def test_a_command_behind_a_button_is_run_and_its_failure_told(home, tmp_path):
    config = home / "etc.toml"
    with pytest.raises(Exception, match="there is no configuration file"):
        asyncio.run(buttons.pause(config, tmp_path).press())
