"""A `.autosync.toml` with mistakes comes in from another machine: it stops nobody."""

from __future__ import annotations

import pytest

from tests.support.machines import Fleet
from tests.support.wait import until


@pytest.mark.parametrize("wrong", ["exclude = [", 'message-command = ["touch", "/tmp/owned"]', 'message = "\\u0000"'])
def test_a_fetched_file_with_mistakes_stops_nothing(tmp_path, wrong):
    with Fleet(tmp_path) as fleet:
        text = f'[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
        a, b = fleet.add("a", sections=text), fleet.add("b", sections=text)
        for machine in (a, b):
            machine.start().online("reflector")
        a.write(".autosync.toml", 'exclude = ["*.secret"]\n')
        until(lambda: b.read(".autosync.toml") is not None, "the settings")
        fleet.same()

        a.write(".autosync.toml", wrong)
        until(lambda: b.read(".autosync.toml") == wrong, "the wrong settings")

        def shown() -> str:
            repository = b.status()["repositories"][0]
            return (repository["state"] == "in sync" and repository["reason"]) or ""

        until(lambda: ".autosync.toml" in shown(), "status to name the file")
        # and after a start that finds it so
        b.stop()
        b.start().online("reflector")
        until(lambda: ".autosync.toml" in shown(), "status to name the file after a restart")
        b.write("mine.secret", "what the settings before it leave out\n")
        b.write("from b.txt", "1\n")
        until(lambda: a.read("from b.txt") == "1\n", "b's file")
        assert b.git("ls-files", "mine.secret") == ""

        # nobody has to do anything on b for the correction to come
        a.write(".autosync.toml", "settle = 0.0\n")
        until(lambda: a.read("mine.secret"), "what is left out no longer")
        until(lambda: b.status()["repositories"][0]["reason"] is None, "the complaint to end")
        fleet.same()
