"""Semihosting operations on guest memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.axvcpu.exit import PowerAction, SystemDown
from arm_vcpu_cli.vm.semihosting import (
    OPERATIONS,
    SYS_ERRNO,
    SYS_EXIT,
    SYS_EXIT_EXTENDED,
    SYS_ISERROR,
    SYS_WRITE0,
    SYS_WRITEC,
    Semihosting,
)

BASE = 0x1000
APPLICATION_EXIT, INTERNAL_ERROR = 0x20026, 0x20024


class Guest:
    """Memory from BASE on, and what was printed."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.printed = bytearray()
        self.semihosting = Semihosting(self._read, self.printed.extend)

    def _read(self, address: int, size: int) -> bytes | None:
        start = address - BASE
        if not 0 <= start <= len(self.data) - size:
            return None
        return self.data[start : start + size]


def words(*values: int) -> bytes:
    return b"".join((value % 2**64).to_bytes(8, "little") for value in values)


def padded(data: bytes) -> bytes:
    return data + b"\xee" * (-len(data) % 0x1000)


def test_a_character_is_printed() -> None:
    guest = Guest(b"\x00A")
    assert guest.semihosting.call(SYS_WRITEC, BASE + 1) == 0
    assert guest.printed == b"A"
    assert guest.semihosting.call(SYS_WRITEC, 0x10) == 0
    assert guest.printed == b"A", "an address without memory prints nothing"


@pytest.mark.parametrize(
    "text", [b"", b"hello\n", b"\xff\x80", b"x" * 0x1800], ids=["empty", "line", "bytes", "over pages"]
)
@pytest.mark.parametrize("offset", [0, 0xFFE])
def test_a_string_is_printed_up_to_its_end(text: bytes, offset: int) -> None:
    guest = Guest(padded(b"?" * offset + text + b"\0rest"))
    assert guest.semihosting.call(SYS_WRITE0, BASE + offset) == 0
    assert guest.printed == text


def test_a_string_that_runs_out_of_memory_is_printed_as_far_as_it_goes() -> None:
    guest = Guest(b"x" * 0x2000)
    guest.semihosting.call(SYS_WRITE0, BASE)
    assert guest.printed == b"x" * 0x2000


def test_a_string_without_an_end_is_cut() -> None:
    guest = Guest(b"x" * 0x2_0000)
    guest.semihosting.call(SYS_WRITE0, BASE)
    assert 0 < len(guest.printed) <= 0x1_1000


@pytest.mark.parametrize("operation", [SYS_EXIT, SYS_EXIT_EXTENDED])
@pytest.mark.parametrize(
    ("block", "status"),
    [
        (words(APPLICATION_EXIT, 0), 0),
        (words(APPLICATION_EXIT, 3), 3),
        (words(APPLICATION_EXIT, 0x1FF), 0xFF),
        (words(APPLICATION_EXIT, -1), 0xFF),
        (words(INTERNAL_ERROR, 0), 1),
        (words(APPLICATION_EXIT), 1),
        (b"", 1),
    ],
)
def test_a_guest_ends_itself_with_a_status(operation: int, block: bytes, status: int) -> None:
    assert Guest(block).semihosting.call(operation, BASE) == SystemDown(PowerAction.EXIT, status)


@pytest.mark.parametrize(("block", "answer"), [(words(-1), 1), (words(0), 0), (words(5), 0), (b"", 0)])
def test_is_error(block: bytes, answer: int) -> None:
    assert Guest(block).semihosting.call(SYS_ISERROR, BASE) == answer


def test_errno_says_that_it_is_not_there() -> None:
    assert Guest().semihosting.call(SYS_ERRNO, 0) == 38


@pytest.mark.parametrize("operation", [0x01, 0x02, 0x05, 0x06, 0x12, 0x10, 0x31, 0xFFFF_FFFF])
def test_whatever_would_touch_the_host_is_refused(operation: int) -> None:
    guest = Guest(padded(words(1, 2, 3)))
    assert guest.semihosting.call(operation, BASE) == -1
    assert guest.printed == b""


@given(operation=st.sampled_from(sorted(OPERATIONS)) | st.integers(0, 2**32 - 1), parameter=st.integers(0, 2**64 - 1))
def test_any_call_is_answered(operation: int, parameter: int) -> None:
    answer = Guest(padded(b"abc\0")).semihosting.call(operation, parameter)
    assert isinstance(answer, (int, SystemDown))
