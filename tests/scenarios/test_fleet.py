"""What each machine knows of the others: which commit they have, how long a file took, and who is silent."""

from __future__ import annotations

from tests.support.machines import Fleet
from tests.support.wait import until


def test_each_machine_knows_where_the_others_are_and_who_is_silent(tmp_path):
    with Fleet(tmp_path) as fleet:
        sections = f'[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
        laptop = fleet.add("laptop", "silent-after = 1.0\n", sections)
        desk = fleet.add("desk", "silent-after = 1.0\n", sections)
        for machine in (laptop, desk):
            machine.start().online("reflector")
        laptop.write("todo.md", "one\n")
        head = fleet.same()

        def word() -> dict:
            return next((w for w in laptop.relay_status()["fleet"] if w["machine"] == "desk"), {})

        until(lambda: laptop.head == desk.head != "" and word().get("head") == laptop.head, "desk's word")
        until(lambda: word()["seconds"] is not None or laptop.head != head, "the time that it took")
        (found,) = [w for w in laptop.status()["fleet"] if w["machine"] == "desk"]
        assert found["behind"] == 0
        desk.stop("relay")
        until(lambda: word()["silent"], "the alarm")
        assert "desk is silent" in laptop.run("autosync", "status").stdout
        assert "desk" in laptop.run("autosync", "status", "--peers").stdout
        desk.start("relay")
        until(lambda: not word()["silent"], "the end of the alarm")
        desk.stop("relay")
        laptop.run("autosync", "peers", "forget", "desk")
        until(lambda: not word(), "desk to be forgotten")
