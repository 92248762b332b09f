"""Who makes the automatic commits."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """Which machine and user: for messages, and for commits where git has no identity of its own."""

    machine: str
    user: str

    @classmethod
    def here(cls, machine: str) -> Identity:
        """Whoever runs this, on the machine of this name."""
        try:
            return cls(machine, getpass.getuser())
        except (KeyError, OSError):  # no such user in the data base
            return cls(machine, f"uid{os.getuid()}")

    def environment(self) -> dict[str, str]:
        """Environment that makes git use it."""
        email = f"{self.user}@{self.machine}"
        return {
            "GIT_AUTHOR_NAME": self.user,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": self.user,
            "GIT_COMMITTER_EMAIL": email,
        }
