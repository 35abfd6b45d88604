"""Semihosting's numbers: operations by name, stop reasons, errors, and the modes of SYS_OPEN."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final


class Operation(IntEnum):
    """The operation numbers in w0 (chapter 6 of the specification)."""

    SYS_OPEN = 0x01
    SYS_CLOSE = 0x02
    SYS_WRITEC = 0x03
    SYS_WRITE0 = 0x04
    SYS_WRITE = 0x05
    SYS_READ = 0x06
    SYS_READC = 0x07
    SYS_ISERROR = 0x08
    SYS_ISTTY = 0x09
    SYS_SEEK = 0x0A
    SYS_FLEN = 0x0C
    SYS_TMPNAM = 0x0D
    SYS_REMOVE = 0x0E
    SYS_RENAME = 0x0F
    SYS_CLOCK = 0x10
    SYS_TIME = 0x11
    SYS_SYSTEM = 0x12
    SYS_ERRNO = 0x13
    SYS_GET_CMDLINE = 0x15
    SYS_HEAPINFO = 0x16
    SYS_EXIT = 0x18
    SYS_EXIT_EXTENDED = 0x20
    SYS_ELAPSED = 0x30
    SYS_TICKFREQ = 0x31


OPERATIONS: Final[Mapping[int, str]] = MappingProxyType({int(each): each.name for each in Operation})

APPLICATION_EXIT: Final = 0x20026
"""ADP_Stopped_ApplicationExit: the subcode is the status. Any other reason counts as status 1."""
FEATURES: Final = b"SHFB\x03"
"""The file ":semihosting-features": its magic number, and the features SYS_EXIT_EXTENDED and a separate stderr."""


class Errno(IntEnum):
    """The error numbers of C libraries; where these differ from a host's, those of newlib and picolibc, which use
    semihosting."""

    EPERM = 1
    ENOENT = 2
    EIO = 5
    E2BIG = 7
    EBADF = 9
    EACCES = 13
    EFAULT = 14
    EBUSY = 16
    EEXIST = 17
    EXDEV = 18
    ENOTDIR = 20
    EISDIR = 21
    EINVAL = 22
    EMFILE = 24
    EFBIG = 27
    ENOSPC = 28
    ESPIPE = 29
    EROFS = 30
    ENOSYS = 88
    ENAMETOOLONG = 91


def errno_of(error: OSError) -> Errno:
    """The error number to report to the guest for an error of the host."""
    name = errno.errorcode.get(error.errno or 0, "")
    return Errno.__members__.get(name, Errno.EIO)
