"""A service as the console meets it: a real control socket with answers made up by the test."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from autosync.common.control import ControlServer
from autosync.common.instance import Instance


class FakeService:
    """Answers each command with what ``answers`` has for it (a value, or a function of the request); keeps what it
    was asked in ``asked``."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answers = answers

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return {name: self._handler(answer) for name, answer in self._answers.items()}

    def _handler(self, answer: Any) -> Callable[..., Any]:
        async def handle(request, progress):
            self.asked.append(request)
            progress("working")
            return answer(request) if callable(answer) else answer

        return handle

    def commands(self) -> list[str]:
        return [request["command"] for request in self.asked]


@contextlib.contextmanager
def running(instance: Instance, service: str, answers: dict[str, Any]) -> Iterator[FakeService]:
    """A ``service`` of the instance with these answers, in a thread of its own."""
    fake = FakeService({"look": {}, "reload": {}} | answers)
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop: asyncio.Event

    async def serve() -> None:
        nonlocal stop
        stop = asyncio.Event()
        async with ControlServer(instance.socket(service), fake.handlers(), instance.state):
            ready.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(lambda: stop.set())
        thread.join()


def relay_status(*repositories: dict[str, Any], transports: list[Any] = (), peers: list[Any] = ()) -> dict[str, Any]:
    return {
        "pid": 7,
        "version": "1",
        "started": 1.0,
        "name": "laptop",
        "repositories": list(repositories),
        "transports": list(transports),
        "peers": list(peers),
    }


def relay_entry(path: Any, **changes: Any) -> dict[str, Any]:
    return {
        "path": str(path),
        "id": "abc",
        "state": "in sync",
        "reason": None,
        "remedy": None,
        "branch": "main",
        "head": None,
        "upstream": None,
        "ahead": 0,
        "behind": 0,
        "last_error": None,
        "last_sync": None,
        "progress": None,
    } | changes


def watcher_status(*repositories: dict[str, Any]) -> dict[str, Any]:
    return {"pid": 8, "version": "1", "started": 1.0, "repositories": list(repositories)}


def watcher_entry(path: Any, **changes: Any) -> dict[str, Any]:
    return {
        "path": str(path),
        "state": "watching",
        "reason": None,
        "remedy": None,
        "since": None,
        "dirty": 0,
        "pending": [],
        "directories": 1,
        "quarantined": [],
    } | changes
