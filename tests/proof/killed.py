"""One round of a machine's watcher and relay, in a child that kills itself at the n-th boundary of two git commands.

`python -m tests.proof.killed FOLDER NAME` reads lines `N` and answers each with `whole` or `killed`. Children are
forked here, where no other thread is, as importing takes longer than the round.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.proof.ledger import Ledger
from tests.proof.peer import Meddling, Network, Peer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    for line in sys.stdin:
        child = os.fork()
        if not child:
            peer = Peer(folder, name, folder / "central.git", Ledger(), Network(), 0)
            with Meddling(int(line), True, die).at_work():
                peer.watch()
                peer.relay()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print({0: "whole", -signal.SIGKILL: "killed"}.get(status, f"failed with {status}"), flush=True)


if __name__ == "__main__":
    main()
