"""A watcher with nothing to do wakes up never."""

from __future__ import annotations

import asyncio
import json

from autosync.common.instance import Instance
from autosync.common.systemd import ServiceManager
from autosync.watcher.service import Watcher
from autosync.watcher.session import SAFETY_SCAN
from tests.support.git import git
from tests.support.wait import eventually


class Loop(asyncio.SelectorEventLoop):
    """Remembers its timers."""

    def __init__(self):
        super().__init__()
        self.timers = []

    def call_at(self, *args, **how):
        handle = super().call_at(*args, **how)
        self.timers = [timer for timer in self.timers if not timer.cancelled()] + [handle]
        return handle

    def waiting(self):
        """In how many seconds the timers that are set will fire."""
        now = self.time()
        return sorted(timer.when() - now for timer in self.timers if not timer.cancelled() and timer.when() > now)


def test_only_the_safety_scan_is_waited_for(tmp_path):
    roots = [tmp_path / name for name in ("one", "two")]
    config = tmp_path / "config.toml"
    config.write_text("".join(f"[[repository]]\npath = {json.dumps(str(root))}\nsettle = 0.1\n" for root in roots))
    for root in roots:
        root.mkdir()
        git(root, "init", "-q")
        (root / "f").write_text("1")

    async def main():
        watcher = Watcher(Instance.of(config), ServiceManager())
        running = asyncio.create_task(watcher.run())
        loop = asyncio.get_running_loop()

        async def idle():
            for root in roots:
                await eventually(lambda root=root: git(root, "log", "--format=%s", check=False) != "", "the commit")
            await eventually(at_rest, "no timer but those of the safety scan")

        def at_rest():
            waiting = loop.waiting()
            return len(waiting) == len(roots) and min(waiting) > SAFETY_SCAN / 2

        try:
            await idle()
            (roots[0] / "f").write_text("22")
            await eventually(lambda: git(roots[0], "show", "HEAD:f") == "22", "the edit")
            await idle()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
