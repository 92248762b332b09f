"""Two network namespaces with a router between them that can drop everything: a cut line, as hosts see one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .wait import until

CLIENT, SERVER = "10.99.1.2", "10.99.2.2"
_CLIENT_SIDE, _SERVER_SIDE = "10.99.1.1", "10.99.2.1"
_CLONE_NEWNET = 0x40000000


class Network:
    """Use as a context manager. A test that uses it is skipped without the right to make namespaces."""

    def __init__(self) -> None:
        self._holders: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Network:
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        try:
            self._router, self._client, self._server = (self._namespace() for _ in range(3))
            for end, host, side, address in (
                ("client", self._client, _CLIENT_SIDE, CLIENT),
                ("server", self._server, _SERVER_SIDE, SERVER),
            ):
                self._ip(self._router, "link", "add", end, "type", "veth", "peer", "name", "line", "netns", str(host))
                self._ip(self._router, "address", "add", f"{side}/24", "dev", end)
                self._ip(self._router, "link", "set", end, "up")
                self._ip(host, "address", "add", f"{address}/24", "dev", "line")
                self._ip(host, "link", "set", "line", "up")
                self._ip(host, "link", "set", "lo", "up")
                self._ip(host, "route", "add", "default", "via", side)
            self.flow()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()

    def drop(self) -> None:
        """Every packet is lost without a word, in both directions."""
        self._forward("0")

    def flow(self) -> None:
        """Packets pass."""
        self._forward("1")

    @contextlib.contextmanager
    def at_client(self) -> Iterator[None]:
        """This thread, and what it starts, is at the client's end."""
        with _inside(self._client):
            yield

    @contextlib.contextmanager
    def at_server(self) -> Iterator[None]:
        """This thread, and what it starts, is at the server's end."""
        with _inside(self._server):
            yield

    def _namespace(self) -> int:
        ours = os.readlink("/proc/self/ns/net")
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stderr=subprocess.DEVNULL)
        self._holders.append(holder)
        until(lambda: holder.poll() is not None or os.readlink(f"/proc/{holder.pid}/ns/net") != ours, "a namespace")
        if holder.poll() is not None:
            pytest.skip("network namespaces are not permitted here")
        return holder.pid

    def _ip(self, process: int, *args: str) -> None:
        subprocess.run(["nsenter", "-t", str(process), "-n", "ip", *args], check=True)

    def _forward(self, value: str) -> None:
        with _inside(self._router):
            Path("/proc/sys/net/ipv4/ip_forward").write_text(value)


@contextlib.contextmanager
def _inside(process: int) -> Iterator[None]:
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)


def _enter(descriptor: int) -> None:
    # os.setns is in Python from 3.12
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
