"""Files opened by a guest's SYS_OPEN: the console, the features, and files of the folder that it may use."""

from __future__ import annotations

import os
from typing import Final, Protocol

from arm_vcpu_cli.vm.semihosting.folder import Folder
from arm_vcpu_cli.vm.semihosting.operations import FEATURES, Errno, errno_of

MOST_HANDLES: Final = 64
MOST_BYTES: Final = 1 << 30
"""The largest size of a file, and the largest position in it."""
_TERMINAL: Final = b":tt"
_FEATURES: Final = b":semihosting-features"
_UPDATE: Final = 2
_WRITE: Final = 4
_APPEND: Final = 8
"""The first mode of each kind in fopen's terms, each followed by its binary variant: r+, w and a. r is 0."""
_MODES: Final = 12
_FLAGS: Final = (
    os.O_RDONLY,
    os.O_RDWR,
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    os.O_RDWR | os.O_CREAT | os.O_APPEND,
)
"""By mode, without its bit for binary files: r, r+, w, w+, a and a+."""


class CallError(Exception):
    """A call fails; ``errno`` is the guest's error number."""

    def __init__(self, errno: Errno) -> None:
        self.errno = errno
        super().__init__(errno.name)


class Lines(Protocol):
    """The console."""

    def read(self, most: int) -> bytes:
        """Read at most ``most`` bytes of input; wait for the first. Return nothing once the input has ended."""

    def write(self, data: bytes) -> None:
        """Print."""

    def write_error(self, data: bytes) -> None:
        """Print to the error output."""


class Handle:
    """An open file. Operations that it does not support raise :class:`CallError`."""

    is_terminal = False

    def read(self, most: int) -> bytes:  # noqa: ARG002
        """Read at most ``most`` bytes; nothing at the end of the file."""
        raise CallError(Errno.EBADF)

    def write(self, data: bytes) -> int:  # noqa: ARG002
        """Write, and return the number of bytes written."""
        raise CallError(Errno.EBADF)

    def seek(self, position: int) -> None:  # noqa: ARG002
        """Move to a position from the start."""
        raise CallError(Errno.ESPIPE)

    def length(self) -> int:
        """The size in bytes."""
        return 0

    def close(self) -> None:
        """Release the file."""

    def save(self) -> list[int]:
        """Return its open mode and its position. Raises ValueError if it cannot be reopened."""
        raise ValueError("files that a guest has open by semihosting cannot be saved")


class Terminal(Handle):
    """The file ":tt": stdin, stdout or stderr by its mode. It always counts as a terminal, so that runs repeat
    exactly."""

    is_terminal = True

    def __init__(self, lines: Lines, mode: int) -> None:
        self._lines = lines
        self._mode = mode

    def read(self, most: int) -> bytes:
        return self._lines.read(most) if self._mode < _WRITE else super().read(most)

    def write(self, data: bytes) -> int:
        if self._mode < _WRITE:
            return super().write(data)
        if self._mode < _APPEND:
            self._lines.write(data)
        else:
            self._lines.write_error(data)
        return len(data)

    def save(self) -> list[int]:
        return [self._mode, 0]


class Features(Handle):
    """The file ":semihosting-features"."""

    def __init__(self) -> None:
        self._position = 0

    def read(self, most: int) -> bytes:
        data = FEATURES[self._position : self._position + most]
        self._position += len(data)
        return data

    def seek(self, position: int) -> None:
        if position > len(FEATURES):
            raise CallError(Errno.EINVAL)
        self._position = position

    def length(self) -> int:
        return len(FEATURES)

    def save(self) -> list[int]:
        return [_MODES, self._position]


class HostFile(Handle):
    """A file of the host, by its descriptor."""

    def __init__(self, descriptor: int, *, appends: bool) -> None:
        self._descriptor = descriptor
        self._appends = appends

    def read(self, most: int) -> bytes:
        return os.read(self._descriptor, most)

    def write(self, data: bytes) -> int:
        at = self.length() if self._appends else os.lseek(self._descriptor, 0, os.SEEK_CUR)
        room = MOST_BYTES - at
        if room <= 0:
            raise CallError(Errno.EFBIG)
        return os.write(self._descriptor, data[:room])

    def seek(self, position: int) -> None:
        if position > MOST_BYTES:
            raise CallError(Errno.EINVAL)
        os.lseek(self._descriptor, position, os.SEEK_SET)

    def length(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        os.close(self._descriptor)


class Handles:
    """All open files, by number."""

    def __init__(self, lines: Lines, folder: Folder | None) -> None:
        self._lines = lines
        self._folder = folder
        self._open: dict[int, Handle] = {}

    def open(self, name: bytes, mode: int) -> int:
        """Open a file and return its number. Raises :class:`CallError`."""
        number = next((each for each in range(1, MOST_HANDLES + 1) if each not in self._open), None)
        if number is None:
            raise CallError(Errno.EMFILE)
        if not 0 <= mode < _MODES:
            raise CallError(Errno.EINVAL)
        self._open[number] = self._made(name, mode)
        return number

    def find(self, number: int) -> Handle:
        """The open file with a number. Raises :class:`CallError`."""
        found = self._open.get(number)
        if found is None:
            raise CallError(Errno.EBADF)
        return found

    def close(self, number: int) -> None:
        """Close the file with a number. Raises :class:`CallError`."""
        self.find(number).close()
        del self._open[number]

    def close_all(self) -> None:
        """Close all open files."""
        for number in tuple(self._open):
            self.close(number)

    def save(self) -> list[list[int]]:
        """Return the number, mode and position of each. Raises ValueError if one is a file of the host."""
        return [[number, *handle.save()] for number, handle in sorted(self._open.items())]

    def load(self, rows: list[list[int]]) -> None:
        """Open exactly the files that :meth:`save` returned."""
        self.close_all()
        for number, mode, position in rows:
            handle: Handle = Features() if mode == _MODES else Terminal(self._lines, mode)
            if position:
                handle.seek(min(position, handle.length()))
            self._open[number] = handle

    def _made(self, name: bytes, mode: int) -> Handle:
        if name == _TERMINAL:
            return Terminal(self._lines, mode)
        if name == _FEATURES:
            if mode >= _UPDATE:
                raise CallError(Errno.EACCES)
            return Features()
        if self._folder is None:
            raise CallError(Errno.EACCES)
        try:
            return HostFile(self._folder.open(name, _FLAGS[mode >> 1]), appends=mode >= _APPEND)
        except OSError as error:
            raise CallError(errno_of(error)) from error
