"""What git's progress says, and what is made of it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autosync.common import progress
from autosync.common.progress import Meter, accompanied, parse


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "Receiving objects:  42% (420/1000), 1.20 MiB | 3.40 MiB/s",
            "receiving objects 42 % of 1,000, 1.20 MiB, 3.40 MiB/s",
        ),
        (
            "Writing objects: 100% (3/3), 512 bytes | 512.00 KiB/s, done.",
            "writing objects 100 % of 3, 512 bytes, 512.00 KiB/s",
        ),
        ("remote: Compressing objects:   5% (5/100)        ", "compressing objects 5 % of 100"),
        ("Enumerating objects: 123456, done.", "enumerating objects 123,456"),
        ("remote: Counting objects: 7", "counting objects 7"),
        ("Updating files:  20% (1/5)", "updating files 20 % of 5"),
        ("Receiving objects:   1% (1/100), 2.00 GiB", "receiving objects 1 % of 100, 2.00 GiB"),
        ("Filtering content: 50% (1/2), 9.00 MiB | 1.00 MiB/s", "filtering content 50 % of 2, 9.00 MiB, 1.00 MiB/s"),
        ("From ssh://server/srv/notes.git", None),
        ("remote: Total 3 (delta 0), reused 0 (delta 0), pack-reused 0", None),
        ("Receiving objects:  4", "receiving objects 4"),
        ("", None),
    ],
)
def test_a_line_of_git(line, text):
    assert parse(line) == text


@given(st.text())
def test_any_line_is_read_without_trouble(line):
    parse(line)
    parse(f"Receiving objects: {line}")


def test_quick_work_needs_no_word():
    now = [100.0]
    meter = Meter(lambda: now[0])
    assert meter.text is None
    with meter.during("pushing to origin"):
        meter.said("Writing objects:  42% (420/1000), 1.20 MiB | 3.40 MiB/s")
        now[0] += 0.9
        assert meter.text is None
        now[0] += 0.2
        assert meter.text == "pushing to origin: writing objects 42 % of 1,000, 1.20 MiB, 3.40 MiB/s"
        meter.said("To ssh://server/notes.git")
        now[0] += 10.4
        assert meter.text == "pushing to origin, 12 s"
    assert meter.text is None
    with meter.during("reading folders", lambda: "7 so far"):
        now[0] += 2
        assert meter.text == "reading folders: 7 so far"


def test_who_waits_is_told_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.001)

    async def run() -> None:
        looks: list[int] = []
        enough = asyncio.Event()

        def look() -> None:
            looks.append(1)
            if len(looks) == 3:
                enough.set()

        async def work() -> str:
            await enough.wait()
            return "done"

        assert await accompanied(work(), look) == "done"
        never = asyncio.ensure_future(asyncio.Event().wait())
        waiting = asyncio.ensure_future(accompanied(never, lambda: None))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting, never])
        assert never.cancelled()

    asyncio.run(run())
