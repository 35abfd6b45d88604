"""The operations of semihosting, for one machine. Every call, valid or not, returns a result or ends the guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from arm_vcpu_cli.axvcpu.exit import PowerAction, SystemDown
from arm_vcpu_cli.host.console import InputEndedError
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.semihosting.folder import Folder
from arm_vcpu_cli.vm.semihosting.guest_view import GuestView
from arm_vcpu_cli.vm.semihosting.handles import CallError, Handles, Lines
from arm_vcpu_cli.vm.semihosting.operations import APPLICATION_EXIT, Errno, Operation, errno_of

_FAILED: Final = -1
_NANOSECONDS: Final = 1_000_000_000
_NANOSECONDS_PER_CENTISECOND: Final = 10_000_000
_LONGEST_NAME: Final = 4096
_LONGEST_STRING: Final = 1 << 16
_MOST_AT_ONCE: Final = 1 << 24
"""The most bytes that one call reads or writes. It reports the rest, as for a full disk, and the guest retries."""
_PIECE: Final = 1 << 16
_MASK64: Final = (1 << 64) - 1
_TEMPORARY_FILES: Final = 256
_VERSION: Final = 1
"""The version of a saved state."""


class Surroundings(Record):
    """The surroundings that the calls act on. ``now`` is the machine's time in nanoseconds since its start, and
    ``spend`` lets the time pass that reading it takes; ``epoch`` is the start, in seconds since 1970. ``free`` is the
    memory without loaded data, as its first address and its exclusive end."""

    lines: Lines
    now: Callable[[], int]
    spend: Callable[[], None]
    epoch: int
    command_line: bytes
    free: Callable[[], tuple[int, int]]
    folder: Folder | None


class Service:
    """Handles the calls of all vCPUs, which share their open files."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._handles = Handles(around.lines, around.folder)
        self._errno = 0
        self._operations: Mapping[int, Callable[[GuestView, int], int | SystemDown]] = {
            Operation.SYS_OPEN: self._open,
            Operation.SYS_CLOSE: self._close,
            Operation.SYS_WRITEC: self._write_character,
            Operation.SYS_WRITE0: self._write_string,
            Operation.SYS_WRITE: self._write,
            Operation.SYS_READ: self._read,
            Operation.SYS_READC: self._read_character,
            Operation.SYS_ISERROR: self._is_error,
            Operation.SYS_ISTTY: self._is_terminal,
            Operation.SYS_SEEK: self._seek,
            Operation.SYS_FLEN: self._length,
            Operation.SYS_TMPNAM: self._temporary_name,
            Operation.SYS_REMOVE: self._remove,
            Operation.SYS_RENAME: self._rename,
            Operation.SYS_CLOCK: self._clock,
            Operation.SYS_TIME: self._time,
            Operation.SYS_SYSTEM: self._refuse,
            Operation.SYS_ERRNO: self._last_errno,
            Operation.SYS_GET_CMDLINE: self._command_line,
            Operation.SYS_HEAPINFO: self._heap,
            Operation.SYS_EXIT: self._exit,
            Operation.SYS_EXIT_EXTENDED: self._exit,
            Operation.SYS_ELAPSED: self._elapsed,
            Operation.SYS_TICKFREQ: self._tick_frequency,
        }

    def call(self, guest: GuestView, number: int, parameter: int) -> int | SystemDown:
        """Execute one operation; return the value for x0, or the end of the guest."""
        operation = self._operations.get(number, self._refuse)
        try:
            return operation(guest, parameter)
        except CallError as error:
            self._errno = error.errno
        except OSError as error:
            self._errno = errno_of(error)
        return _FAILED

    def save(self) -> dict[str, Any]:
        """Return the last error, and the open files. Raises ValueError if one is a file of the host."""
        return {"version": _VERSION, "errno": self._errno, "handles": self._handles.save()}

    def load(self, state: object) -> None:
        """Close all open files and restore the state that :meth:`save` returned."""
        saved = Saved(state, "semihosting", version=_VERSION)
        errno, rows = saved.number("errno", _MASK64), saved.rows("handles", 3, _MASK64)
        self._errno = errno
        self._handles.load(rows)

    # Files

    def _open(self, guest: GuestView, parameter: int) -> int:
        address, mode, size = _block(guest, parameter, 3)
        return self._handles.open(_name(guest, address, size), mode)

    def _close(self, guest: GuestView, parameter: int) -> int:
        self._handles.close(*_block(guest, parameter, 1))
        return 0

    def _write(self, guest: GuestView, parameter: int) -> int:
        """The number of bytes not written."""
        number, address, size = _block(guest, parameter, 3)
        left = size
        try:
            handle = self._handles.find(number)
            while left and size - left < _MOST_AT_ONCE:
                data = guest.read(address, min(left, _PIECE))
                if not data:
                    raise CallError(Errno.EFAULT)
                written = handle.write(data)
                left -= written
                address += written
                if written < len(data):
                    break
        except CallError as error:
            self._errno = error.errno
        except OSError as error:
            self._errno = errno_of(error)
        return left

    def _read(self, guest: GuestView, parameter: int) -> int:
        """The number of bytes not read; all of them at the end of a file."""
        number, address, size = _block(guest, parameter, 3)
        left = size
        try:
            handle = self._handles.find(number)
            while left and size - left < _MOST_AT_ONCE:
                # Check the memory first, so that no data read from the host is lost.
                piece = guest.writable(address, min(left, _PIECE))
                if not piece:
                    raise CallError(Errno.EFAULT)
                data = handle.read(piece)
                guest.write(address, data)
                left -= len(data)
                address += len(data)
                if len(data) < piece or handle.is_terminal:
                    break
        except CallError as error:
            self._errno = error.errno
        except OSError as error:
            self._errno = errno_of(error)
        return left

    def _is_terminal(self, guest: GuestView, parameter: int) -> int:
        return int(self._handles.find(*_block(guest, parameter, 1)).is_terminal)

    def _seek(self, guest: GuestView, parameter: int) -> int:
        number, position = _block(guest, parameter, 2)
        self._handles.find(number).seek(position)
        return 0

    def _length(self, guest: GuestView, parameter: int) -> int:
        return self._handles.find(*_block(guest, parameter, 1)).length()

    def _temporary_name(self, guest: GuestView, parameter: int) -> int:
        address, number, size = _block(guest, parameter, 3)
        if number >= _TEMPORARY_FILES:
            raise CallError(Errno.EINVAL)
        self._folder()
        name = b"tmp%02x.semihosting\0" % number
        if size < len(name):
            raise CallError(Errno.ENAMETOOLONG)
        if guest.write(address, name) < len(name):
            raise CallError(Errno.EFAULT)
        return 0

    def _remove(self, guest: GuestView, parameter: int) -> int:
        address, size = _block(guest, parameter, 2)
        self._folder().remove(_name(guest, address, size))
        return 0

    def _rename(self, guest: GuestView, parameter: int) -> int:
        old, old_size, new, new_size = _block(guest, parameter, 4)
        self._folder().rename(_name(guest, old, old_size), _name(guest, new, new_size))
        return 0

    def _folder(self) -> Folder:
        if self._around.folder is None:
            raise CallError(Errno.EACCES)
        return self._around.folder

    # The console

    def _write_character(self, guest: GuestView, parameter: int) -> int:
        self._around.lines.write(guest.read(parameter, 1))
        return 0

    def _write_string(self, guest: GuestView, parameter: int) -> int:
        self._around.lines.write(guest.string(parameter, _LONGEST_STRING))
        return 0

    def _read_character(self, _guest: GuestView, _parameter: int) -> int:
        """Return the next byte of the console's input. No value can signal its end: a guest that reads after the end
        waits forever."""
        data = self._around.lines.read(1)
        if not data:
            raise InputEndedError("the guest waits for input, and the input has ended")
        return data[0]

    # Errors

    def _is_error(self, guest: GuestView, parameter: int) -> int:
        (status,) = _block(guest, parameter, 1)
        return int(status > _MASK64 >> 1)

    def _last_errno(self, _guest: GuestView, _parameter: int) -> int:
        return self._errno

    def _refuse(self, _guest: GuestView, _parameter: int) -> int:
        raise CallError(Errno.ENOSYS)

    # Time, which is the machine's

    def _clock(self, _guest: GuestView, _parameter: int) -> int:
        self._around.spend()
        return self._around.now() // _NANOSECONDS_PER_CENTISECOND

    def _time(self, _guest: GuestView, _parameter: int) -> int:
        self._around.spend()
        return self._around.epoch + self._around.now() // _NANOSECONDS

    def _elapsed(self, guest: GuestView, parameter: int) -> int:
        self._around.spend()
        if not guest.write_words(parameter, self._around.now() & _MASK64):
            raise CallError(Errno.EFAULT)
        return 0

    def _tick_frequency(self, _guest: GuestView, _parameter: int) -> int:
        return _NANOSECONDS

    # The program

    def _command_line(self, guest: GuestView, parameter: int) -> int:
        address, size = _block(guest, parameter, 2)
        line = self._around.command_line + b"\0"
        if size < len(line):
            raise CallError(Errno.E2BIG)
        if guest.write(address, line) < len(line) or not guest.write_words(parameter, address, len(line) - 1):
            raise CallError(Errno.EFAULT)
        return 0

    def _heap(self, guest: GuestView, parameter: int) -> int:
        """Give heap and stack the free memory to share, one from each end, as with QEMU."""
        (address,) = _block(guest, parameter, 1)
        first, end = self._around.free()
        if not guest.write_words(address, first, end, end, first):
            raise CallError(Errno.EFAULT)
        return 0

    def _exit(self, guest: GuestView, parameter: int) -> SystemDown:
        reason, subcode = guest.words(parameter, 2) or (0, 0)
        return SystemDown(PowerAction.EXIT, subcode if reason == APPLICATION_EXIT else 1)


def _block(guest: GuestView, address: int, count: int) -> tuple[int, ...]:
    words = guest.words(address, count)
    if words is None:
        raise CallError(Errno.EFAULT)
    return words


def _name(guest: GuestView, address: int, size: int) -> bytes:
    """A name of ``size`` bytes. The NUL that must follow it is not needed here."""
    if size >= _LONGEST_NAME:
        raise CallError(Errno.ENAMETOOLONG)
    name = guest.read(address, size)
    if len(name) < size:
        raise CallError(Errno.EFAULT)
    return name
