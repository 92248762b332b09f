"""Each switch alone, and switching on again without a new change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.git import git
from tests.support.machines import Fleet, Machine, Service, command
from tests.support.wait import until


@pytest.fixture
def pair(tmp_path) -> Iterator[tuple[Fleet, Machine, Machine]]:
    """Two machines that hear each other over a reflector, at a first commit."""
    with Fleet(tmp_path) as fleet:
        text = f'[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
        a, b = fleet.add("a", sections=text), fleet.add("b", sections=text)
        for machine in (a, b):
            machine.start()
            machine.online("reflector")
        a.write("first.txt", "first\n")
        until(lambda: b.read("first.txt") == "first\n", "the first file")
        fleet.same()
        yield fleet, a, b


def central_head(fleet: Fleet) -> str:
    return git(fleet.central, "rev-parse", "main")


def state(machine: Machine) -> str:
    return machine.relay_status()["repositories"][0]["state"]


def rests(machine: Machine) -> None:
    """Let the relay look at everything there is, and wait until it has."""
    machine.run("autosync", "sync", check=False)


def test_watcher_off_only_commits_by_hand_travel(pair):
    _, a, b = pair
    a.stop("watcher")
    a.write("not-committed.txt", "x\n")
    a.commit("committed.txt", "1\n")
    until(lambda: b.read("committed.txt") == "1\n", "the commit by hand")
    assert b.read("not-committed.txt") is None
    a.start("watcher")
    until(lambda: b.read("not-committed.txt") == "x\n", "what was written meanwhile")


def test_a_commit_that_ran_no_hooks_travels_at_once(pair):
    _, a, b = pair
    a.stop("watcher")
    a.write("by-an-editor.txt", "1\n")
    a.git("add", "by-an-editor.txt")
    a.git("-c", "core.hooksPath=/dev/null", "commit", "-qm", "as libgit2 and JGit do")
    until(lambda: b.read("by-an-editor.txt") == "1\n", "the commit without hooks")


def test_relay_off_commits_stay_local(pair):
    fleet, a, b = pair
    a.stop("relay")
    before = central_head(fleet)
    a.write("local.txt", "1\n")
    until(lambda: a.clean() and a.head != before, "the commit")
    assert central_head(fleet) == before
    a.start("relay")
    until(lambda: b.read("local.txt") == "1\n", "what was committed meanwhile")


def reconfigure(machine: Machine, *changes: str) -> None:
    """Change settings; the services notice by themselves."""
    base = [
        line for line in machine.settings.splitlines() if line.split(" ")[0] not in {c.split(" ")[0] for c in changes}
    ]
    machine.configure(settings="\n".join([*base, *changes]))


def test_push_manual(pair):
    fleet, a, b = pair
    before = central_head(fleet)
    reconfigure(a, 'push = "manual"')
    until(lambda: state(a) == "in sync", "the relay to read it")
    a.write("f.txt", "1\n")
    until(lambda: state(a) == "ahead", "the relay to see the commit")
    assert central_head(fleet) == before
    (shown,) = a.status()["repositories"]
    assert shown["ahead"] == 1
    assert "push" in shown["remedy"]
    reconfigure(a, 'push = "auto"')
    until(lambda: b.read("f.txt") == "1\n", "the push after the switch")


def test_pull_notify(pair):
    _, a, b = pair
    reconfigure(b, 'pull = "notify"')
    a.write("f.txt", "1\n")
    until(lambda: state(b) == "behind", "b to know of it")
    assert b.read("f.txt") is None
    assert b.status()["repositories"][0]["behind"] == 1
    reconfigure(b, 'pull = "auto"')
    until(lambda: b.read("f.txt") == "1\n", "the pull after the switch")


def test_pull_never(pair):
    fleet, a, b = pair
    reconfigure(b, 'pull = "never"')
    rests(b)
    head = b.head
    a.write("f.txt", "1\n")
    until(lambda: central_head(fleet) != head, "a's push")
    rests(b)
    assert b.head == head
    assert b.read("f.txt") is None
    reconfigure(b, 'pull = "auto"')
    until(lambda: b.read("f.txt") == "1\n", "the pull after the switch")


def test_watch_false(pair):
    _, a, b = pair
    reconfigure(a, "watch = false")
    until(lambda: a.status()["repositories"][0]["watcher_state"] == "off", "the watcher to read it")
    a.write("edited.txt", "1\n")
    a.commit("committed.txt", "1\n")
    until(lambda: b.read("committed.txt") == "1\n", "the commit by hand")
    assert b.read("edited.txt") is None
    reconfigure(a, "watch = true")
    until(lambda: b.read("edited.txt") == "1\n", "what was written meanwhile")


def test_announce_false(pair):
    fleet, a, b = pair
    reconfigure(a, "announce = false")
    rests(a)
    a.write("f.txt", "1\n")
    head = until(lambda: a.clean() and central_head(fleet) == a.head and a.head, "a's push")
    rests(a)
    assert b.head != head
    reconfigure(a, "announce = true")
    rests(b)
    assert b.read("f.txt") == "1\n"


def test_pause_and_resume(pair):
    fleet, a, b = pair
    before = central_head(fleet)
    a.run("autosync", "pause", str(a.repo))
    a.write("f.txt", "1\n")
    b.write("from-b.txt", "1\n")
    until(lambda: central_head(fleet) != before, "b's push")
    assert a.run("autosync", "sync", check=False).returncode == 1
    assert a.read("from-b.txt") is None
    assert not a.clean()
    a.run("autosync", "resume", str(a.repo))
    until(lambda: b.read("f.txt") == "1\n" and a.read("from-b.txt") == "1\n", "both after the pause")


def test_the_first_commit_of_all_reaches_a_machine_that_waits_for_one(tmp_path):
    with Fleet(tmp_path, empty=True) as fleet:
        text = f'[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
        a, b = fleet.add("a", sections=text), fleet.add("b", sections=text)
        for machine in (a, b):
            machine.start()
            machine.online("reflector")
        a.write("f.txt", "1\n")
        until(lambda: b.read("f.txt") == "1\n", "the first commit")


def test_the_poll_makes_good_what_was_not_announced(tmp_path):
    with Fleet(tmp_path) as fleet:
        a, b = fleet.add("a", "poll = 1.0"), fleet.add("b", "poll = 1.0")
        for machine in (a, b):
            machine.configure(settings="settle = 0.0\npush-delay = 0.0\npoll = 1.0")
            machine.start()
        a.write("f.txt", "1\n")
        until(lambda: b.read("f.txt") == "1\n", "the poll")


def test_a_repository_is_added_and_removed_while_running(pair):
    fleet, a, _ = pair
    other = Path(a.folder / "other")
    git(a.folder, "init", "-q", "--bare", str(fleet.folder / "other.git"))
    git(a.folder, "clone", "-q", str(fleet.folder / "other.git"), str(other))
    a.run("autosync-install-hooks", str(other))
    settings = a.settings
    a.configure(settings=f'{settings}\n[[repository]]\npath = "{other}"\nsettle = 0.0\npush-delay = 0.0\n')
    until(lambda: len(a.relay_status()["repositories"]) == 2, "the relay to notice")
    (other / "f").write_text("1\n")
    until(lambda: git(fleet.folder / "other.git", "rev-parse", "-q", "--verify", "main", check=False), "the push")
    a.configure(settings=settings)
    until(lambda: len(a.relay_status()["repositories"]) == 1, "the relay to notice")
    a.write("still.txt", "1\n")
    fleet.same()


def test_a_second_configuration_is_a_second_instance(pair):
    """Side by side, and on the same repository even: its locks keep the two from hurting each other."""
    fleet, a, b = pair
    file = a.home / "second.toml"
    file.write_text(a.config.read_text().replace('name = "a"', 'name = "a again"'))
    second = {
        name: Service([command(f"autosync-{name}"), "--config", str(file)], a.env, a.folder / f"second-{name}.log")
        for name in ("watcher", "relay")
    }
    fleet.others += second.values()

    def status(*options: str) -> dict:
        return json.loads(a.run("autosync", *options, "status", "--json", check=False).stdout)

    until(lambda: status("--config", str(file))["repositories"][0]["state"] == "in sync", "the second instance")
    pids = {status(*options)[service]["pid"] for options in ((), ("--config", str(file))) for service in second}
    assert pids == {s.process.pid for s in [*second.values(), *a.services.values()]}
    for number in range(5):
        a.write(f"{number}.txt", "both see it\n")
        b.write("b.txt", f"{number}\n")
        until(lambda n=number: b.read(f"{n}.txt") and a.read("b.txt") == f"{n}\n", "both ways")
    fleet.same()
    done = a.run("autosync-relay", "--config", str(file), check=False)
    assert done.returncode == 1
    assert f"is running already for {file}" in done.stderr
    for service in second.values():
        assert service.stop() == 0
    a.write("still.txt", "the first goes on\n")
    until(lambda: b.read("still.txt"), "the first instance to go on")


def test_a_wrong_configuration_changes_nothing_while_running(pair):
    fleet, a, b = pair
    right = a.settings
    a.configure(settings=right + '\nsettel = "x"')
    until(lambda: a.relay_status()["config_error"], "the relay to notice")
    a.write("f.txt", "1\n")
    until(lambda: b.read("f.txt") == "1\n", "work to go on")
    a.configure(settings=right)
    until(lambda: not a.relay_status()["config_error"], "the relay to notice")
    fleet.same()


def test_a_configuration_that_is_a_link_is_noticed_where_it_is_written(tmp_path):
    with Fleet(tmp_path) as fleet:
        a = fleet.add("a")
        dotfiles = a.home / "dotfiles"
        dotfiles.mkdir()
        a.config.rename(dotfiles / "autosync.toml")
        a.config.symlink_to(dotfiles / "autosync.toml")
        a.start()

        def known() -> list[str | None]:
            (entry,) = json.loads(a.run("autosync", "status", "--json", check=False).stdout)["repositories"]
            return [entry["watcher_state"], entry["relay_state"]]

        until(lambda: known()[1] == "in sync", "the services")
        right = (dotfiles / "autosync.toml").read_text()
        for place in (dotfiles / "autosync.toml", dotfiles / "another.toml"):
            place.write_text(right + "settel = 1\n")
            if not a.config.samefile(place):
                (a.home / "new").symlink_to(place)
                (a.home / "new").rename(a.config)
            until(lambda: a.relay_status()["config_error"], "the relay to notice")
            place.write_text(right.replace(str(a.repo), str(a.home / "elsewhere")))
            until(lambda: known() == ["error", "error"], "both to notice")
            place.write_text(right)
            until(lambda: known()[1] == "in sync", "both to notice")


def test_a_new_repository_that_matches_a_pattern_is_noticed(tmp_path):
    with Fleet(tmp_path) as fleet:
        server = fleet.add("server", clone=False)
        server.repo = tmp_path / "srv" / "*.git"
        server.repo.parent.mkdir()
        git(tmp_path, "init", "-q", "--bare", "srv/one.git")
        server.configure()
        server.start("relay")
        git(tmp_path, "init", "-q", "--bare", "srv/two.git")
        until(lambda: len(server.relay_status()["repositories"]) == 2, "the new repository")
        # and one that is made a repository later, one that is renamed and one that is removed
        (tmp_path / "srv/three.git").mkdir()
        git(tmp_path / "srv/three.git", "init", "-q", "--bare")
        (tmp_path / "srv/one.git").rename(tmp_path / "srv/four.git")

        def shown() -> dict[str, str]:
            return {Path(r["path"]).name: r["state"] for r in server.relay_status()["repositories"]}

        names = {"two.git": "in sync", "three.git": "in sync", "four.git": "in sync"}
        until(lambda: shown() == names, "all that came")
        shutil.rmtree(tmp_path / "srv/two.git")
        del names["two.git"]
        until(lambda: shown() == names, "the one that went to be forgotten")
        fleet.machines.clear()
        server.stop()


def test_sync_answers_however_short_the_poll_is(pair):
    _, a, _ = pair
    reconfigure(a, "poll = 1.0")
    until(lambda: a.run("autosync", "sync").returncode == 0, "sync to answer")
