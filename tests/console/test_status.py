"""`autosync status`: what it says with and without services, and how it looks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from rich.console import Console

from autosync.common import folding
from autosync.console.fleet import FleetTable
from autosync.console.survey import survey
from autosync.console.table import StatusTable
from tests.console.fake import relay_entry, relay_status, running, watcher_entry, watcher_status
from tests.support.git import git

REPOSITORY_KEYS = {
    "path", "id", "state", "reason", "remedy", "branch", "head", "upstream", "ahead", "behind", "last_error",
    "last_error_since", "last_sync", "progress", "bare", "dirty", "pending", "quarantined", "watcher_state",
    "relay_state", "conflicts",
}  # fmt: skip


def status(machine):
    code, out, _ = machine.run("status", "--json")
    assert code == 0
    return json.loads(out)


def test_the_shape_for_scripts_is_the_same_with_and_without_services(machine):
    without = status(machine)
    with (
        running(machine.instance, "watcher", {"status": watcher_status(watcher_entry(machine.notes))}),
        running(machine.instance, "relay", {"status": relay_status(relay_entry(machine.notes))}),
    ):
        alive = status(machine)
    for data in (without, alive):
        assert set(data) == {
            "name", "config", "config_error", "watcher", "relay", "repositories", "transports", "peers", "fleet"
        }  # fmt: skip
        assert set(data["watcher"]) == {"alive", "wanted", "pid", "version", "started", "error", "remedy"}
        assert set(data["repositories"][0]) == REPOSITORY_KEYS
    assert (without["watcher"]["alive"], alive["watcher"]["alive"]) == (False, True)
    assert alive["relay"]["pid"] == 7
    assert alive["repositories"][0]["state"] == "in sync"


def test_without_services_it_looks_itself(machine):
    git(machine.notes, "commit", "-q", "--allow-empty", "-m", "second")
    (machine.notes / "new file").write_text("x")
    data = status(machine)
    (found,) = data["repositories"]
    assert found["state"] == "relay not running"
    assert found["branch"] == "main"
    assert found["upstream"] == "origin/main"
    assert found["head"] == git(machine.notes, "rev-parse", "HEAD")
    assert (found["ahead"], found["behind"], found["dirty"]) == (1, 0, 1)
    assert "autosync-relay" in found["remedy"]
    assert data["watcher"]["error"] == "the watcher is not running"


def test_what_takes_long_is_shown_whoever_is_at_it(machine):
    slow = {"state": "syncing", "progress": "pushing to origin: writing objects 42 % of 1,000, 1.20 MiB, 3.40 MiB/s"}
    busy = {"progress": "reading folders: 12,345 so far"}
    with running(machine.instance, "watcher", {"status": watcher_status(watcher_entry(machine.notes, **busy))}):
        with running(machine.instance, "relay", {"status": relay_status(relay_entry(machine.notes, **slow))}):
            _, out, _ = machine.run("status")
            assert f"   {slow['progress']}\n" in out
        assert status(machine)["repositories"][0]["progress"] == busy["progress"]


def test_with_only_the_relay_running_the_missing_watcher_is_told(machine):
    with running(machine.instance, "relay", {"status": relay_status(relay_entry(machine.notes))}):
        assert status(machine)["repositories"][0]["state"] == "watcher not running"


def test_a_service_that_is_not_wanted_is_not_missed(machine):
    machine.config.write_text(machine.config.read_text() + 'watch = false\npush = "manual"\npull = "never"\n')
    machine.config.write_text(machine.config.read_text() + "announce = false\n")
    assert status(machine)["repositories"][0]["state"] == "in sync"
    git(machine.notes, "commit", "-q", "--allow-empty", "-m", "second")
    assert status(machine)["repositories"][0]["state"] == "ahead"


@pytest.mark.parametrize("wanted", ['push = "auto"', 'pull = "auto"', 'pull = "notify"', "announce = true"])
def test_each_task_of_the_relays_alone_makes_it_missed(machine, wanted):
    off = {"watch": "false", "push": '"manual"', "pull": '"never"', "announce": "false"}
    key, _, value = wanted.partition(" = ")
    lines = [f"{k} = {v}" for k, v in (off | {key: value}).items()]
    machine.config.write_text("\n".join([machine.config.read_text(), *lines]))
    assert status(machine)["repositories"][0]["state"] == "relay not running"


@pytest.mark.parametrize(
    ("relay", "watcher", "state", "reason"),
    [
        ({}, {}, "in sync", None),
        ({"state": "error", "reason": "disk full", "remedy": "make room"}, {}, "error", "disk full"),
        ({}, {"state": "held", "reason": "a merge is under way", "remedy": "end it"}, "held", "a merge is under way"),
        ({"state": "syncing"}, {"state": "held", "reason": "why", "remedy": "do"}, "held", "why"),
        ({"state": "offline", "reason": "no net"}, {"state": "held", "reason": "why"}, "offline", "no net"),
    ],
)
def test_what_matters_most_is_told(machine, relay, watcher, state, reason):
    with (
        running(machine.instance, "watcher", {"status": watcher_status(watcher_entry(machine.notes, **watcher))}),
        running(machine.instance, "relay", {"status": relay_status(relay_entry(machine.notes, **relay))}),
    ):
        (found,) = status(machine)["repositories"]
    assert (found["state"], found["reason"]) == (state, reason)


def test_last_error_is_a_text(machine):
    error = {"what": "origin cannot be reached", "remedy": "tried again by itself", "since": 12.0}
    entry = relay_entry(machine.notes, last_error=error)
    with running(machine.instance, "relay", {"status": relay_status(entry)}):
        (found,) = status(machine)["repositories"]
    assert found["last_error"] == "origin cannot be reached"
    assert found["last_error_since"] == 12.0


def test_a_missing_repository_does_not_hide_the_others(machine):
    machine.config.write_text(machine.config.read_text() + '[[repository]]\npath = "~/gone"\n')
    notes, gone = status(machine)["repositories"]
    assert notes["branch"] == "main"
    assert (gone["state"], gone["branch"]) == ("error", None)
    assert gone["last_error"].endswith("is not there")
    assert gone["remedy"]


def test_while_the_configuration_is_wrong_what_runs_is_shown(machine):
    machine.config.write_text("nam = 1")
    code, _, err = machine.run("status")
    assert code == 1
    assert "did you mean 'name'?" in err
    with running(machine.instance, "relay", {"status": relay_status(relay_entry(machine.notes))}):
        data = status(machine)
        assert "nam: unknown key" in data["config_error"]
        assert [r["path"] for r in data["repositories"]] == [str(machine.notes)]
        assert "nam: unknown key" in machine.run("status")[1]


def test_a_service_that_does_not_answer_is_told_apart(machine):
    class Broken:
        def __call__(self, request):
            raise ValueError("no")

    with running(machine.instance, "relay", {"status": Broken()}):
        data = status(machine)
    assert not data["relay"]["alive"]
    assert "a bug in autosync" in data["relay"]["error"]


def test_the_table_fits_80_columns_and_says_what_to_do(machine):
    long_name = "a-folder-with-a-name-that-does-not-fit-" * 2
    git(machine.notes.parent, "init", "-q", "-b", "a-branch-with-a-long-name", long_name)
    machine.config.write_text(machine.config.read_text() + f'[[repository]]\npath = "~/{long_name}"\n')
    other = machine.notes.parent / long_name
    remedy = f"in {other}: git rebase --continue, or git rebase --abort"
    diverged = {"state": "diverged", "reason": "stop is set", "ahead": 3, "behind": 1200, "upstream": "origin/main"}
    held = {"state": "held", "reason": "a rebase is under way", "remedy": remedy}
    transports = [{"name": "xmpp", "state": "online", "since": 10.0, "error": None, "remedy": None, "dropped": 0}]
    peers = [{"name": "desk\n", "address": "a@b/c", "transport": "xmpp", "last_heard": 20.0}]
    relay = relay_status(
        relay_entry(machine.notes, **diverged), relay_entry(other, **held), transports=transports, peers=peers
    )
    quarantined = [{"path": "big\nfile", "reason": "larger than 50 MB", "remedy": "raise max-file-size"}]
    watcher = watcher_status(watcher_entry(machine.notes, quarantined=quarantined, dirty=2), watcher_entry(other))
    with (
        running(machine.instance, "relay", {"status": relay}),
        running(machine.instance, "watcher", {"status": watcher}),
    ):
        data = survey(machine.instance)
    console = Console(width=80, markup=False, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(StatusTable(80, 1000.0, machine.notes.parent).render(data))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(line.rstrip() for line in lines)
    assert "~/notes" in text
    assert "diverged, 3 to push, 1,200 to pull, 2 changed files, 1 file held back" in " ".join(text.split())
    assert "a rebase is under way" in text
    assert "git rebase --abort" in " ".join(text.split())
    assert "big\\nfile: larger than 50 MB" in text
    assert "desk\\n (16 min ago)" in text
    assert "2 of 2 need you" in text


def picture(machine, data) -> str:
    console = Console(width=80, markup=False, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(StatusTable(80, 1000.0, machine.notes.parent).render(data))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(map(len, lines)) <= 80
    return "\n".join(lines)


@pytest.fixture
def alive(machine):
    """Both services run, and all is well."""
    with (
        running(machine.instance, "watcher", {"status": watcher_status(watcher_entry(machine.notes))}),
        running(machine.instance, "relay", {"status": lambda _: machine.relay}),
    ):
        machine.relay = relay_status(relay_entry(machine.notes))
        yield machine


def test_conflict_copies_are_shown_until_they_are_deleted(alive):
    notes = alive.notes
    for name in ("todo.md", "todo.conflict-1a2b3c4.md", "about.conflict-resolution.md"):
        (notes / name).write_text("x")
    assert survey(alive.instance)["repositories"][0]["conflicts"] == []
    git(notes, "add", "-A")
    (found,) = survey(alive.instance)["repositories"]
    assert found["conflicts"] == [{"path": "todo.conflict-1a2b3c4.md", "of": "todo.md"}]
    text = picture(alive, survey(alive.instance))
    assert "≠  ~/notes  main  in sync, 1 conflict copy" in text
    assert "git -C ~/notes diff --no-index -- todo.md todo.conflict-1a2b3c4.md" in " ".join(text.split())
    assert text.endswith("1 conflict copy to look through")
    (notes / "todo.conflict-1a2b3c4.md").unlink()
    assert picture(alive, survey(alive.instance)).endswith("all in sync")


def test_the_last_line_tells_of_what_else_needs_the_person(alive):
    failed = {"name": "xmpp", "state": "failed", "since": 1.0, "error": "readable", "remedy": "chmod 600", "dropped": 0}
    alive.relay["transports"] = [failed]
    assert picture(alive, survey(alive.instance)).endswith("\nxmpp needs you")
    alive.config.write_text("nam = 1")
    text = picture(alive, survey(alive.instance))
    assert text.endswith("\nthe configuration has to be corrected, xmpp needs you")
    assert "did you mean 'name'?" in text


def fleet_word(machine, name: str, head: str, **changes) -> dict:
    word = {"machine": name, "path": str(machine.notes), "ref": "refs/heads/main", "head": head}
    return word | {"last_heard": 940.0, "seconds": 0.42, "silent": False} | changes


def test_the_fleet_view_shows_each_machine_and_how_far_behind_it_is(alive):
    old = git(alive.notes, "rev-parse", "HEAD")
    for number in range(3):
        git(alive.notes, "commit", "-q", "--allow-empty", "-m", f"{number}")
    git(alive.notes, "push", "-q")
    new = git(alive.notes, "rev-parse", "HEAD")
    alive.relay["fleet"] = [
        fleet_word(alive, "desk", new),
        fleet_word(alive, "server-with-a-name-that-is-much-too-long-for-a-table", old, seconds=None),
        fleet_word(alive, "phone", "f" * 40),
    ]
    data = survey(alive.instance)
    assert [word["behind"] for word in data["fleet"]] == [0, 3, None]
    rows = fleet_picture(alive, data)
    assert "3 behind" in rows["serve"]
    assert "up to date" in rows["desk"]
    assert "1970" not in rows["desk"]
    assert rows["desk"].endswith("0.42 s")
    assert "newer than here" in rows["phone"]
    assert "this machine" in rows["lapto"]
    assert "behind" in fleet_text(alive, data).splitlines()[-1]
    assert picture(alive, data).endswith("all in sync")


def fleet_text(machine, data) -> str:
    console = Console(width=80, markup=False, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(FleetTable(80, 1000.0, machine.notes.parent).render(data))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(map(len, lines)) <= 80
    return "\n".join(lines)


def fleet_picture(machine, data) -> dict[str, str]:
    return {line[3:8].strip(): line for line in fleet_text(machine, data).splitlines()}


def test_a_silent_machine_is_told_of_everywhere(alive):
    alive.relay["fleet"] = [fleet_word(alive, "desk", git(alive.notes, "rev-parse", "HEAD"), silent=True)]
    data = survey(alive.instance)
    assert picture(alive, data).endswith("desk is silent (autosync status --peers)")
    assert "autosync peers forget NAME" in " ".join(fleet_text(alive, data).split())
    assert "silent" in fleet_picture(alive, data)["desk"]
    code, out, _ = alive.run("status", "--peers")
    assert code == 0
    assert "save to visible" in out


def test_a_machine_is_forgotten_by_the_relay(machine):
    with running(machine.instance, "relay", {"forget": {}}) as relay:
        code, out, _ = machine.run("peers", "forget", "desk")
    assert (code, out) == (0, "desk is forgotten\n")
    assert relay.asked == [{"command": "forget", "machine": "desk"}]


def test_without_a_relay_the_fleet_view_says_so(machine):
    assert "the relay is not running" in machine.run("status", "--peers")[1]


def test_paths_in_remedies_are_written_like_those_above_them(alive):
    alive.relay = relay_status(relay_entry(alive.notes, state="held", reason="why", remedy=f"git -C {alive.notes} gc"))
    assert "→ git -C ~/notes gc" in picture(alive, survey(alive.instance))


def test_nothing_is_coloured_or_padded_when_piped(machine):
    machine.config.write_text(machine.config.read_text() + '[[repository]]\npath = "~/gone"\n')
    command = [sys.executable, "-c", "from autosync.console.main import main; main()", "--config", machine.config]
    piped = subprocess.run([*command, "status"], capture_output=True, check=True)
    assert b"\x1b" not in piped.stdout
    assert b"relay not running" in piped.stdout
    assert not [line for line in piped.stdout.splitlines() if line.endswith(b" ")]


def test_where_only_ascii_fits_only_ascii_is_printed(machine, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    command = [sys.executable, "-c", "from autosync.console.main import main; main()", "--config", machine.config]
    done = subprocess.run([*command, "status"], capture_output=True, check=True)
    assert "\n!  ~/notes" in done.stdout.decode("ascii")
    assert "   -> start it with" in done.stdout.decode("ascii")
    assert b"?" not in done.stdout


def test_help_shows_every_command_without_importing_any():
    code = "import sys\nfrom autosync.console.main import main\nmain(['--help'])\nprint(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ("init", "status", "sync", "pause", "resume", "log", "doctor", "demo"):
        assert f"\n  {name} " in done.stdout
    for heavy in ("rich", "pygit2", "pydantic", "autosync.console.survey"):
        assert f"'{heavy}'" not in done.stdout


def test_a_pause_that_nobody_has_made_needs_the_person(machine):
    mark = machine.notes / ".git" / "autosync" / "paused"
    mark.parent.mkdir(exist_ok=True)
    with (
        running(machine.instance, "watcher", {"status": watcher_status(watcher_entry(machine.notes))}),
        running(machine.instance, "relay", {"status": relay_status(relay_entry(machine.notes))}),
    ):
        mark.touch()
        _, out, _ = machine.run("status")
        assert "paused\n   → autosync resume ~/notes\n" in out
        assert "paused by hand" not in out
        assert out.endswith("nothing needs you\n")
        mark.write_text("another repository is here now\n")
        _, out, _ = machine.run("status")
    assert "   another repository is here now\n   → autosync resume ~/notes\n" in out
    assert out.endswith("1 needs you\n")


@pytest.mark.parametrize("width", [48, 62, 80, 120])
def test_nothing_is_cut_off_or_runs_over_at_any_width(alive, width):
    data = survey(alive.instance)
    (entry,) = data["repositories"]
    names = ["/srv/" + "日本語のとても長い名前" * 4, "/srv/" + "long-" * 30, "/srv/caf\udce9"]
    data["repositories"] = [entry | {"path": name, "state": "offline", "reason": "no net " * 30} for name in names]
    data["transports"] = [{"name": "xmpp", "state": "online", "since": 10.0, "error": None, "remedy": None}]
    peer = {"address": "a@b/c", "transport": "xmpp", "last_heard": 20.0, "version": "0.1.0"}
    data["peers"] = [peer | {"name": f"machine-{number}"} for number in range(5)]
    data["fleet"] = [
        {"machine": name, "path": names[2], "ref": "refs/heads/main", "head": "a" * 40, "behind": 12345}
        | {"silent": False, "last_heard": 20.0, "seconds": 1.5}
        for name in ("desk", "機械機械機械機械機械機械機械機械機械", "a-machine-with-a-very-long-name")
    ]
    console = Console(width=width, markup=False, highlight=False, force_terminal=False)
    for table in (StatusTable, FleetTable):
        with console.capture() as capture:
            console.print(table(width, 1000.0, alive.notes.parent).render(data))
        lines = [line.rstrip() for line in capture.get().splitlines()]
        assert max(map(folding.columns, lines)) <= width
        # the tables leave out a column rather than cutting its words
        assert not any(line.endswith("…") for line in lines)
        if table is FleetTable:
            assert sum("12,345 behind" in line for line in lines) == 3
        else:
            assert sum("offline" in line for line in lines) == 3
            assert "machine-4 (0.1.0" in " ".join(" ".join(lines).split())


def test_what_has_no_work_is_not_missed(machine):
    machine.config.write_text('[[repository]]\npath = "~/central.git"\n')
    with running(machine.instance, "relay", {"status": relay_status(relay_entry(machine.central))}):
        _, out, _ = machine.run("status")
        assert "watcher not needed" in out
        assert out.endswith("all in sync\n")
        assert "not running" not in out
    _, out, _ = machine.run("status")
    assert "relay not running" in out
    machine.config.write_text('[[repository]]\npath = "~/notes"\npush = "manual"\npull = "never"\nannounce = false\n')
    _, out, err = machine.run("status")
    assert "watcher not running" in out, err
    assert "relay not needed" in out
