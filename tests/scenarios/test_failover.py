"""Several reflectors: what one cannot carry the others do, in whatever order, and nothing waits for a dead one."""

from __future__ import annotations

import signal
import socket

from tests.support.machines import Fleet
from tests.support.wait import until


def test_a_dead_and_a_frozen_reflector_delay_nothing_that_a_living_one_carries(tmp_path):
    with socket.socket() as closed, Fleet(tmp_path) as fleet:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        ports = {"dead": closed.getsockname()[1], "first": fleet.reflector(), "second": fleet.reflector()}
        first, second = (service.process for service in fleet.others)
        text = "".join(
            f'[[transport]]\ntype = "reflector"\nurl = "tcp://127.0.0.1:{port}"\n' for port in ports.values()
        )
        laptop, desk = machines = [fleet.add(name, sections=text) for name in ("laptop", "desk")]
        for machine in machines:
            machine.start()
        names = [one["name"] for one in laptop.relay_status()["transports"]]
        dead, *others = names

        def told(machine: object, name: str) -> dict:
            return next(one for one in machine.relay_status()["transports"] if one["name"] == name)

        def travels(content: str) -> None:
            laptop.write("file", content)
            until(lambda: desk.read("file") == content, f"{content} to arrive by an announcement")

        for machine in machines:
            machine.online(*others)
        travels("all")
        first.send_signal(signal.SIGSTOP)
        try:
            for number in range(5):
                travels(f"frozen {number}")
            # the living one has told of all that, while the frozen one still passes for online
            for machine in machines:
                until(lambda m=machine: told(m, others[0])["state"] != "online", "the silence to be noticed", 60)
            travels("noticed")
            for machine in machines:
                assert told(machine, others[1])["state"] == "online"
                for name, port, words in ((dead, ports["dead"], "nothing listens"), (others[0], ports["first"], "")):
                    health = told(machine, name)
                    assert health["state"] in ("offline", "connecting")
                    assert str(port) in health["error"] or "silent" in health["error"]
                    assert words in health["error"]
                    assert health["remedy"]
            shown = laptop.run("autosync", "status", check=False).stdout
            assert all(name in shown for name in names)
        finally:
            first.send_signal(signal.SIGCONT)
        for machine in machines:
            machine.online(others[0])
        second.kill()
        travels("the other way round")
