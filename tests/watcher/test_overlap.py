"""Two pieces of work side by side."""

from __future__ import annotations

import asyncio

import pytest

from autosync.watcher.overlap import alongside, overlapped


def test_the_next_one_is_prepared_while_one_is_acted_on():
    order = []

    async def prepare(number):
        order.append(f"prepare {number}")
        await asyncio.sleep(0)
        return number

    async def act(number):
        order.append(f"begin {number}")
        for _ in range(3):
            await asyncio.sleep(0)
        order.append(f"end {number}")

    asyncio.run(overlapped(range(3), prepare, act))
    assert order == [
        "prepare 0",
        "prepare 1",
        "begin 0",
        "end 0",
        "prepare 2",
        "begin 1",
        "end 1",
        "begin 2",
        "end 2",
    ]


@pytest.mark.parametrize("failing", ["prepare", "act"])
def test_a_failure_of_either_ends_both(failing):
    ended = []

    async def prepare(number):
        if failing == "prepare" and number:
            raise ValueError("prepare")

    async def act(_):
        try:
            if failing == "act":
                raise ValueError("act")
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main():
        with pytest.raises(ValueError, match=failing):
            await overlapped(range(5), prepare, act)
        assert not await others()

    asyncio.run(main())
    assert ended in ([], [True])


async def others():
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_what_runs_alongside_is_waited_for_and_ended_with_the_block():
    done = []

    async def work():
        try:
            await asyncio.sleep(0)
            done.append("work")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            done.append("cancelled")
            raise

    async def short():
        done.append("short")

    async def failing():
        raise ValueError("work")

    async def main():
        async with alongside(short()):
            pass
        with pytest.raises(ValueError, match="block"):
            async with alongside(work()):
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                raise ValueError("block")
        with pytest.raises(ValueError, match="work"):
            async with alongside(failing()):
                pass
        with pytest.raises(ValueError, match="block"):
            async with alongside(failing()):
                await asyncio.sleep(0)
                raise ValueError("block")
        assert not await others()

    asyncio.run(main())
    assert done == ["short", "work", "cancelled"]
