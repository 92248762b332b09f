"""inotify, as raw events: pyinotify's descriptor and watch calls, our own reading.

pyinotify's own event loop decodes names as UTF-8 and loses a whole buffer over one name that is
not, and costs some ten times as much for an event. Here it opens the descriptor and wraps the C calls;
the buffer is parsed by inotify(7)'s struct.
"""

from __future__ import annotations

import array
import errno
import fcntl
import functools
import os
import struct
import termios
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyinotify

pyinotify.log.handlers.clear()  # it installs a handler of its own on import
# it looks for the C library anew for each instance, by a child process; what it finds has no state
pyinotify.INotifyWrapper.create = functools.cache(pyinotify.INotifyWrapper.create)

_HEADER = struct.Struct("iIII")

CREATE: int = pyinotify.IN_CREATE
MODIFY: int = pyinotify.IN_MODIFY
ATTRIB: int = pyinotify.IN_ATTRIB
CLOSE_WRITE: int = pyinotify.IN_CLOSE_WRITE
DELETE: int = pyinotify.IN_DELETE
DELETE_SELF: int = pyinotify.IN_DELETE_SELF
MOVED_FROM: int = pyinotify.IN_MOVED_FROM
MOVED_TO: int = pyinotify.IN_MOVED_TO
MOVE_SELF: int = pyinotify.IN_MOVE_SELF
UNMOUNT: int = pyinotify.IN_UNMOUNT
IGNORED: int = pyinotify.IN_IGNORED
Q_OVERFLOW: int = pyinotify.IN_Q_OVERFLOW
ISDIR: int = pyinotify.IN_ISDIR
ONLYDIR: int = pyinotify.IN_ONLYDIR
DONT_FOLLOW: int = pyinotify.IN_DONT_FOLLOW
EXCL_UNLINK: int = 0x04000000  # missing in pyinotify; inotify(7)


class Event(NamedTuple):
    """One event: watch descriptor (-1 on overflow), mask, cookie, and the entry's name in the
    watched folder as bytes (empty for the folder itself)."""

    watch: int
    mask: int
    cookie: int
    name: bytes


class Inotify:
    """One inotify instance. Its descriptor is non-blocking and not inherited by children."""

    def __init__(self) -> None:
        """Raises OSError (EMFILE: the user's limit of instances, fs.inotify.max_user_instances)."""
        try:
            self._manager: Any = pyinotify.WatchManager()
        except OSError as error:  # the library says the number only in words
            number = error.errno or _errno()
            raise OSError(number, os.strerror(number)) from error
        self._calls: Any = self._manager._inotify_wrapper
        self._descriptor: int = self._manager.get_fd()
        os.set_inheritable(self._descriptor, False)
        os.set_blocking(self._descriptor, False)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        """Drop the instance with all its watches."""
        os.close(self._descriptor)

    def watch(self, path: bytes, mask: int) -> int:
        """Add or change a watch; returns its descriptor. Raises OSError (ENOSPC: the user's limit of
        watches, fs.inotify.max_user_watches)."""
        wd: int = _add_watch(self._descriptor, path, mask)
        if wd < 0:
            number = _errno()
            raise OSError(number, os.strerror(number), os.fsdecode(path))
        return wd

    def unwatch(self, watch: int) -> None:
        """Remove a watch. One that the kernel has dropped already is no error."""
        self._calls.inotify_rm_watch(self._descriptor, watch)

    def read(self) -> Iterator[Event]:
        """The events that are there now. Does not wait."""
        pending = array.array("i", [0])
        fcntl.ioctl(self._descriptor, termios.FIONREAD, pending)
        if not pending[0]:
            return
        try:
            buffer = os.read(self._descriptor, pending[0])
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        position = 0
        while position < len(buffer):
            wd, mask, cookie, length = _HEADER.unpack_from(buffer, position)
            position += _HEADER.size
            yield Event(wd, mask, cookie, buffer[position : position + length].rstrip(b"\0"))
            position += length


def _errno() -> int:
    import ctypes

    return ctypes.get_errno()


def _load_add_watch() -> Any:
    # pyinotify's wrapper encodes text names with the locale's codec and refuses bytes; the C function
    # itself takes any name
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    function = library.inotify_add_watch
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    function.restype = ctypes.c_int
    return function


_add_watch = _load_add_watch()
