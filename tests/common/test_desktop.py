"""Desktop notices on a private session bus, with a small notification server of the test's own."""

# ruff: noqa: F722, F821 - D-Bus signatures stand where types would
import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from dbus_fast import Variant
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, method

from autosync.common.desktop import Desktop
from tests.support.wait import eventually


@pytest.fixture
def bus(monkeypatch) -> Iterator[str]:
    if not shutil.which("dbus-daemon"):
        if os.environ.get("CI"):
            pytest.fail("dbus-daemon is missing: apt-get install dbus")
        pytest.skip("needs dbus-daemon: apt-get install dbus")
    argv = ["dbus-daemon", "--session", "--nofork", "--print-address=1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as daemon:
        address = daemon.stdout.readline().strip()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield address
        daemon.terminate()


class Server(ServiceInterface):
    """org.freedesktop.Notifications, as far as notices need it."""

    def __init__(self) -> None:
        super().__init__("org.freedesktop.Notifications")
        self.shown: dict[int, tuple[str, str, int]] = {}
        self.count = 0

    @method()
    def Notify(
        self, name: "s", replaces: "u", icon: "s", title: "s", body: "s", actions: "as", hints: "a{sv}", expire: "i"
    ) -> "u":
        self.count += 1
        urgency: Variant = hints["urgency"]
        self.shown[self.count] = (title, body, urgency.value)
        return self.count

    @method()
    def CloseNotification(self, number: "u"):
        self.shown.pop(number, None)

    @method()
    def GetServerInformation(self) -> "ssss":
        return ["test", "test", "1", "1.2"]

    @method()
    def GetCapabilities(self) -> "as":
        return ["body"]


def with_server(body) -> None:
    async def run() -> None:
        connection = await MessageBus().connect()
        server, desktop = Server(), Desktop()
        connection.export("/org/freedesktop/Notifications", server)
        await connection.request_name("org.freedesktop.Notifications")
        try:
            await body(server, desktop)
        finally:
            await desktop.close()
            connection.disconnect()
            await connection.wait_for_disconnect()

    asyncio.run(run())


def test_a_notice_is_shown_and_replaced(bus):
    async def body(server, desktop):
        desktop.show("k", "notes needs\nyou", "do this", urgent=True)
        await eventually(lambda: server.shown, "the notice")
        assert list(server.shown.values()) == [("notes needs you", "do this", 2)]
        desktop.show("k", "notes is fine", "")
        await eventually(lambda: server.count == 2, "the second notice")
        assert [shown[0] for shown in server.shown.values()] == ["notes is fine"]

    with_server(body)


def test_many_notices_are_not_all_shown_but_urgent_ones_are(bus):
    async def body(server, desktop):
        for number in range(30):
            desktop.show(f"k{number}", f"n{number}", "")
        desktop.show("u", "urgent", "", urgent=True)
        await eventually(lambda: any(s[0] == "urgent" for s in server.shown.values()), "the urgent one")
        assert server.count <= 7

    with_server(body)


def test_without_a_server_or_a_bus_nothing_happens(bus, monkeypatch, caplog):
    async def unanswered() -> None:
        desktop = Desktop()
        desktop.show("k", "t", "b")
        desktop.show("k", "t", "b")
        await desktop.close()

    asyncio.run(unanswered())
    assert len([r for r in caplog.records if "no desktop notification" in r.message]) <= 1
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    asyncio.run(unanswered())
