"""One repository that the configuration names twice, by a link."""

from __future__ import annotations

from tests.support.machines import Fleet
from tests.support.wait import until


def test_a_repository_by_a_second_name_is_kept_once_and_said_so(tmp_path):
    with Fleet(tmp_path) as fleet:
        text = f'[reflector]\nurl = "tcp://127.0.0.1:{fleet.reflector()}"\n'
        a, b = fleet.add("a", sections=text), fleet.add("b", sections=text)
        link = a.folder / "link"
        link.symlink_to(a.repo)
        plain = a.settings
        a.configure(settings=f'{plain}\n[[repository]]\npath = "{link}"\n')
        for machine in (a, b):
            machine.start().online("reflector")

        def refused() -> list[dict]:
            return [found for found in a.status()["repositories"] if "by another name" in str(found["reason"])]

        until(lambda: len(refused()) == 1, "one of the two to be refused")
        a.write("file", "from a\n")
        until(lambda: b.read("file") == "from a\n", "the other one to go on")
        assert "by another name" in a.services["watcher"].log.read_text() + a.logs()
        # with the second name gone, all is well, whichever of the two had it
        a.configure(settings=plain)
        until(lambda: not refused() and len(a.status()["repositories"]) == 1, "the second name to go")
        a.write("file", "again from a\n")
        until(lambda: b.read("file") == "again from a\n", "the repository to sync by its first name")
