"""Hearing of pushes over ssh: a far side that is asked for, that is not there, that is hostile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autosync.relay.failures import PAUSES, Kind
from autosync.relay.remote import Place, Tracked
from autosync.relay.transports.base import Subscription
from autosync.relay.transports.ssh import SshTransport
from autosync.relay.transports.ssh_line import Line, argv
from tests.support.git import git
from tests.support.sshd import Sshd
from tests.support.wait import eventually

from .listener import Recorder

BRANCH = "refs/heads/main"
BIN = Path(sys.executable).parent


@pytest.fixture
def central(tmp_path):
    folder = tmp_path / "central.git"
    git(tmp_path, "init", "-q", "--bare", str(folder))
    move(folder)
    return folder


def move(central: Path, ref: str = BRANCH) -> str:
    """A new commit on a branch, as a push would put it there."""
    tree = git(central, "mktree", input=b"")
    parents = git(central, "rev-parse", "-q", "--verify", ref, check=False)
    commit = git(central, "commit-tree", "-m", os.urandom(8).hex(), tree, *(["-p", parents] if parents else []))
    git(central, "update-ref", ref, commit)
    return commit


def fake(folder: Path, body: str, name: str = "ssh") -> str:
    """What to run instead of ssh."""
    script = folder / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o700)
    return str(script)


@pytest.fixture
def here(tmp_path):
    """An ssh that leads to this machine, without a server."""
    return fake(tmp_path, f'for last; do :; done\nPATH={BIN}:/usr/bin:/bin exec sh -c "$last"')


def subscription(place: Place, path: Path | str, ref: str = BRANCH, repository: str = "notes") -> Subscription:
    return Subscription(repository, tracked=Tracked(place, str(path), ref))


@contextlib.asynccontextmanager
async def running(place: Place, *wanted: Subscription, **limits: float) -> AsyncIterator[tuple[SshTransport, Recorder]]:
    made, recorder = SshTransport(place, "ssh server", **limits), Recorder()
    made.subscribe(wanted)
    before = asyncio.all_tasks()
    task = asyncio.create_task(made.run(recorder))
    try:
        yield made, recorder
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == before


def test_a_real_server_tells_of_a_push_by_whoever(tmp_path, central):
    with Sshd(tmp_path) as server:
        place = Place(f"{server.user}@127.0.0.1", server.port, server.command)

        async def body():
            async with running(place, subscription(place, central)) as (made, recorder):
                await eventually(lambda: made.health.state == "online", server.log())
                await eventually(lambda: recorder.announcements, "where the branch is")
                head = move(central)
                await eventually(lambda: recorder.announcements[-1].commit == head, "the push")
                said = recorder.announcements[-1]
                assert (said.kind, said.repository, said.ref) == ("pushed", "notes", BRANCH)
                (peer,) = made.peers()
                assert peer.version and peer.repositories == ("notes",) and peer.last_heard
                # it is the person's login that is used, and it ends with us
                server.stop()

        asyncio.run(body())


@pytest.mark.parametrize(
    "options",
    [
        "",
        'ForceCommand git-shell -c "$SSH_ORIGINAL_COMMAND"',
        "ForceCommand echo 'hello you, this is git@server, and R W notes'",
    ],
    ids=["nothing", "git-shell", "gitolite's answer"],
)
def test_a_real_server_without_autosync_is_not_worth_a_word(tmp_path, central, caplog, options):
    with Sshd(tmp_path, options, bare=True) as server:
        place = Place(f"{server.user}@127.0.0.1", server.port, server.command)

        async def body():
            async with running(place, subscription(place, central)) as (made, _):
                await eventually(lambda: made.health.state == "offline", "it is found out")
                assert made.health.quiet
                assert made.health.error is None
                made.retry()  # a network that is back changes nothing about it
                await asyncio.sleep(0)
                assert made.health.state == "offline"

        asyncio.run(body())
        assert server.log().count("Accepted publickey") == 1
    assert not caplog.records


def test_a_login_that_is_refused_is_left_to_git_to_report(tmp_path, central):
    with Sshd(tmp_path, options="DenyUsers *") as server:
        place = Place(f"{server.user}@127.0.0.1", server.port, server.command)

        async def body():
            async with running(place, subscription(place, central)) as (made, _):
                await eventually(lambda: made.health.state == "offline", "it is refused")
                assert made.health.quiet

        asyncio.run(body())


def test_every_way_in_which_a_branch_can_move_is_told(tmp_path, central, here):
    place, side = Place("server", command=here), "refs/heads/a/side"

    async def body():
        wanted = [subscription(place, central), subscription(place, central, side, "side")]
        async with running(place, *wanted) as (made, recorder):
            await eventually(lambda: recorder.looks == ["side"] and len(recorder.announcements) == 1, "the beginning")
            head = move(central)
            await eventually(lambda: recorder.announcements[-1].commit == head, "a move")
            git(central, "pack-refs", "--all")
            packed = move(central)
            await eventually(lambda: recorder.announcements[-1].commit == packed, "a move after packing")
            fresh = move(central, side)  # in a folder that was not there
            await eventually(lambda: recorder.announcements[-1].commit == fresh, "a new branch")
            assert recorder.announcements[-1].repository == "side"
            git(central, "update-ref", "-d", side)
            await eventually(lambda: recorder.looks == ["side", "side"], "a branch that is gone")
            again = move(central, side)
            await eventually(lambda: recorder.announcements[-1].commit == again, "a branch that is back")
            assert [one.commit for one in recorder.announcements[1:]] == [head, packed, fresh, again]
            # the set of what is of interest may change at any time
            made.subscribe([subscription(place, central, repository="other")])
            await eventually(lambda: made.peers()[0].repositories == ("other",), "the other id")
            move(central, side)
            last = move(central)
            await eventually(lambda: recorder.announcements[-1].commit == last, "the other")
            assert recorder.announcements[-1].repository == "other"
            assert made.dropped == 0

    asyncio.run(body())


def test_a_repository_that_is_not_there_yet_is_asked_for_again(tmp_path, central, here):
    place = Place("server", command=here)
    later = tmp_path / "later.git"

    async def body():
        async with running(place, subscription(place, later), idle=0.05) as (made, recorder):
            await eventually(lambda: made._refused, "it is refused")
            assert made.peers()[0].repositories == ()
            central.rename(later)
            # the suffix may be left out, as with git
            made.subscribe([subscription(place, str(later).removesuffix(".git"))])
            await eventually(lambda: recorder.announcements, "it is there")

    asyncio.run(body())


def test_a_repository_of_others_is_not_told_of(tmp_path, central, here, monkeypatch):
    if os.geteuid() == 0:
        os.chown(central, 12345, 12345)
        other = tmp_path / "strict"
        other.mkdir()
        monkeypatch.setenv("HOME", str(other))  # without safe.directory
    else:
        central.chmod(0)
    place = Place("server", command=here)

    async def body():
        async with running(place, subscription(place, central)) as (made, recorder):
            await eventually(lambda: made._refused, "it is refused")
            assert recorder.announcements == []

    asyncio.run(body())
    if os.geteuid() != 0:
        central.chmod(0o700)


@pytest.mark.parametrize(
    "body",
    [
        "exit 127",
        "echo welcome; exit 0",
        "yes | head -n 1000",
        "head -c 100000 /dev/zero",
        "echo '{\"autosync\": 99}'; exit 3",
        "head -c 1000000 /dev/zero >&2; exit 1",
        'for last; do :; done; echo Invalid command: "$last" >&2; exit 1',
    ],
)
def test_a_far_side_that_says_something_else_has_no_autosync(tmp_path, body):
    place = Place("server", command=fake(tmp_path, body))

    async def scenario():
        async with running(place, subscription(place, "/x"), absent=3600.0) as (made, _):
            await eventually(lambda: made.health.state == "offline", "it is given up")
            assert made.health.quiet and made.health.error is None

    asyncio.run(scenario())


def test_a_far_side_that_gets_autosync_later_is_found(tmp_path):
    hello = json.dumps({"autosync": 1, "name": "server", "version": "1"})
    tries = tmp_path / "tries"
    body = f"echo >> {tries}; [ $(wc -l < {tries}) -ge 3 ] || exit 127; echo '{hello}'; exec cat >/dev/null"
    place = Place("server", command=fake(tmp_path, body))

    async def scenario():
        async with running(place, subscription(place, "/x"), absent=0.01) as (made, _):
            await eventually(lambda: made.health.state == "online", "it to be found")
            assert [peer.name for peer in made.peers()] == ["server"]

    asyncio.run(scenario())


HELLO = json.dumps({"autosync": 1, "name": "x\x1b[31m" * 40, "version": "1"})


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "{}",
        "[" * 5000,
        json.dumps({"watch": 1, "commit": "main; rm -rf /"}),
        json.dumps({"watch": 1, "commit": "A" * 40}),
        json.dumps({"watch": True, "commit": "a" * 40}),
        json.dumps({"watch": 1, "commit": ["a"]}),
        json.dumps({"watch": -1, "commit": None}),
        json.dumps({"watch": 10**400, "commit": None}),
        json.dumps({"unwatch": 1}),
    ],
)
def test_a_hostile_far_side_is_not_believed(tmp_path, line):
    said = tmp_path / "said"
    said.write_text(f"{HELLO}\n{line}\n{json.dumps({'watch': 1, 'commit': 'b' * 40})}\n")
    place = Place("server", command=fake(tmp_path, f"cat {said}; exec cat >/dev/null"))

    async def body():
        async with running(place, subscription(place, "/x")) as (made, recorder):
            await eventually(lambda: recorder.announcements, "the well-formed line")
            assert [one.commit for one in recorder.announcements] == ["b" * 40]
            assert recorder.looks == []
            assert made.peers()[0].name.isprintable() and len(made.peers()[0].name) <= 64

    asyncio.run(body())


def test_a_flood_from_a_far_side_is_read_slowly(tmp_path):
    place = Place("server", command=fake(tmp_path, f"echo '{HELLO}'; yes '{{\"watch\": 1, \"commit\": null}}'"))

    async def body():
        async with running(place, subscription(place, "/x")) as (_, recorder):
            began = asyncio.get_running_loop().time()
            await eventually(lambda: len(recorder.looks) >= 120, "the flood")
            assert len(recorder.looks) <= 101 + 20 * (asyncio.get_running_loop().time() - began + 1)

    asyncio.run(body())


def test_a_far_side_that_falls_silent_is_given_up_and_shown(tmp_path):
    ssh = fake(tmp_path, f"[ -e {tmp_path}/gone ] && exit 255; echo '{HELLO}'; exec cat >/dev/null")
    place = Place("server", command=ssh)

    async def body():
        async with running(place, subscription(place, "/x"), patience=0.05) as (made, _):
            await eventually(lambda: made.health.state == "online", "it is there")
            (tmp_path / "gone").touch()
            made.retry()
            await eventually(lambda: made.health.state == "offline", "it is given up")
            assert not made.health.quiet
            assert "silent" in made.health.error
            (tmp_path / "gone").unlink()
            await eventually(lambda: made.health.state == "online", "it is back")

    asyncio.run(body())


@pytest.mark.parametrize(
    ("words", "state", "says"),
    [
        (":", "offline", "the ssh connection to server was lost"),
        ("echo 'ssh: connect to host server port 22: Connection refused'", "offline", "Connection refused"),
        # a host in between, by ProxyJump
        (
            "echo 'jump@host: Permission denied (publickey).'; echo 'Connection closed by UNKNOWN port 65535'",
            "failed",
            "server does not let us in (jump@host: Permission denied (publickey).)",
        ),
    ],
    ids=["without a word", "refused", "refused on the way"],
)
def test_why_a_server_that_was_there_is_not_heard_any_more(tmp_path, monkeypatch, words, state, says):
    monkeypatch.setitem(PAUSES, Kind.OFFLINE, (0.01, 0.01))
    body = f"[ -e {tmp_path}/known ] || {{ touch {tmp_path}/known; echo '{HELLO}'; }}; {{ {words}; }} >&2; exit 255"
    place = Place("server", command=fake(tmp_path, body))

    async def scenario():
        async with running(place, subscription(place, "/x")) as (made, _):
            await eventually(lambda: made.health.state == state, "it is not heard any more")
            assert says in made.health.error

    asyncio.run(scenario())


def test_stopping_while_ssh_is_being_started_leaves_nothing(tmp_path):
    place = Place("server", command=fake(tmp_path, "exec cat"))

    async def enter():
        async with Line(place):
            await asyncio.Event().wait()

    def left() -> tuple[set[str], str]:
        children = "".join(file.read_text() for file in Path("/proc/self/task").glob("*/children"))
        return set(os.listdir("/proc/self/fd")), children

    async def body():
        for steps in range(30):
            before = left()
            task = asyncio.create_task(enter())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            # what asyncio closes is closed a moment later
            await eventually(lambda before=before: left() == before, f"nothing to be left after {steps} steps")

    asyncio.run(body())


def test_the_command_line_is_the_persons_without_questions(monkeypatch):
    monkeypatch.delenv("GIT_SSH", raising=False)
    words = argv(Place("rene@server", 2222))
    assert words[0] == "ssh"
    assert words[-2] == "rene@server"
    assert words[words.index("-p") + 1] == "2222"
    assert {"BatchMode=yes", "ControlMaster=no", "ControlPath=none", "ForwardAgent=no"} <= set(words)
    assert argv(Place("server", command="ssh -i 'my key'"))[:4] == [
        "sh",
        "-c",
        "ssh -i 'my key' \"$@\"",
        "ssh -i 'my key'",
    ]
    monkeypatch.setenv("GIT_SSH", "/opt/ssh")
    assert argv(Place("server"))[0] == "/opt/ssh"
