"""Which single files are held back: too large, or looking like a secret."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from autosync.common.shell import command_line

from .patterns import Patterns

#: What is held back by its name; `quarantine` in the configuration replaces the list.
SECRET_NAMES = (
    ".env",
    ".env.local",
    ".env.*.local",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    ".git-credentials",
    ".htpasswd",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "*.jks",
    "*.keystore",
    "*.p12",
    "*.pfx",
    "*.ppk",
    "*.kdb",
    "*.kdbx",
)
#: So many bytes of a file are looked at.
HEAD = 8192

# A marker alone is often documentation or a test; a marker with what follows it in a real key is not.
_SECRET_CONTENT = re.compile(
    rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\r?\n(?:[A-Za-z-]+:[^\n]*\n|\r?\n)*[A-Za-z0-9+/=]{16,}\r?$"
    rb"|^PuTTY-User-Key-File-\d+:"
    rb"|^AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    re.MULTILINE,
)
# One of these is in all that the expression matches, and much quicker to look for.
_SIGNS = (b"PRIVATE KEY", b"PuTTY-User-Key-File-", b"AGE-SECRET-KEY-1")


@dataclass(frozen=True, slots=True)
class Held:
    """Why a path is held back, and what lets it pass. ``tried_again``: without anybody's doing; ``staged``: the
    person has staged it."""

    reason: str
    remedy: str
    tried_again: bool = False
    staged: bool = False


def is_secret(head: bytes) -> bool:
    """Whether the first `HEAD` bytes of a file look like a private key."""
    return any(sign in head for sign in _SIGNS) and _SECRET_CONTENT.search(head) is not None


def release_command(root: bytes, path: bytes) -> str:
    """The command that lets ``path``, in the work tree at ``root``, pass for good."""
    command = command_line("git", "-C", os.fsdecode(root), "config", "--add", "autosync.allow", release_pattern(path))
    return f"to let it pass: {command}"


def release_pattern(path: bytes) -> str:
    """The pattern, as in .gitignore, that stands for this one path."""
    # a blank at the end would be taken away, a question mark would stand for others
    escaped = re.sub(rb"([\\*?\[]|\s$)", rb"\\\1", path)
    return os.fsdecode(b"/" + escaped)


def judge(root: bytes, path: bytes, size: int, limit: int, names: Patterns) -> Held | None:
    """What name and size (bytes; ``limit`` 0: any) say of a path in the work tree at ``root``.

    The content is asked of `is_secret`.
    """
    if limit and size > limit:
        return Held(
            f"{_megabytes(size)} is more than max-file-size ({_megabytes(limit)})",
            f"{release_command(root, path)}, or raise max-file-size",
        )
    if names.match(path):
        return Held("it looks like a secret by its name", release_command(root, path))
    return None


def secret(root: bytes, path: bytes) -> Held:
    """The verdict on a path whose content is one."""
    return Held("it holds a private key", release_command(root, path))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size >= 1e6 else f"{size} bytes"
