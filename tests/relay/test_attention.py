"""How often others can make a repository look."""

from __future__ import annotations

import asyncio

import pytest

from autosync.relay.announcement import Announcement
from autosync.relay.attention import Attention
from tests.relay.reflector.clock import run_jumping


class Repository:
    """Stands where a worker is. ``known`` commits make no work; looks are noted with their time."""

    def __init__(self) -> None:
        self.looks: list[float] = []
        self.asked = 0
        self.known: set[str] = set()
        self.news = 0

    def heard(self, announcement: Announcement) -> bool:
        self.asked += 1
        if announcement.commit in self.known:
            return False
        self.fetch_hint()
        return True

    def fetch_hint(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.looks or self.looks[-1] != now:  # what comes at one moment is one look
            self.looks.append(now)


def hint(number: int) -> Announcement:
    return Announcement("pushed", "notes", "refs/heads/main", f"{number:040x}", "desk")


@pytest.mark.parametrize("what", ["forged", "forged with looks", "known"])
def test_a_flood_is_one_look_a_second(what):
    async def body():
        repository = Repository()
        attention = Attention(repository)
        began = asyncio.get_running_loop().time()
        if what == "known":
            repository.known = {hint(1).commit}
        for second in range(10):
            for number in range(10_000):
                if number % 100 == 0:
                    await asyncio.sleep(0)
                attention.hear(hint(1) if what == "known" else hint(second * 10_000 + number))
                if what == "forged with looks":
                    attention.hear(None)
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        gaps = [b - a for a, b in zip(repository.looks, repository.looks[1:], strict=False)]
        assert (what != "known") <= len(repository.looks) <= 11
        assert all(gap >= 1 for gap in gaps)
        # and then there is rest
        assert not repository.looks or repository.looks[-1] <= began + 12
        assert repository.asked <= 41 + 20 * 11
        assert attention._waiting == {}

    run_jumping(body())


def test_hints_that_prove_true_are_all_taken_in_at_once():
    async def body():
        repository = Repository()
        attention = Attention(repository)
        for number in range(10):
            now = asyncio.get_running_loop().time()
            attention.hear(hint(number))
            assert repository.looks[-1] == now
            repository.news += 1  # the look found it
            attention.changed()
            await asyncio.sleep(0.1)

    run_jumping(body())


def test_what_came_during_a_look_is_taken_in_when_it_has_found_something():
    async def body():
        repository = Repository()
        attention = Attention(repository)
        attention.hear(hint(1))
        await asyncio.sleep(0.01)
        attention.hear(hint(1))
        attention.hear(hint(2))
        assert repository.asked == 1
        repository.known = {hint(1).commit, hint(2).commit}
        repository.news += 1
        attention.changed()
        assert repository.asked == 3
        assert len(repository.looks) == 1
        # a change that is no news opens nothing
        attention.hear(hint(3))
        attention.hear(hint(4))
        attention.changed()
        assert repository.asked == 4

    run_jumping(body())


def test_a_commit_that_is_not_here_is_looked_for_among_many_that_are():
    async def body():
        repository = Repository()
        repository.known = {hint(number).commit for number in range(20)}
        attention = Attention(repository)
        attention.hear(hint(100))
        for number in (*range(20), 101):
            attention.hear(hint(number))
        await asyncio.sleep(1.5)
        assert len(repository.looks) == 2
        # and that look is one like any other: the next waits
        for number in (1, 102):
            attention.hear(hint(number))
        await asyncio.sleep(1)
        assert len(repository.looks) == 3
        attention.hear(hint(103))
        assert len(repository.looks) == 3
        await asyncio.sleep(1.5)
        assert len(repository.looks) == 4

    run_jumping(body())


def test_nothing_is_left_of_one_that_is_closed():
    async def body():
        repository = Repository()
        attention = Attention(repository)
        attention.hear(None)
        attention.hear(None)
        attention.close()
        await asyncio.sleep(5)
        assert len(repository.looks) == 1

    run_jumping(body())
