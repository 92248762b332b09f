"""A private session bus, and a small notification server of the tests' own that presses buttons."""

# ruff: noqa: F722, F821 - D-Bus signatures stand where types would
import asyncio
import contextlib
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, method
from dbus_fast.service import signal as dbus_signal

from tests.support.programs import need
from tests.support.wait import DEADLINE, until


@contextlib.contextmanager
def session_bus(folder: Path) -> Iterator[str]:
    """A bus for one test, with no service that it could start; yields its address."""
    need("dbus-daemon", "dbus")
    config = folder / "session.conf"
    config.write_text(
        f"<busconfig><type>session</type><listen>unix:dir={folder}</listen><auth>EXTERNAL</auth>"
        '<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>'
        '<allow own="*"/></policy></busconfig>'
    )
    argv = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as daemon:
        try:
            yield daemon.stdout.readline().strip()
        finally:
            daemon.terminate()


@dataclass
class Seen:
    """A notification on the screen."""

    title: str
    body: str
    urgency: int
    #: Milliseconds, 0: for ever, -1: as the server likes.
    expires: int
    icon: str
    actions: dict[str, str]

    @property
    def labels(self) -> list[str]:
        return [label for key, label in self.actions.items() if key != "default"]


class FakeServer(ServiceInterface):
    """org.freedesktop.Notifications, as far as notices need it. ``shown`` is what is on the screen."""

    def __init__(self, capabilities: tuple[str, ...]) -> None:
        super().__init__("org.freedesktop.Notifications")
        self.product = "fake"
        #: Close each notification even before telling its number, as a server that is not to disturb may.
        self.silent = False
        self.capabilities = capabilities
        self.shown: dict[int, Seen] = {}
        self.calls = 0
        self._last = 0

    def titled(self, title: str) -> int:
        """The number of the notification with this title; 0 when there is none."""
        return next((number for number, seen in self.shown.items() if seen.title == title), 0)

    def press(self, number: int, label: str) -> None:
        """Press a button, or "" for a click on the notification itself, as a person would."""
        actions = self.shown[number].actions
        key = next(k for k, v in actions.items() if (v == label and k != "default") or (not label and k == "default"))
        self.ActionInvoked(number, key)
        self.dismiss(number)

    def reply(self, number: int, text: str) -> None:
        assert "inline-reply" in self.shown[number].actions
        self.NotificationReplied(number, text)
        self.dismiss(number)

    def dismiss(self, number: int) -> None:
        del self.shown[number]
        self.NotificationClosed(number, 2)

    @method()
    def Notify(
        self, name: "s", replaces: "u", icon: "s", title: "s", body: "s", actions: "as", hints: "a{sv}", expire: "i"
    ) -> "u":
        self.calls += 1
        replaces = replaces if replaces in self.shown else 0
        self._last += not replaces
        number = replaces or self._last
        pairs = dict(zip(actions[::2], actions[1::2], strict=True))
        self.shown[number] = Seen(title, body, hints["urgency"].value, expire, icon, pairs)
        if self.silent:
            self.dismiss(number)
        return number

    @method()
    def CloseNotification(self, number: "u"):
        if self.shown.pop(number, None):
            self.NotificationClosed(number, 3)

    @method()
    def GetCapabilities(self) -> "as":
        return list(self.capabilities)

    @method()
    def GetServerInformation(self) -> "ssss":
        return [self.product, "test", "1", "1.2"]

    @dbus_signal()
    def ActionInvoked(self, number, key) -> "us":
        return [number, key]

    @dbus_signal()
    def NotificationReplied(self, number, text) -> "us":
        return [number, text]

    @dbus_signal()
    def NotificationClosed(self, number, reason) -> "uu":
        return [number, reason]


class FakeFileManager(ServiceInterface):
    """org.freedesktop.FileManager1: keeps what it was asked to show."""

    def __init__(self) -> None:
        super().__init__("org.freedesktop.FileManager1")
        self.asked: list[tuple[str, list[str]]] = []

    @method()
    def ShowItems(self, uris: "as", startup: "s"):
        self.asked.append(("items", uris))

    @method()
    def ShowFolders(self, uris: "as", startup: "s"):
        self.asked.append(("folders", uris))


@dataclass
class FakeDesktop:
    server: FakeServer
    files: FakeFileManager
    bus: MessageBus
    loop: asyncio.AbstractEventLoop

    def press(self, title: str, label: str) -> None:
        """Press a button of the notice with this title, once it is there; from any thread."""
        number = until(lambda: self.server.titled(title), f"the notice: {title}")
        self.loop.call_soon_threadsafe(self.server.press, number, label)

    def reply(self, title: str, text: str) -> None:
        number = until(lambda: self.server.titled(title), f"the notice: {title}")
        self.loop.call_soon_threadsafe(self.server.reply, number, text)

    def notice(self, title: str) -> Seen:
        """The notice with this title, once it is there."""
        return self.server.shown[until(lambda: self.server.titled(title), f"the notice: {title}")]

    async def connections(self) -> int:
        """How many others are connected to the bus."""
        from dbus_fast import Message

        name = "org.freedesktop.DBus"
        answer = await self.bus.call(Message(name, "/org/freedesktop/DBus", name, "ListNames"))
        return sum(name.startswith(":") for name in answer.body[0]) - 1

    async def alone(self) -> None:
        """Wait until nobody else is connected."""
        async with asyncio.timeout(DEADLINE):
            while await self.connections():  # noqa: ASYNC110 - the bus tells by answers only
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def fake_desktop(
    address: str, capabilities: tuple[str, ...] = ("actions", "body", "body-markup")
) -> AsyncIterator[FakeDesktop]:
    """A notification server and a file manager on the bus."""
    bus = await MessageBus(bus_address=address).connect()
    desktop = FakeDesktop(FakeServer(capabilities), FakeFileManager(), bus, asyncio.get_running_loop())
    bus.export("/org/freedesktop/Notifications", desktop.server)
    bus.export("/org/freedesktop/FileManager1", desktop.files)
    for name in ("org.freedesktop.Notifications", "org.freedesktop.FileManager1"):
        await bus.request_name(name)
    try:
        yield desktop
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()


@contextlib.contextmanager
def desktop_beside(address: str, *capabilities: str) -> Iterator[FakeDesktop]:
    """The same in a thread of its own, for tests of real processes."""
    made: list[FakeDesktop] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with fake_desktop(address, capabilities or ("actions", "body", "body-markup")) as desktop:
            made.append(desktop)
            ready.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(DEADLINE)
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
