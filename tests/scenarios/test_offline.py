"""Everything unreachable at the start, coming back one by one; nothing waits for the poll."""

from __future__ import annotations

import re
import socket

from tests.support.git import git
from tests.support.machines import Fleet, Service, command
from tests.support.prosody import Prosody
from tests.support.wait import until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_offline_at_the_start(tmp_path):
    with Fleet(tmp_path) as fleet, Prosody(tmp_path / "prosody") as server:
        server.add_account("rene", "secret")
        password = tmp_path / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        port = free_port()
        text = (
            f'[xmpp]\njid = "rene@localhost"\npassword-file = "{password}"\nhost = "127.0.0.1"\n'
            f'port = {server.port}\nca-file = "{server.ca_file}"\n[reflector]\nurl = "tcp://127.0.0.1:{port}"\n'
        )
        machines = [fleet.add(name, sections=text) for name in ("a", "b")]
        a, b = machines
        server.kill()
        away = fleet.central.with_suffix(".away")
        fleet.central.rename(away)
        for machine in machines:
            machine.start()
        a.write("a.txt", "from a\n")
        b.write("b.txt", "from b\n")
        for machine in machines:
            until(lambda m=machine: git(m.repo, "rev-parse", "-q", "--verify", "HEAD", check=False), "the commit")

        def unreachable() -> bool:
            shown = a.status()
            transports = {t["name"]: t for t in shown["transports"]}
            (repository,) = shown["repositories"]
            return bool(
                repository["last_error"]
                and repository["last_error_since"]
                and all(transports[n]["error"] and transports[n]["since"] for n in ("xmpp", "reflector"))
            )

        until(unreachable, "status to say what is unreachable")
        text = a.run("autosync", "status", check=False).stdout
        assert "origin is not there" in text
        assert len(re.findall(r"since \d\d:\d\d:\d\d", text)) == 3, text

        away.rename(fleet.central)
        both = {"a.txt", "b.txt"}
        until(
            lambda: both <= set(git(fleet.central, "ls-tree", "--name-only", "main", check=False).split()),
            "both to push when the remote is back",
        )

        server.start()
        for machine in machines:
            machine.online("xmpp")
        head = fleet.same("the machines to converge when they can hear each other")
        fleet.others.append(
            Service([command("autosync-reflector"), "--listen", f"127.0.0.1:{port}"], machine.env, tmp_path / "r.log")
        )
        for machine in machines:
            machine.online("reflector")
        a.write("again.txt", "heard\n")
        until(lambda: b.read("again.txt") == "heard\n", "an announcement after all are back")
        assert fleet.same("all to be equal") != head
        assert both <= {path.name for path in a.repo.iterdir()}


def test_an_announcement_lost_is_made_good_at_reconnect(tmp_path):
    with Fleet(tmp_path) as fleet:
        port = free_port()
        text = f'[reflector]\nurl = "tcp://127.0.0.1:{port}"\n'
        argv = [command("autosync-reflector"), "--listen", f"127.0.0.1:{port}"]
        machines = [fleet.add(name, sections=text) for name in ("a", "b")]
        a, b = machines
        reflector = Service(argv, a.env, tmp_path / "r1.log")
        for machine in machines:
            machine.start()
            machine.online("reflector")
        a.write("f.txt", "1\n")
        until(lambda: b.read("f.txt") == "1\n", "the first file")
        reflector.stop(9)
        for machine in machines:
            until(lambda m=machine: m.relay_status()["transports"][0]["state"] != "online", "the loss to be noticed")
        a.write("f.txt", "2\n")
        until(lambda: a.clean() and git(fleet.central, "rev-parse", "main") == a.head, "a's push")
        assert b.read("f.txt") == "1\n"
        fleet.others.append(Service(argv, a.env, tmp_path / "r2.log"))
        until(lambda: b.read("f.txt") == "2\n", "what was missed")


def test_with_two_transports_the_second_announcement_makes_no_work(tmp_path):
    with Fleet(tmp_path) as fleet, Prosody(tmp_path / "prosody") as server:
        server.add_account("rene", "secret")
        password = tmp_path / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        text = (
            f'[xmpp]\njid = "rene@localhost"\npassword-file = "{password}"\nhost = "127.0.0.1"\nport = {server.port}\n'
            f'ca-file = "{server.ca_file}"\n[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
        )
        a, b = fleet.add("a", sections=text), fleet.add("b", sections=text)
        for machine in (a, b):
            machine.start()
            machine.online("xmpp", "reflector")
        for number in range(5):
            a.write("f.txt", f"{number}\n")
            until(lambda n=number: b.read("f.txt") == f"{n}\n", "the file")
            fleet.same()
        log = b.run("autosync", "log", "--json").stdout
        assert log.count('"fetch"') <= 6
