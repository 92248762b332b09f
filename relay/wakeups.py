"""What may bring a network back: an address or route appears, the machine wakes from sleep, a stopped
process goes on. Noticed without any timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)

# rtnetlink(7): groups of messages
_LINK, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV6_ADDRESS, _IPV6_ROUTE = 0x1, 0x10, 0x40, 0x100, 0x400
# timerfd_create(2)
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_ABSTIME, _CANCEL_ON_SET = 1, 2
_CLOCK_REALTIME = 0
_FAR = 2**40
#: Seconds in which several signs count as one.
_SETTLE = 0.5


@contextlib.contextmanager
def wakeups(callback: Callable[[], None]) -> Iterator[None]:
    """Call ``callback`` soon after each such event, inside a running loop, until the block ends.

    Where the system offers one of the means not at all (a container without netlink), the others work alone.
    """
    loop = asyncio.get_running_loop()
    pending: asyncio.TimerHandle | None = None

    def noticed() -> None:
        nonlocal pending
        if pending is None:
            pending = loop.call_later(_SETTLE, fire)

    def fire() -> None:
        nonlocal pending
        pending = None
        callback()

    with contextlib.ExitStack() as stack:
        for means in (_netlink, _clock_jumps):
            try:
                stack.enter_context(means(loop, noticed))
            except OSError as error:
                _log.debug("%s: %s", means.__name__, error)
        loop.add_signal_handler(signal.SIGCONT, noticed)
        stack.callback(loop.remove_signal_handler, signal.SIGCONT)
        try:
            yield
        finally:
            if pending is not None:
                pending.cancel()


@contextlib.contextmanager
def _netlink(loop: asyncio.AbstractEventLoop, noticed: Callable[[], None]) -> Iterator[None]:
    groups = _LINK | _IPV4_ADDRESS | _IPV4_ROUTE | _IPV6_ADDRESS | _IPV6_ROUTE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as events:
        events.setblocking(False)
        events.bind((0, groups))

        def read() -> None:
            with contextlib.suppress(BlockingIOError, OSError):  # ENOBUFS: too many events are an event
                while events.recv(65536):
                    pass
            noticed()

        loop.add_reader(events, read)
        try:
            yield
        finally:
            loop.remove_reader(events)


@contextlib.contextmanager
def _clock_jumps(loop: asyncio.AbstractEventLoop, noticed: Callable[[], None]) -> Iterator[None]:
    """The kernel cancels such a timer when the clock is set, which it also is on waking from sleep."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.timerfd_create(_CLOCK_REALTIME, _NONBLOCK | _CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")

    def arm() -> None:
        # struct itimerspec: interval and first expiry, each in seconds and nanoseconds
        when = struct.pack("4q", 0, 0, _FAR, 0)
        library.timerfd_settime(descriptor, _ABSTIME | _CANCEL_ON_SET, when, None)

    def read() -> None:
        try:
            os.read(descriptor, 8)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        arm()
        noticed()

    try:
        arm()
        loop.add_reader(descriptor, read)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)
