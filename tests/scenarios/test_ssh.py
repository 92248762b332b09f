"""A central repository on an ssh server that has autosync, and nothing else set up: pushes are heard at once."""

from __future__ import annotations

from tests.support.git import git
from tests.support.machines import Fleet
from tests.support.sshd import Sshd
from tests.support.wait import until


def test_a_push_is_heard_over_ssh_with_nothing_set_up(tmp_path):
    with Sshd(tmp_path) as server, Fleet(tmp_path) as fleet:
        laptop = fleet.add("laptop", clone=False)
        with (laptop.home / ".gitconfig").open("a") as file:
            file.write(f"[core]\n\tsshCommand = {server.command}\n")
        laptop.clone(server.url(fleet.central))
        laptop.start()
        name = f"ssh {server.user}@127.0.0.1:{server.port}"
        laptop.online(name)

        git(tmp_path, "clone", "-q", str(fleet.central), "stranger")
        (tmp_path / "stranger/file").write_text("by somebody who never heard of autosync\n")
        git(tmp_path / "stranger", "add", "file")
        git(tmp_path / "stranger", "commit", "-qm", "news")
        git(tmp_path / "stranger", "push", "-q")
        until(lambda: laptop.read("file"), f"the push to arrive\n{laptop.logs()}")

        (peer,) = laptop.relay_status()["peers"]
        assert peer["transport"] == name
        assert peer["version"]
        assert peer["repositories"] == [str(laptop.repo)]

        # switched off, the connection ends
        laptop.configure(laptop.settings + "\nnotify-ssh = false")
        until(lambda: not laptop.relay_status()["transports"], "the connection to end")
