"""Which file systems tell inotify about every change: statfs(2) names the others.

On a network file system what other machines change makes no event here, and FUSE passes on only what goes
through this mount.
"""

from __future__ import annotations

import ctypes
import os

# linux/magic.h and the sources of the file systems
_SILENT = {
    0x6969: "NFS",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB",
    0x517B: "SMB",
    0x65735546: "FUSE",
    0x01021997: "9p",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
    0x47504653: "GPFS",
    0x0BD00BD0: "Lustre",
    0x19830326: "BeeGFS",
}
_statfs = ctypes.CDLL(None, use_errno=True).statfs
_statfs.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
# struct statfs is some 120 bytes; f_type, a long, comes first on every architecture but those of IBM's mainframes
_SIZE = 512


def silent(path: bytes) -> str | None:
    """The name of the file system at ``path`` when it does not report every change, else None. Raises OSError."""
    buffer = ctypes.create_string_buffer(_SIZE)
    if _statfs(path, buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return silent_type(ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF)


def silent_type(number: int) -> str | None:
    """The same for a type number of statfs(2)."""
    return _SILENT.get(number)
