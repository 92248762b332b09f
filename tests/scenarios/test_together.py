"""Several machines, real services, each transport: whatever one does by any way reaches the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.git import git
from tests.support.machines import Fleet, Machine
from tests.support.prosody import Prosody
from tests.support.wait import until

TRANSPORTS = ("xmpp", "reflector", "sealed reflector", "both")


def sections(kind: str, folder: Path, fleet: Fleet, request: pytest.FixtureRequest) -> tuple[str, tuple[str, ...]]:
    """The configuration of a transport, with its server started, and the names of the transports."""
    text, names = "", []
    if kind in ("xmpp", "both"):
        server = Prosody(folder / "prosody")
        server.__enter__()
        request.addfinalizer(lambda: server.__exit__(None, None, None))
        server.add_account("rene", "secret")
        password = folder / "xmpp-password"
        password.write_text("secret\n")
        password.chmod(0o600)
        text += (
            f'[xmpp]\njid = "rene@localhost"\npassword-file = "{password}"\n'
            f'host = "127.0.0.1"\nport = {server.port}\nca-file = "{server.ca_file}"\n'
        )
        names.append("xmpp")
    if kind != "xmpp":
        text += f'[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
        names.append("reflector")
        if kind == "sealed reflector":
            secret = folder / "secret"
            secret.write_text("a long secret of the fleet\n")
            secret.chmod(0o600)
            text += f'secret-file = "{secret}"\n'
    return text, tuple(names)


@pytest.fixture(params=TRANSPORTS)
def trio(request, tmp_path) -> Iterator[tuple[Fleet, list[Machine], str, tuple[str, ...]]]:
    """Three machines, the third with pushes by hand, all in sync at a first commit; hooks on the central side."""
    with Fleet(tmp_path) as fleet:
        text, names = sections(request.param, tmp_path, fleet, request)
        machines = [
            fleet.add("a", sections=text),
            fleet.add("b", sections=text),
            fleet.add("c", 'push = "manual"', sections=text),
        ]
        for machine in machines:
            machine.start()
            machine.online(*names)
        machines[0].write("first.txt", "first\n")
        until(lambda: all(m.read("first.txt") == "first\n" for m in machines), "the first file")
        fleet.same()
        yield fleet, machines, text, names


def everywhere(machines: list[Machine], path: str, content: str | None) -> None:
    until(lambda: all(m.read(path) == content for m in machines), f"{path} on all machines")


def test_every_way_a_change_can_be_made_reaches_all(trio):
    fleet, machines, text, names = trio
    a, b, c = machines

    a.write("notes/edited.txt", "an edit\n")
    everywhere(machines, "notes/edited.txt", "an edit\n")

    b.commit("by hand.txt", "committed by hand\n")
    everywhere(machines, "by hand.txt", "committed by hand\n")

    c.commit("pushed.txt", "pushed by hand\n")
    c.git("push", "-q")
    everywhere(machines, "pushed.txt", "pushed by hand\n")

    # a clone that has never heard of autosync, through a server that has
    server = Machine(fleet.folder, "server", sections=text)
    fleet.machines.append(server)
    server.repo = fleet.central
    server.configure()
    server.run("autosync-install-hooks", str(fleet.central))
    server.start("relay")
    server.online(*names)
    # what moved before its first look of all it cannot know
    until(lambda: server.relay_status()["repositories"][0]["state"] == "in sync", "the server's first look")
    fleet.machines.remove(server)
    try:
        plain = fleet.folder / "plain"
        git(fleet.folder, "clone", "-q", str(fleet.central), str(plain))
        (plain / "plain.txt").write_text("from a plain clone\n")
        git(plain, "add", "plain.txt")
        git(plain, "commit", "-qm", "plain")
        git(plain, "push", "-q")
        everywhere(machines, "plain.txt", "from a plain clone\n")
        fleet.same()
    finally:
        server.stop()


AWKWARD = {
    "with space.txt": b"1",
    "new\nline": b"2",
    "-dash": b"3",
    os.fsdecode(b"not \xff utf-8"): b"4",
    "ünï/cödé": b"5",
    "empty": b"",
    "quote\"s'": b"6",
    "tab\tand\\back": b"7",
    "conflict<<<<<<<": b"<<<<<<< not a marker\n",
}


def tree(root: Path) -> dict[str, tuple[str, bytes]]:
    """Everything in a work tree: kind (with the executable bit), content or link target."""
    found = {}
    for folder, names, files in os.walk(root):
        names[:] = [n for n in names if n != ".git"]
        for name in files + [n for n in names if Path(folder, n).is_symlink()]:
            path = Path(folder, name)
            kind = (
                "link"
                if path.is_symlink()
                else "x"
                if os.access(path, os.X_OK) and path.stat().st_mode & 0o100
                else "-"
            )
            content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
            found[os.path.relpath(path, root)] = (kind, content)
    return found


@pytest.fixture
def pair(request, tmp_path) -> Iterator[tuple[Fleet, Machine, Machine]]:
    with Fleet(tmp_path) as fleet:
        text, names = sections("sealed reflector", tmp_path, fleet, request)
        a, b = fleet.add("a", sections=text), fleet.add("b", sections=text)
        for machine in (a, b):
            machine.start()
            machine.online(*names)
        a.write("first.txt", "first\n")
        until(lambda: b.read("first.txt") == "first\n", "the first file")
        yield fleet, a, b


def arrives(fleet: Fleet, a: Machine, b: Machine, what: str) -> None:
    until(lambda: a.clean() and a.head == b.head and tree(a.repo) == tree(b.repo), f"{what} to arrive")


def test_files_of_every_kind_arrive(pair):
    fleet, a, b = pair
    for name, content in AWKWARD.items():
        path = a.repo / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    arrives(fleet, a, b, "awkward names")
    assert set(AWKWARD) <= set(tree(b.repo))

    (a.repo / "link").symlink_to("with space.txt")
    (a.repo / "dangling").symlink_to("/nowhere/at all")
    (a.repo / "script").write_text("#!/bin/sh\n")
    (a.repo / "script").chmod(0o755)
    arrives(fleet, a, b, "links and an executable")
    assert os.readlink(b.repo / "dangling") == "/nowhere/at all"
    assert os.access(b.repo / "script", os.X_OK)

    (a.repo / "script").chmod(0o644)
    (a.repo / "link").unlink()
    (a.repo / "-dash").unlink()
    arrives(fleet, a, b, "deletions and a lost executable bit")
    assert b.read("-dash") is None

    (a.repo / "with space.txt").rename(a.repo / "renamed.txt")
    (a.repo / "ünï").rename(a.repo / "moved")
    arrives(fleet, a, b, "renames")
    assert b.read("moved/cödé") == "5"
    assert not (b.repo / "ünï").exists()


def test_a_conflict_keeps_both_versions_on_both_machines(pair):
    fleet, a, b = pair
    a.stop("relay")
    b.stop("relay")
    a.write("shared.txt", "from a\n")
    b.write("shared.txt", "from b\n")
    until(lambda: a.clean() and b.clean(), "both to commit")
    a.start("relay")
    b.start("relay")
    fleet.same()
    for machine in (a, b):
        copies = [p for p in tree(machine.repo) if ".conflict-" in p]
        assert len(copies) == 1
        assert {machine.read("shared.txt"), machine.read(copies[0])} == {"from a\n", "from b\n"}
    assert tree(a.repo) == tree(b.repo)


def test_a_second_start_says_that_one_is_running(pair):
    _, a, _ = pair
    for name in ("relay", "watcher"):
        done = a.run(f"autosync-{name}", check=False)
        assert done.returncode == 1
        assert "is running already" in done.stderr
        assert str(a.services[name].process.pid) in done.stderr


def test_services_stop_without_leaving_anything(pair):
    _, a, _ = pair
    for name in ("relay", "watcher"):
        assert a.services[name].stop() == 0
    left = list((a.repo / ".git").rglob("*.lock"))
    assert left == []
    assert not list((a.home / "run").rglob("*.socket"))
    a.services.clear()
    a.start()


def test_a_broken_repository_does_not_stop_another(tmp_path, request):
    with Fleet(tmp_path) as fleet:
        text, names = sections("reflector", tmp_path, fleet, request)
        a, b = fleet.add("a", sections=text), fleet.add("b", sections=text)
        broken = {}
        for name in ("gone", "corrupt", "rebasing", "noremote"):
            path = a.folder / name
            git(a.folder, "init", "-q", str(path))
            (path / "f").write_text("1\n")
            git(path, "add", "f")
            git(path, "commit", "-qm", "one")
            git(path, "remote", "add", "origin", str(a.folder / f"{name}-remote.git"))
            git(path, "config", "branch.main.remote", "origin")
            git(path, "config", "branch.main.merge", "refs/heads/main")
            broken[name] = path
        git(broken["noremote"], "remote", "remove", "origin")
        (broken["corrupt"] / ".git/refs/heads/main").write_text("not a commit\n")
        (broken["rebasing"] / ".git/rebase-merge").mkdir()
        import shutil

        shutil.rmtree(broken["gone"])
        more = "\n".join(f'[[repository]]\npath = "{path}"\npoll = 1.0\n' for path in broken.values())
        a.configure(settings=a.settings + "\n" + more)
        for machine in (a, b):
            machine.start()
            machine.online(*names)
        for number in range(3):
            a.write("ok.txt", f"{number}\n")
            until(lambda n=number: b.read("ok.txt") == f"{n}\n", "the sound repository to sync")
        shown = {Path(r["path"]).name: r for r in a.status()["repositories"]}
        assert shown["notes"]["state"] == "in sync"
        for name in broken:
            assert shown[name]["state"] != "in sync", shown[name]
            assert shown[name]["remedy"], shown[name]
