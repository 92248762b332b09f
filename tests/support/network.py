"""Two network namespaces with a line between them that can be cut, slow and lossy, as hosts see one.

The line carries IP packets, so that TCP has to send again what is lost: this kernel may have no `netem`, and a proxy of
bytes can lose none. It is a thread between two TUN devices (Linux, Documentation/networking/tuntap.rst).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import math
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .wait import until

CLIENT, SERVER = "10.99.1.1", "10.99.1.2"
CLIENT6, SERVER6 = "fd99::1", "fd99::2"
#: The client and its neighbour on their local network.
HOME, NEIGHBOUR, _LAN = "10.98.1.1", "10.98.1.2", "10.98.1.0/24"
_CLONE_NEWNET = 0x40000000
_TUN = Path("/dev/net/tun")
#: Seconds that a packet waits at most for those before it.
_QUEUE = 1.0
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


class Network:
    """Use as a context manager. A test that uses it is skipped without the right to make namespaces."""

    def __init__(self) -> None:
        self._holders: list[subprocess.Popen[bytes]] = []
        self._line: _Line | None = None

    def __enter__(self) -> Network:
        if os.geteuid() != 0 or not _TUN.exists():
            pytest.skip("network namespaces with a line between them need root and /dev/net/tun")
        try:
            self._client, self._server = self._namespace(), self._namespace()
            self._line = _Line(self._end(self._client, CLIENT, CLIENT6), self._end(self._server, SERVER, SERVER6))
            self._line.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.stop()
        for holder in self._holders:
            holder.kill()
            holder.wait()

    def drop(self) -> None:
        """Every packet is lost without a word, in both directions."""
        self.flow(loss=1.0)

    def flow(self, delay: float = 0.0, loss: float = 0.0, rate: float = math.inf) -> None:
        """Packets pass after ``delay`` seconds, but for a share ``loss`` of them, each for itself, and no more than
        ``rate`` bytes a second in each direction. Those that would wait for more than a second are lost, too."""
        assert self._line is not None
        self._line.delay, self._line.loss, self._line.rate = delay, loss, rate

    @property
    def lost(self) -> int:
        """Packets that were lost so far."""
        assert self._line is not None
        return self._line.lost

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

    def neighbour(self) -> None:
        """Put a third host beside the client: a local network between the two, and one line for both to the server."""
        self._neighbour = self._namespace()
        with self.at_client():
            _ip("link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", str(self._neighbour))
            _ip("address", "add", f"{HOME}/24", "dev", "lan")
            _ip("link", "set", "lan", "up")
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        with self.at_neighbour():
            _ip("address", "add", f"{NEIGHBOUR}/24", "dev", "lan")
            _ip("link", "set", "lan", "up")
            _ip("link", "set", "lo", "up")
            _ip("route", "add", "default", "via", HOME)
        with self.at_server():
            _ip("route", "add", _LAN, "via", CLIENT)

    @contextlib.contextmanager
    def at_neighbour(self) -> Iterator[None]:
        """This thread, and what it starts, is at the neighbour of the client."""
        with _inside(self._neighbour):
            yield

    def _namespace(self) -> int:
        ours = os.readlink("/proc/self/ns/net")
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stderr=subprocess.DEVNULL)
        self._holders.append(holder)
        until(lambda: holder.poll() is not None or os.readlink(f"/proc/{holder.pid}/ns/net") != ours, "a namespace")
        if holder.poll() is not None:
            pytest.skip("network namespaces are not permitted here")
        return holder.pid

    def _end(self, namespace: int, address: str, address6: str) -> int:
        """A descriptor of what goes over the line at this end, packet by packet."""
        with _inside(namespace):
            end = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", b"line", _IFF_TUN | _IFF_NO_PI))
            _ip("address", "add", f"{address}/24", "dev", "line")
            _ip("address", "add", f"{address6}/64", "dev", "line", "nodad")
            _ip("link", "set", "line", "up")
            _ip("link", "set", "lo", "up")
        return end


class _Line(threading.Thread):
    def __init__(self, *ends: int) -> None:
        super().__init__(name="line", daemon=True)
        self._other = dict(zip(ends, reversed(ends), strict=True))
        self._wake, self._waker = os.pipe()
        self._dice = random.Random(1)
        self._free = dict.fromkeys(ends, 0.0)
        self.delay = self.loss = 0.0
        self.rate = math.inf
        self.lost = 0

    def run(self) -> None:
        under_way: list[tuple[float, int, int, bytes]] = []
        number = 0
        while True:
            patience = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
            ready, _, _ = select.select([*self._other, self._wake], [], [], patience)
            if self._wake in ready:
                return
            now = time.monotonic()
            for end in ready:
                packet = os.read(end, 65536)
                free = max(now, self._free[end])
                if self._dice.random() < self.loss or free > now + _QUEUE:
                    self.lost += 1
                else:
                    number += 1
                    self._free[end] = free + len(packet) / self.rate
                    heapq.heappush(under_way, (self._free[end] + self.delay, number, self._other[end], packet))
            while under_way and under_way[0][0] <= now:
                os.write(under_way[0][2], heapq.heappop(under_way)[3])

    def stop(self) -> None:
        os.close(self._waker)
        self.join()
        for descriptor in (*self._other, self._wake):
            os.close(descriptor)


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)


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
