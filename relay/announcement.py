"""What machines tell each other: a hint that a ref moved. It carries no URL, no command, no content."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["pushed", "committed", "has"]
KINDS: tuple[str, ...] = get_args(Kind)

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
# git-check-ref-format(1), narrowed to branches and to what can be shown
_REF = re.compile(r"refs/heads/[^\x00-\x20\x7f~^:?*\[\\]{1,200}")
_MACHINE = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


class Malformed(ValueError):
    """An announcement that is not well-formed; it is dropped and counted."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """`pushed`: the remote's ``ref`` moved to ``commit``. `committed`: ``machine`` has it, not yet the remote.
    `has`: ``machine`` has it in its work tree.

    ``repository`` is the repository id (its oldest root commit, or `id` from the configuration),
    ``ref`` the full name of a branch on the remote, ``machine`` the sender's name. Everything is checked
    on construction, as all of it may come from the network. Raises Malformed.
    """

    kind: str
    repository: str
    ref: str
    commit: str
    machine: str

    def __post_init__(self) -> None:
        for name, pattern in (("repository", _ID), ("ref", _REF), ("commit", _COMMIT), ("machine", _MACHINE)):
            value = getattr(self, name)
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise Malformed(f"{name} is not well-formed")
        if self.kind not in KINDS:
            raise Malformed("kind is not known")
        if not is_branch(self.ref):
            raise Malformed("ref is not well-formed")


def is_branch(ref: str) -> bool:
    """Whether it is the well-formed full name of a branch."""
    return (
        _REF.fullmatch(ref) is not None
        and ".." not in ref
        and not ref.endswith((".lock", "/", "."))
        and "@{" not in ref
    )


def is_commit(text: str) -> bool:
    """Whether it is the name of a commit in full: 40 or 64 lower-case hexadecimal digits."""
    return _COMMIT.fullmatch(text) is not None
