"""A reflector that only listens: what a relay announces over it, line by line."""

from __future__ import annotations

import socketserver
import threading
import time
from typing import NamedTuple


class Heard(NamedTuple):
    """One announcement (docs/reflector-protocol.md)."""

    repository: str
    kind: str
    commit: str
    ref: str
    machine: str


class Reflector(socketserver.ThreadingTCPServer):
    """Answers as a reflector does, passes nothing on. A context manager."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        super().__init__(("127.0.0.1", 0), _Connection)
        self._thread = threading.Thread(target=self.serve_forever)

    @property
    def section(self) -> str:
        """What a configuration says to use it."""
        return f'[reflector]\nurl = "tcp://127.0.0.1:{self.server_address[1]}"\n'

    @property
    def moves(self) -> list[tuple[str, str]]:
        """Branch and commit of what was announced as pushed, in order."""
        return [(each.ref, each.commit) for each in self.heard if each.kind == "pushed"]

    def __enter__(self) -> Reflector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Connection(socketserver.StreamRequestHandler):
    server: Reflector

    def handle(self) -> None:
        try:
            self.wfile.write(b"debug!connected...\n")
            for line in self.rfile:
                words = line.decode().rstrip("\n").split(" ", 2)
                if words[0] == "ping":
                    self.wfile.write(b"%d\n" % time.time())
                elif words[0] == "announce":
                    _, kind, commit, _, ref, machine = words[2].split(" ", 5)
                    self.server.heard.append(Heard(words[1], kind, commit, ref, machine))
        except ConnectionError:
            pass  # as clients may go
