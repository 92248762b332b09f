"""`autosync-reflector`: the command."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import socket
import ssl
import tempfile
from asyncio.sslproto import SSLProtocol
from pathlib import Path
from typing import cast

import click

from autosync.common import cli, descriptors, logs
from autosync.common.errors import Problem, exit_code
from autosync.common.private import keep_from_dumps
from autosync.common.service import run_until_stopped
from autosync.common.systemd import ServiceManager
from autosync.common.version import version

from . import protocol
from .server import Limits, Pace, ReflectorServer

_log = logging.getLogger(__name__)
# Descriptors that are not clients: standard streams, listeners, the event loop's own.
_RESERVED_DESCRIPTORS = 32
_SOCKET_UNIT = "write ListenStream= and Accept=no into the socket unit"
# Bytes of encrypted text that are read from a client at a time.
_TLS_BUFFER = 1024


@click.command("autosync-reflector")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default=f"127.0.0.1:{protocol.PORT}",
    show_default=True,
    help="Where to listen; an empty host means all interfaces, port 0 any free one.",
)
@click.option("--cert", type=click.Path(path_type=Path), help="Certificate chain (PEM): serve TLS only.")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key (PEM), where not in the same file.")
@click.option(
    "--pace",
    type=click.Choice(["auto", "all", "none"]),
    default="auto",
    show_default=True,
    help="Space lines for old SparkleShare clients: those that show themselves as such, all, or none.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1, 1_000_000),
    default=Limits().connections,
    show_default=True,
    help="Clients served at a time.",
)
@click.option("--systemd", is_flag=True, help="Take the listening sockets from systemd (socket activation).")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@cli.log_file_option
@click.version_option(version(), message="%(prog)s %(version)s")
@click.pass_context
def command(
    context: click.Context,
    listen: str,
    cert: Path | None,
    key: Path | None,
    pace: str,
    max_connections: int,
    systemd: bool,
    verbose: bool,
    log_file: Path | None,
) -> None:
    """Pass announcements on between machines.

    Any client can name any channel. Machines that share a secret-file seal what they say, and the reflector learns
    nothing of it.
    """
    if key is not None and cert is None:
        raise click.UsageError("--key goes with --cert")
    address = parse_listen(listen)

    def run() -> int:
        logs.set_up("autosync-reflector", verbose, log_file)
        keep_from_dumps()  # of the key
        manager = ServiceManager()
        tls = _context(cert, key) if cert is not None else None
        sockets = sockets_from_systemd() if systemd else []
        limits = Limits(connections=_affordable(max_connections))
        server = ReflectorServer(*address, limits=limits, pace=cast(Pace, pace), tls=tls, sockets=sockets)
        return run_until_stopped(
            lambda: _serve(server, listen, manager), manager, on_reload=lambda: _reload(tls, cert, key)
        )

    # nothing of a person's configuration is needed, not even a home: a bug report goes to a new folder
    context.exit(
        exit_code("autosync-reflector", run, lambda: Path(tempfile.mkdtemp(prefix="autosync-")), logs.last_words)
    )


async def _serve(server: ReflectorServer, listen: str, manager: ServiceManager) -> None:
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(server)
        except OSError as error:
            raise _cannot_listen(listen, error) from error
        listening = "listening on " + " ".join(server.addresses)
        print(listening, flush=True)
        manager.ready(listening)
        await asyncio.Event().wait()


def main(argv: list[str] | None = None) -> int:
    """Run the reflector until SIGTERM or SIGINT; SIGHUP reads certificate and key again."""
    return cli.run(command, "autosync-reflector", argv)


def parse_listen(text: str) -> tuple[str | None, int]:
    """Host and port of `host:port` or `[address]:port`; None for an empty host. Raises click.UsageError."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]]*):(\d{1,5})", text)
    if found is None or int(found[2]) > 65535:
        raise click.UsageError(f"--listen: expected HOST:PORT, as in 127.0.0.1:{protocol.PORT}, got {text!r}")
    return found[1].strip("[]") or None, int(found[2])


def sockets_from_systemd() -> list[socket.socket]:
    """The listening sockets that systemd passed (sd_listen_fds(3)). Raises Problem when there are none."""
    passed = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if passed[0] != str(os.getpid()) or not passed[1].isdigit() or passed[1] == "0":
        raise Problem("systemd passed no sockets", "start the socket unit, or leave --systemd out")
    found = []
    for descriptor in range(3, 3 + int(passed[1])):
        os.set_inheritable(descriptor, False)
        try:
            listener = socket.socket(fileno=descriptor)
            listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise Problem(
                f"descriptor {descriptor} from systemd is no socket ({error.strerror})", _SOCKET_UNIT
            ) from error
        if not listens or listener.type != socket.SOCK_STREAM:
            raise Problem(f"descriptor {descriptor} from systemd takes no connections", _SOCKET_UNIT)
        listener.setblocking(False)
        found.append(listener)
    return found


def _context(cert: Path, key: Path | None) -> ssl.SSLContext:
    # asyncio gives each TLS connection a buffer of 256 KiB; what clients send here are short lines
    SSLProtocol.max_size = _TLS_BUFFER
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, cert, key)
    return context


def _load(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    try:
        # the empty password keeps OpenSSL from asking for one at the terminal
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise Problem(
            f"cannot use the certificate {cert} ({error.reason or error})", "give a PEM file, and its key with --key"
        ) from error
    except OSError as error:
        raise Problem(
            f"cannot read {cert} or its key ({error.strerror})", "make both readable for this user"
        ) from error


def _reload(context: ssl.SSLContext | None, cert: Path | None, key: Path | None) -> None:
    if context is None or cert is None:
        return
    try:
        _load(context, cert, key)
        _log.info("read the certificate %s again", cert)
    except Problem as problem:
        _log.error("%s; the old one stays in use", problem)


def _affordable(connections: int) -> int:
    """As many connections as this process may have descriptors for."""
    left = descriptors.allow(connections + _RESERVED_DESCRIPTORS) - _RESERVED_DESCRIPTORS
    if left < connections:
        _log.warning("descriptors suffice for %d connections only; raise the limit of open files", left)
    return max(1, min(connections, left))


def _cannot_listen(address: str, error: OSError) -> Problem:
    if error.errno == errno.EADDRINUSE:
        remedy = "another program has that port, maybe a second reflector: choose another with --listen"
    elif error.errno == errno.EACCES:
        remedy = "ports below 1024 are for root: choose a higher one with --listen"
    else:
        remedy = "name an address of this machine with --listen"
    return Problem(f"cannot listen on {address} ({os.strerror(error.errno) if error.errno else error})", remedy)
