"""Reads the files of a guest: regular or not, never more than a limit."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.file_paths import FilePath

MAX_FILE_SIZE: Final = 1 << 30  # bytes


def read_file(path: FilePath, expected: str) -> bytes:
    """Read a whole file, at most 1 GiB. Raises GuestFileError; ``expected`` ("a guest image") is for its message."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            # Allocate the buffer for the stated size, which few files exceed: those of /proc, pipes.
            size = min(os.fstat(file.fileno()).st_size, MAX_FILE_SIZE)
            data = file.read(size + 1)
            if len(data) > size:
                data += file.read(MAX_FILE_SIZE + 1 - len(data))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise GuestFileError(path, f"cannot be read: {reason}") from None
    return _checked(path, data, expected)


def read_stream(file: BinaryIO, path: FilePath, expected: str) -> bytes:
    """Read the rest of a stream, which messages call ``path``; as :func:`read_file`."""
    try:
        data = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise GuestFileError(path, f"cannot be read: {reason}") from None
    return _checked(path, data, expected)


def _checked(path: FilePath, data: bytes, expected: str) -> bytes:
    if len(data) > MAX_FILE_SIZE:
        raise GuestFileError(path, f"larger than {MAX_FILE_SIZE >> 30} GiB, expected {expected}")
    return data


def read_initrd(path: FilePath) -> bytes:
    """Read an initial RAM disk, which may be anything but empty. Raises GuestFileError."""
    data = read_file(path, "an initial RAM disk")
    if not data:
        raise GuestFileError(path, "the file is empty, expected an initial RAM disk")
    return data
