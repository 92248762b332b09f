"""A password in a remote's URL is git's to use, and nothing of ours shows it, whatever the server says."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.git import git
from tests.support.machines import Fleet, Service, command
from tests.support.wait import until

from .test_secrets import forms, shown

TOKEN = "ghp-Wort-im-Netz-20993"


class _Server(http.server.BaseHTTPRequestHandler):
    """Answers with the code that the path names, and repeats in its words what it was asked."""

    def do_GET(self) -> None:
        code = int(self.path.split("/")[1])
        self.send_response(code)
        if code == 301:
            self.send_header("Location", f"http://rene:{TOKEN}@{self.headers['Host']}/404{self.path[4:]}")
        if code == 401:
            self.send_header("WWW-Authenticate", "Basic realm=test")
        body = b"no such thing"
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def _http() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def test_a_password_in_a_url_is_shown_by_nothing(tmp_path):
    with socket.socket() as closed, _http() as port, Fleet(tmp_path) as fleet:
        closed.bind(("127.0.0.1", 0))
        login = f"rene:{TOKEN}@127.0.0.1"
        urls = {
            "unknown": f"http://rene:{TOKEN}@nowhere.invalid/notes.git",
            "ssh": f"ssh://rene:{TOKEN}@127.0.0.1:1/notes.git",
            "git": f"git://{login}:{closed.getsockname()[1]}/notes.git",
            "alone": f"http://{TOKEN}@127.0.0.1:{port}/403/notes.git",
            "scheme": f"nothing://{login}/notes.git",
            "lent": "mine:403/notes.git",
            **{f"http-{code}": f"http://{login}:{port}/{code}/notes.git" for code in (200, 301, 401, 404)},
        }
        laptop = fleet.add("laptop", settings="announce = true\n")
        with (laptop.home / ".gitconfig").open("a") as file:
            file.write(f'[url "http://{login}:{port}/"]\n\tinsteadOf = mine:\n')
        places = {}
        laptop.sections += 'name = "laptop"\n'
        for name, url in urls.items():
            clone = places[name] = laptop.folder / name
            git(laptop.folder, "clone", "-q", str(fleet.central), str(clone))
            git(clone, "remote", "set-url", "origin", url)
            git(clone, "remote", "add", "desk", url)
            (clone / "new").write_text("new\n")
            git(clone, "add", "new")
            git(clone, "commit", "-qm", "new")
        laptop.configure(sections="\n".join(f'[[repository]]\npath = "{place}"' for place in places.values()) + "\n")
        log = laptop.folder / "relay.log"
        laptop.services["relay"] = Service([command("autosync-relay"), "-v"], laptop.env, log)
        until(lambda: laptop.answers("relay"), "the relay to answer")

        def unsettled() -> list[tuple[str, str]]:
            found = laptop.relay_status()["repositories"]
            return [(one["path"], one["state"]) for one in found if one["state"] in ("syncing", "starting")]

        until(lambda: len(laptop.relay_status()["repositories"]) > len(urls) and not unsettled(), "all to be refused")
        said = {"status": json.dumps(laptop.relay_status())}

        def run(*words: str) -> None:
            done = laptop.run("autosync", *words, check=False)
            said[" ".join(words)] = done.stdout + done.stderr

        for words in (["status"], ["status", "--json"], ["doctor"], ["peers"], ["log"]):
            run(*words)
        for name in ("git", "alone"):
            place, url = str(places[name]), urls[name]
            run("invite", place)
            run("explain", f"{place}/new")
            run("sync", place)
            run("peers", "add", "desk", f"{url}x", place)
            run("init", place, "--remote", f"{url}x", "--yes")
            run("init", str(laptop.folder / f"new-{name}"), "--remote", url, "--yes")
        texts = {name: text.encode() for name, text in said.items()}
        texts |= {
            name: text for name, text in shown(tmp_path).items() if not name.endswith((".git/config", ".gitconfig"))
        }
        found = [
            (name, line)
            for name, text in texts.items()
            for form in forms(TOKEN)
            for line in text.splitlines()
            if form in line
        ]
        assert not found, "\n".join(f"{name}: {line!r}" for name, line in found)
