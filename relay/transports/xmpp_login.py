"""What a login needs: the password, the resource, whom to trust, and where to connect."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hashlib
import os
import re
import signal
import ssl
from collections.abc import Sequence
from pathlib import Path

from autosync.common.config import Xmpp, read_secret
from autosync.common.errors import Problem

from ..failures import Kind
from .bounded_file import bounded_file
from .xmpp_trouble import Trouble

#: Seconds for a password command.
COMMAND_LIMIT = 30.0
_OUTPUT_LIMIT = 64 * 1024
_MACHINE_ID = Path("/etc/machine-id")


async def password(config: Xmpp) -> str:
    """The password from the file or the command. Raises Trouble."""
    try:
        if config.password_file is not None:
            return read_secret(config.password_file)
        assert config.password_command is not None
        return await ask(config.password_command)
    except Problem as problem:
        raise Trouble(problem.what, problem.remedy or "", Kind.AUTH) from None


async def ask(command: Sequence[str], limit: float = COMMAND_LIMIT) -> str:
    """The first line that ``command`` prints; ``limit`` in seconds.

    Raises Problem, which never shows what was printed.
    """
    what = f"password-command in [xmpp] ({command[0]})"
    remedy = "run it by hand and see what it says"
    with bounded_file(_OUTPUT_LIMIT) as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.fileno(),
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise Problem(f"{what} cannot be started ({reason})", "correct the command") from None
        try:
            async with asyncio.timeout(limit):
                code = await process.wait()
        except TimeoutError:
            raise Problem(f"{what} did not end in {limit:g} seconds", f"{remedy}; it must not ask anything") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if code:
            raise Problem(f"{what} failed with exit code {code}", remedy)
        output.seek(0)
        line = output.readline(_OUTPUT_LIMIT).partition(b"\0")[0].rstrip(b"\r\n")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Problem(f"{what} printed something that is not UTF-8", remedy) from None
    if not text:
        raise Problem(f"{what} printed no password", remedy)
    return text


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates are always checked: against ``ca_file`` alone, or what the system trusts. Raises Trouble."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Trouble(
            f"cannot use the ca-file {ca_file} ({error.strerror or error})", "correct ca-file in [xmpp]", Kind.AUTH
        ) from None


def resource(machine: str, instance: str) -> str:
    """`autosync.<user>@<machine>.<hash>`: the same at each start, another for each instance and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    try:
        identity = _MACHINE_ID.read_text(errors="replace").strip()
    except OSError:
        identity = ""
    digest = hashlib.sha256("\0".join((user, machine, instance, identity)).encode(errors="replace")).hexdigest()
    return f"autosync.{_plain(user)}@{_plain(machine)}.{digest[:8]}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:64].strip("-") or "unnamed"
