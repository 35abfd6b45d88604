"""Semihosting operations on guest memory, and the one folder whose files a guest may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.axvcpu.exit import PowerAction, SystemDown
from arm_vcpu_cli.errors import FileError
from arm_vcpu_cli.host.console import InputEndedError
from arm_vcpu_cli.vm.semihosting.folder import Folder
from arm_vcpu_cli.vm.semihosting.guest_view import GuestView
from arm_vcpu_cli.vm.semihosting.handles import MOST_BYTES, MOST_HANDLES
from arm_vcpu_cli.vm.semihosting.operations import OPERATIONS, Errno, Operation
from arm_vcpu_cli.vm.semihosting.service import Service, Surroundings
from tests.support.stopped_cpu import StoppedCpu

BASE = 0x1000
SIZE = 0x4000
NAME, DATA = BASE + 0x800, BASE + 0x1000
APPLICATION_EXIT, INTERNAL_ERROR = 0x20026, 0x20024
EPOCH = 1_700_000_000
FAILED = -1
WORD = 8


class Memory(GuestView):
    """Memory from BASE on, without a core."""

    def __init__(self) -> None:
        self.data = bytearray(SIZE)
        self._cpu = StoppedCpu()

    def read(self, address: int, size: int) -> bytes:
        start = address - BASE
        return bytes(self.data[start : start + size]) if start >= 0 else b""

    def write(self, address: int, data: bytes) -> int:
        size = self.writable(address, len(data))
        self.data[address - BASE : address - BASE + size] = data[:size]
        return size

    def writable(self, address: int, size: int) -> int:
        return max(min(BASE + SIZE - address, size), 0) if address >= BASE else 0


class Lines:
    """What was printed, and what is there to be read."""

    def __init__(self) -> None:
        self.printed, self.errors, self.input = bytearray(), bytearray(), bytearray()

    def read(self, most: int) -> bytes:
        data = bytes(self.input[:most])
        del self.input[:most]
        return data

    def write(self, data: bytes) -> None:
        self.printed += data

    def write_error(self, data: bytes) -> None:
        self.errors += data


class Guest:
    """A guest that makes calls."""

    def __init__(self, folder: Path | None = None) -> None:
        self.memory, self.lines, self.now, self.looks = Memory(), Lines(), 0, 0
        self.folder = None if folder is None else Folder(folder)
        around = Surroundings(
            lines=self.lines,
            now=lambda: self.now,
            spend=self._look,
            epoch=EPOCH,
            command_line=b"guest.elf one two",
            free=lambda: (0x4100_0000, 0x5000_0000),
            folder=self.folder,
        )
        self.service = Service(around)

    def _look(self) -> None:
        self.looks += 1

    def call(self, operation: int, *block: int) -> int:
        """Make a call whose parameters are a block."""
        self.memory.write_words(BASE, *(value % 2**64 for value in block))
        answer = self.service.call(self.memory, operation, BASE)
        assert isinstance(answer, int)
        return answer

    def name(self, text: str) -> tuple[int, int]:
        """A name in memory: its address and length."""
        data = os.fsencode(text)
        self.memory.write(NAME, data + b"\0")
        return NAME, len(data)

    def open(self, text: str, mode: int = 0) -> int:
        address, size = self.name(text)
        return self.call(Operation.SYS_OPEN, address, mode, size)

    @property
    def errno(self) -> int:
        return self.call(Operation.SYS_ERRNO)

    def refused(self, answer: int) -> int:
        """The error of a call that has failed."""
        assert answer == FAILED
        return self.errno


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    inside = tmp_path / "inside"
    inside.mkdir()
    made = Guest(inside)
    yield made
    made.service.load({"version": 1, "errno": 0, "handles": []})
    assert made.folder is not None
    made.folder.close()


# The console ---------------------------------------------------------------------------------------------------


def test_a_character_is_printed() -> None:
    guest = Guest()
    guest.memory.write(DATA, b"A")
    assert guest.service.call(guest.memory, Operation.SYS_WRITEC, DATA) == 0
    assert guest.lines.printed == b"A"
    guest.service.call(guest.memory, Operation.SYS_WRITEC, 0x10)
    assert guest.lines.printed == b"A", "an address without memory prints nothing"


@pytest.mark.parametrize(
    "text", [b"", b"hello\n", b"\xff\x80", b"x" * 0x1800], ids=["empty", "line", "bytes", "over pages"]
)
@pytest.mark.parametrize("offset", [0, 0xFFE])
def test_a_string_is_printed_up_to_its_end(text: bytes, offset: int) -> None:
    guest = Guest()
    guest.memory.write(BASE + offset, text + b"\0rest")
    guest.service.call(guest.memory, Operation.SYS_WRITE0, BASE + offset)
    assert guest.lines.printed == text


def test_a_string_without_an_end_is_printed_as_far_as_there_is_memory() -> None:
    guest = Guest()
    guest.memory.data[:] = b"x" * SIZE
    guest.service.call(guest.memory, Operation.SYS_WRITE0, BASE)
    assert guest.lines.printed == b"x" * SIZE


def test_the_terminal_is_three_files_by_mode() -> None:
    guest = Guest()
    in_, out, error = (guest.open(":tt", mode) for mode in (0, 4, 8))
    assert len({in_, out, error}) == 3
    assert 0 not in (in_, out, error)
    guest.memory.write(DATA, b"out")
    assert guest.call(Operation.SYS_WRITE, out, DATA, 3) == 0
    assert guest.call(Operation.SYS_WRITE, error, DATA, 2) == 0
    assert guest.lines.printed == b"out"
    assert guest.lines.errors == b"ou"
    guest.lines.input += b"typed"
    assert guest.call(Operation.SYS_READ, in_, DATA, 8) == 3, "what was not read"
    assert guest.memory.read(DATA, 5) == b"typed"
    assert guest.call(Operation.SYS_READ, in_, DATA, 8) == 8, "the end"
    assert [guest.call(Operation.SYS_ISTTY, each) for each in (in_, out, error)] == [1, 1, 1]
    assert guest.call(Operation.SYS_WRITE, in_, DATA, 3) == 3
    assert guest.errno == Errno.EBADF


def test_a_character_is_read_and_the_end_of_the_input_ends_the_wait() -> None:
    guest = Guest()
    guest.lines.input += b"\xff"
    assert guest.call(Operation.SYS_READC) == 0xFF
    with pytest.raises(InputEndedError):
        guest.call(Operation.SYS_READC)


# The program ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [Operation.SYS_EXIT, Operation.SYS_EXIT_EXTENDED])
@pytest.mark.parametrize(
    ("block", "status"),
    [
        ((APPLICATION_EXIT, 0), 0),
        ((APPLICATION_EXIT, 3), 3),
        ((APPLICATION_EXIT, 2**64 - 1), 2**64 - 1),
        ((INTERNAL_ERROR, 0), 1),
        (None, 1),
    ],
)
def test_a_guest_ends_itself_with_a_status(operation: int, block: tuple[int, ...] | None, status: int) -> None:
    guest = Guest()
    if block is not None:
        guest.memory.write_words(BASE, *block)
    address = BASE if block is not None else 0x10
    answer = guest.service.call(guest.memory, operation, address)
    assert answer == SystemDown(PowerAction.EXIT, status)


def test_the_command_line_is_given_with_its_length() -> None:
    guest = Guest()
    assert guest.call(Operation.SYS_GET_CMDLINE, DATA, 18) == 0
    assert guest.memory.words(BASE, 2) == (DATA, 17)
    assert guest.memory.read(DATA, 18) == b"guest.elf one two\0"
    assert guest.refused(guest.call(Operation.SYS_GET_CMDLINE, DATA, 17)) == Errno.E2BIG


def test_heap_and_stack_share_the_memory_that_is_free() -> None:
    guest = Guest()
    assert guest.call(Operation.SYS_HEAPINFO, DATA) == 0
    assert guest.memory.words(DATA, 4) == (0x4100_0000, 0x5000_0000, 0x5000_0000, 0x4100_0000)


def test_clocks_are_those_of_the_machine_and_looking_takes_time() -> None:
    guest = Guest()
    guest.now = 3_219_999_999
    assert guest.call(Operation.SYS_CLOCK) == 321
    assert guest.call(Operation.SYS_TIME) == EPOCH + 3
    assert guest.call(Operation.SYS_TICKFREQ) == 1_000_000_000
    assert guest.service.call(guest.memory, Operation.SYS_ELAPSED, DATA) == 0
    assert guest.memory.words(DATA, 1) == (3_219_999_999,)
    assert guest.looks == 3


@pytest.mark.parametrize(("status", "answer"), [(-1, 1), (0, 0), (5, 0)])
def test_is_error(status: int, answer: int) -> None:
    assert Guest().call(Operation.SYS_ISERROR, status) == answer


def test_features() -> None:
    guest = Guest()
    handle = guest.open(":semihosting-features")
    assert guest.call(Operation.SYS_FLEN, handle) == 5
    assert guest.call(Operation.SYS_READ, handle, DATA, 5) == 0
    assert guest.memory.read(DATA, 5) == b"SHFB\x03"
    assert guest.refused(guest.open(":semihosting-features", 4)) == Errno.EACCES


# Files ---------------------------------------------------------------------------------------------------------


def test_without_a_folder_there_are_no_files() -> None:
    guest = Guest()
    assert guest.refused(guest.open("file")) == Errno.EACCES
    assert guest.refused(guest.open("file", 4)) == Errno.EACCES
    assert guest.refused(guest.call(Operation.SYS_REMOVE, *guest.name("file"))) == Errno.EACCES
    assert guest.refused(guest.call(Operation.SYS_RENAME, *guest.name("file") * 2)) == Errno.EACCES
    assert guest.refused(guest.call(Operation.SYS_TMPNAM, DATA, 0, 64)) == Errno.EACCES


@pytest.mark.parametrize(
    ("mode", "before", "after", "reads"),
    [
        (0, b"old", b"old", True),
        (2, b"old", b"XYd", True),
        (4, b"old", b"XY", False),
        (6, b"old", b"XY", True),
        (8, b"old", b"oldXY", False),
        (11, b"old", b"oldXY", True),
        (5, None, b"XY", False),
        (9, None, b"XY", False),
    ],
)
def test_modes_are_those_of_fopen(
    guest: Guest, tmp_path: Path, mode: int, before: bytes | None, after: bytes, reads: bool
) -> None:
    file = tmp_path / "inside" / "file"
    if before is not None:
        file.write_bytes(before)
    handle = guest.open("file", mode)
    guest.memory.write(DATA, b"XY")
    assert guest.call(Operation.SYS_WRITE, handle, DATA, 2) == (2 if mode == 0 else 0)
    assert guest.call(Operation.SYS_SEEK, handle, 0) == 0
    assert (guest.call(Operation.SYS_READ, handle, DATA, 1) == 0) == reads
    assert guest.call(Operation.SYS_ISTTY, handle) == 0
    assert guest.call(Operation.SYS_FLEN, handle) == len(after)
    assert guest.call(Operation.SYS_CLOSE, handle) == 0
    assert file.read_bytes() == after


@pytest.mark.parametrize("name", ["missing", "missing/file"])
@pytest.mark.parametrize("mode", [0, 2])
def test_what_is_not_there_is_not_found(guest: Guest, name: str, mode: int) -> None:
    assert guest.refused(guest.open(name, mode)) == Errno.ENOENT


ESCAPES = ("../secret", "sub/../../secret", "{absolute}/secret", "link", "to_folder/secret", "sub/link", "..", "/")


@pytest.mark.parametrize("name", ESCAPES)
def test_there_is_no_way_out_of_the_folder(guest: Guest, tmp_path: Path, name: str) -> None:
    secret, inside = tmp_path / "secret", tmp_path / "inside"
    secret.write_bytes(b"secret")
    (inside / "sub").mkdir()
    (inside / "mine").write_bytes(b"mine")
    for link in (inside / "link", inside / "sub" / "link"):
        link.symlink_to(secret)
    (inside / "to_folder").symlink_to(tmp_path)
    name = name.format(absolute=tmp_path)
    for mode in range(12):
        assert guest.refused(guest.open(name, mode)) in (Errno.EACCES, Errno.ENOTDIR, Errno.EISDIR)
    assert guest.call(Operation.SYS_REMOVE, *guest.name(name)) == FAILED
    guest.memory.write(DATA, b"mine\0")
    assert guest.call(Operation.SYS_RENAME, DATA, 4, *guest.name(name)) == FAILED
    assert guest.call(Operation.SYS_RENAME, *guest.name(name), DATA, 4) == FAILED
    assert secret.read_bytes() == b"secret"
    assert (inside / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: os.mkfifo(path), Errno.EACCES),
        (lambda path: path.symlink_to("/dev/null"), Errno.EACCES),
        (lambda path: path.mkdir(), Errno.EISDIR),
    ],
    ids=["fifo", "link to a device", "folder"],
)
def test_only_regular_files_are_opened(
    guest: Guest, tmp_path: Path, make: Callable[[Path], None], error: Errno
) -> None:
    make(tmp_path / "inside" / "special")
    assert guest.refused(guest.open("special")) == error
    assert guest.refused(guest.open("special", 4)) == error
    assert guest.refused(guest.call(Operation.SYS_REMOVE, *guest.name("special"))) == error


def test_files_are_renamed_and_removed(guest: Guest, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "sub").mkdir()
    (inside / "first").write_bytes(b"1")
    guest.memory.write(DATA, b"sub/second\0")
    assert guest.call(Operation.SYS_RENAME, *guest.name("first"), DATA, 10) == 0
    assert (inside / "sub" / "second").read_bytes() == b"1"
    assert guest.call(Operation.SYS_REMOVE, DATA, 10) == 0
    assert [*inside.iterdir()] == [inside / "sub"]
    assert guest.refused(guest.call(Operation.SYS_REMOVE, DATA, 10)) == Errno.ENOENT


def test_a_temporary_name_can_be_opened(guest: Guest, tmp_path: Path) -> None:
    assert guest.call(Operation.SYS_TMPNAM, DATA, 0x1F, 64) == 0
    name = guest.memory.string(DATA, 64).decode()
    assert guest.open(name, 4) > 0
    assert (tmp_path / "inside" / name).is_file()
    assert guest.refused(guest.call(Operation.SYS_TMPNAM, DATA, 0x1F, len(name))) == Errno.ENAMETOOLONG
    assert guest.refused(guest.call(Operation.SYS_TMPNAM, DATA, 256, 64)) == Errno.EINVAL


def test_a_file_does_not_grow_without_end(guest: Guest, tmp_path: Path) -> None:
    handle = guest.open("file", 4)
    assert guest.refused(guest.call(Operation.SYS_SEEK, handle, MOST_BYTES + 1)) == Errno.EINVAL
    assert guest.call(Operation.SYS_SEEK, handle, MOST_BYTES - 1) == 0
    assert guest.call(Operation.SYS_WRITE, handle, DATA, 2) == 1
    assert guest.call(Operation.SYS_WRITE, handle, DATA, 2) == 2
    assert guest.errno == Errno.EFBIG
    assert (tmp_path / "inside" / "file").stat().st_size == MOST_BYTES


def test_so_many_files_and_no_more_are_open_at_once(guest: Guest) -> None:
    handles = [guest.open(f"file{number}", 4) for number in range(MOST_HANDLES)]
    assert sorted(handles) == list(range(1, MOST_HANDLES + 1))
    assert guest.refused(guest.open("another", 4)) == Errno.EMFILE
    assert guest.call(Operation.SYS_CLOSE, handles[3]) == 0
    assert guest.open("another", 4) == handles[3]


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        with pytest.raises(FileError, match="cannot be used as the folder of semihosting: "):
            Folder(tmp_path / name)


# Whatever a guest says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [Operation.SYS_SYSTEM, 0x31 + 1, 0xFFFF_FFFF, 0])
def test_commands_and_what_is_no_operation_are_refused(operation: int) -> None:
    guest = Guest()
    assert guest.refused(guest.call(operation, 1, 2, 3)) == Errno.ENOSYS


def test_sizes_that_nobody_has_memory_for(guest: Guest) -> None:
    most = 2**64 - 1
    assert guest.refused(guest.call(Operation.SYS_OPEN, NAME, 0, most)) == Errno.ENAMETOOLONG
    handle = guest.open("file", 6)
    end = BASE + SIZE
    assert guest.call(Operation.SYS_WRITE, handle, end - 3, most) == most - 3
    assert guest.errno == Errno.EFAULT
    assert guest.call(Operation.SYS_SEEK, handle, 0) == 0
    assert guest.call(Operation.SYS_READ, handle, end - 2, most) == most - 2
    assert guest.call(Operation.SYS_FLEN, handle) == 3


@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(sorted(OPERATIONS)) | st.integers(0, 2**32 - 1),
            st.lists(st.sampled_from([BASE, NAME, DATA, 0, 1, 3, 8]) | st.integers(0, 2**64 - 1), max_size=4),
        ),
        max_size=8,
    ),
    parameter=st.just(BASE) | st.integers(0, 2**64 - 1),
)
def test_any_call_is_answered(calls: list[tuple[int, list[int]]], parameter: int) -> None:
    guest = Guest()
    for operation, block in calls:
        guest.lines.input += b"x"
        guest.memory.write_words(BASE, *block)
        assert isinstance(guest.service.call(guest.memory, operation, parameter), (int, SystemDown))


# Its state -------------------------------------------------------------------------------------------------------


def test_what_is_open_is_saved_and_opened_again() -> None:
    first, second = Guest(), Guest()
    first.open(":tt", 4)
    features = first.open(":semihosting-features")
    first.call(Operation.SYS_READ, features, DATA, 2)
    first.call(Operation.SYS_CLOSE, 99)
    second.open(":tt", 0)
    second.service.load(first.service.save())
    assert second.service.save() == first.service.save()
    assert second.errno == Errno.EBADF
    assert second.call(Operation.SYS_READ, features, DATA, 3) == 0
    assert second.memory.read(DATA, 3) == b"FB\x03"


def test_files_of_the_host_cannot_be_saved(guest: Guest) -> None:
    guest.open("file", 4)
    with pytest.raises(ValueError, match="files that a guest has open"):
        guest.service.save()
