"""How this machine hears of the others: `[reflector]` or `[xmpp]` in the configuration, with its secret in a file."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from pydantic import BaseModel, ValidationError

from autosync.common import config
from autosync.common.errors import Problem
from autosync.common.instance import Instance

from . import entry, questions

#: The file with the secret, beside the configuration, and the key that names it.
_SECRETS = {"reflector": ("secret-file", "reflector-secret"), "xmpp": ("password-file", "xmpp-password")}
_ASKED = {"reflector": "The reflector's secret (Enter: none)", "xmpp": "Password of {address} (Enter: later)"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A table of the configuration to add: the reflector's URL or the XMPP account, and the secret, if known."""

    table: Literal["reflector", "xmpp"]
    address: str
    secret: str | None


def wanted(reflector: str | None, xmpp: str | None, secret: str | None) -> list[Wanted]:
    """What the command line asks for; ``secret`` names a file, `-` is standard input. Raises Problem, UsageError."""
    tables: list[tuple[Literal["reflector", "xmpp"], str]] = []
    if reflector is not None:
        tables.append(("reflector", reflector))
        _check(config.Reflector, "--reflector", {"url": reflector})
    if xmpp is not None:
        tables.append(("xmpp", xmpp))
        _check(config.Xmpp, "--xmpp", {"jid": xmpp, "password-file": "there"})
    if secret is not None and len(tables) != 1:
        raise click.UsageError("--secret goes with either --reflector or --xmpp.")
    return [Wanted(table, address, _secret(table, address, secret)) for table, address in tables]


def _check(model: type[BaseModel], option: str, values: dict[str, str]) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        expected = error.errors(include_url=False)[0]["ctx"]["error"]
        raise click.BadParameter(f"{expected}.", param_hint=option) from None


def _secret(table: str, address: str, file: str | None) -> str | None:
    if file is None:
        if not questions.somebody_is_there():
            return None
        asked = _ASKED[table].format(address=address)
        return click.prompt(asked, default="", show_default=False, hide_input=True, err=True) or None
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"cannot read the secret from {file} ({error})", "name a readable text file") from error
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise Problem(
            "there is no secret in " + ("standard input" if file == "-" else file), "put it in the first line"
        )
    return lines[0].strip()


def configure(instance: Instance, one: Wanted) -> str:
    """Add the table, and its secret for the owner alone; returns what was done in a sentence. Raises Problem."""
    key, name = _SECRETS[one.table]
    file = instance.config.parent / name
    values = {"url" if one.table == "reflector" else "jid": one.address}
    if one.table == "xmpp" or one.secret is not None:
        values[key] = name
    if not entry.add_table(instance, one.table, values):
        return f"kept the [{one.table}] that was there"
    if one.secret is not None:
        _write(file, one.secret)
        return f"announcements go over {one.address}, with the secret in {file}"
    if one.table == "xmpp":
        return f"announcements go over {one.address}: write its password into {file} (chmod 600)"
    return f"announcements go over {one.address}, without a secret: see README for one"


def _write(file: Path, secret: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Problem(f"{file} is there already, and was not changed", "see that it holds the right secret") from None
    except OSError as error:
        raise Problem(f"cannot write {file} ({error.strerror})", "let this user write there") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(secret + "\n")
