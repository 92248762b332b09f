"""Moving branch and index to a new commit."""

from __future__ import annotations

import asyncio

import pytest

from autosync.watcher.publish import Publisher


def test_trouble_at_the_end_does_not_keep_a_watcher_from_stopping(tmp_path, monkeypatch):
    """Who is cancelled in the middle of the switch ends after it, however that ended."""

    async def body() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def switch(*_: object) -> None:
            begun.set()
            await go_on.wait()
            raise OSError(5, "the disk failed")

        monkeypatch.setattr(Publisher, "_switch", switch)
        task = asyncio.create_task(Publisher(None, None, -1, 1.0).publish(None, tmp_path, ""))
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
