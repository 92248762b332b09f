"""Accounts at a real XMPP server."""

from __future__ import annotations

import itertools
from pathlib import Path

from autosync.common.config import Xmpp
from tests.support.xmpp import settings

_numbers = itertools.count()


class Account:
    def __init__(self, server, folder: Path) -> None:
        self.user = f"user{next(_numbers)}"
        self.password = f"geheim-{self.user}"
        self.jid = server.add_account(self.user, self.password)
        self.server = server
        self._folder = folder

    def config(self, **more) -> Xmpp:
        return settings(self.server, self.user, self.password, self._folder, **more)
