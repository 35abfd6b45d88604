"""The PL011 UART, register by register (DDI 0183G, chapter 3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.pl011 import FIFO_DEPTH, POLLS_BEFORE_IDLE, POLLS_BETWEEN_WAITS, QUIET_READS, Pl011
from arm_vcpu_cli.devices.pl011_registers import (
    CR,
    DMACR,
    DR,
    FBRD,
    FR,
    IBRD,
    ICR,
    IFLS,
    ILPR,
    IMSC,
    LCR_H,
    MIS,
    RIS,
    RSR,
)

RXFE, TXFF, RXFF, TXFE = 1 << 4, 1 << 5, 1 << 6, 1 << 7
BUSY = 1 << 3
RXI, TXI, RTI = 1 << 4, 1 << 5, 1 << 6
UARTEN, TXE, RXE = 1 << 0, 1 << 8, 1 << 9
FEN = 1 << 4


class Wire:
    """A line with bytes on it, and counters of what the UART did."""

    def __init__(self, data: bytes = b"") -> None:
        self.incoming = deque(data)
        self.sent = bytearray()
        self.waits = 0

    def send(self, byte: int) -> None:
        self.sent.append(byte)

    def receive(self) -> int | None:
        return self.incoming.popleft() if self.incoming else None

    def waiting(self) -> bool:
        return bool(self.incoming)

    def wait(self) -> None:
        self.waits += 1


class Bench:
    """A UART with its line and its interrupt."""

    def __init__(self, data: bytes = b"", *, fifo: bool = False, mask: int = 0) -> None:
        self.wire = Wire(data)
        self.level = False
        self.changes = 0
        self.uart = Pl011(self.wire, self._set_level)
        if fifo:
            self.write(LCR_H, FEN)
        if mask:
            self.write(IMSC, mask)

    def _set_level(self, level: bool) -> None:
        self.level = level
        self.changes += 1

    def read(self, offset: int, width: int = 4) -> int:
        return self.uart.read(offset, width)

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self.uart.write(offset, width, value)


# Registers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (DR, 0),
        (RSR, 0),
        (FR, TXFE | RXFE),
        (ILPR, 0),
        (IBRD, 0),
        (FBRD, 0),
        (LCR_H, 0),
        (CR, 0x300),
        (IFLS, 0x12),
        (IMSC, 0),
        (RIS, 0),
        (MIS, 0),
        (ICR, 0),
        (DMACR, 0),
    ],
)
def test_reset_value(offset: int, value: int) -> None:
    assert Bench().read(offset) == value


@pytest.mark.parametrize(
    ("offset", "mask"),
    [
        (ILPR, 0xFF),
        (IBRD, 0xFFFF),
        (FBRD, 0x3F),
        (LCR_H, 0xFF),
        (CR, 0xFF87),
        (IFLS, 0x3F),
        (IMSC, 0x7FF),
        (DMACR, 0x7),
    ],
)
def test_a_register_keeps_its_own_bits_only(offset: int, mask: int) -> None:
    bench = Bench()
    bench.write(offset, 0xFFFF_FFFF)
    assert bench.read(offset) == mask
    bench.write(offset, 0)
    assert bench.read(offset) == 0


@pytest.mark.parametrize("offset", [FR, RIS, MIS, RSR, 0xFE0, 0xFFC, 0x100, 0x008, 0x04C])
def test_read_only_and_unknown_registers_ignore_writes(offset: int) -> None:
    bench = Bench()
    before = bench.read(offset)
    bench.write(offset, 0xFFFF_FFFF)
    assert bench.read(offset) == before
    assert bench.read(RIS) == 0
    assert bench.wire.sent == b""


def test_identification() -> None:
    bench = Bench()
    assert [bench.read(offset) for offset in range(0xFE0, 0x1000, 4)] == [
        0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("offset", "width", "value"),
    [
        (CR, 1, 0x00),
        (CR + 1, 1, 0x03),
        (CR, 2, 0x300),
        (CR, 4, 0x300),
        (CR, 8, 0x300),
        (CR + 2, 2, 0),
        (0xFE0, 1, 0x11),
    ],
)
def test_a_read_gives_as_many_bytes_as_were_asked_for(offset: int, width: int, value: int) -> None:
    assert Bench().read(offset, width) == value


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_any_width_transmits_and_receives_one_byte(width: int) -> None:
    bench = Bench(b"Z")
    bench.write(DR, 0x41, width)
    assert bench.wire.sent == b"A"
    assert bench.read(DR, width) == ord("Z")


def test_only_eight_bits_are_transmitted() -> None:
    bench = Bench()
    bench.write(DR, 0xFFFF_FF42)
    assert bench.wire.sent == b"B"


# Receiving -----------------------------------------------------------------------------------------------------


def test_bytes_come_in_order_and_an_empty_receiver_reads_zero() -> None:
    bench = Bench(b"\x01\x02\xff", fifo=True)
    assert [bench.read(DR) for _ in range(5)] == [1, 2, 0xFF, 0, 0]


def test_flags_with_the_fifo_on() -> None:
    bench = Bench(bytes(FIFO_DEPTH - 1), fifo=True)
    bench.read(RIS)
    assert bench.read(FR) == TXFE
    bench.wire.incoming.append(0)
    bench.uart.poll()
    assert bench.read(FR) == TXFE | RXFF
    for _ in range(FIFO_DEPTH):
        bench.read(DR)
    assert bench.read(FR) == TXFE | RXFE


def test_flags_with_the_fifo_off() -> None:
    bench = Bench(b"ab")
    bench.read(RIS)
    assert bench.read(FR) == TXFE | RXFF, "one byte fills the holding register"
    assert list(bench.wire.incoming) == [ord("b")], "the second byte waits on the line"
    bench.read(DR)
    assert bench.read(FR) == TXFE | RXFF
    bench.read(DR)
    assert bench.read(FR) == TXFE | RXFE


def test_the_fifo_takes_16_bytes_and_leaves_the_rest_on_the_line() -> None:
    bench = Bench(bytes(range(40)), fifo=True)
    bench.read(RIS)
    assert len(bench.wire.incoming) == 24
    assert [bench.read(DR) for _ in range(40)] == list(range(40))


def test_switching_the_fifo_off_keeps_what_was_received() -> None:
    bench = Bench(b"abc", fifo=True)
    bench.uart.poll()
    bench.write(LCR_H, 0)
    assert bytes(bench.read(DR) for _ in range(3)) == b"abc"


def test_the_transmitter_is_never_full_or_busy() -> None:
    bench = Bench()
    for _ in range(100):
        bench.write(DR, 0x55)
        assert bench.read(FR) & (TXFF | BUSY | TXFE) == TXFE


# Interrupts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("select", "level"), [(0, 2), (1, 4), (2, 8), (3, 12), (4, 14), (5, 14), (7, 14)])
def test_the_receive_interrupt_rises_at_the_trigger_level_and_falls_below_it(select: int, level: int) -> None:
    bench = Bench(fifo=True)
    bench.write(IFLS, select << 3)
    for count in range(1, level + 1):
        bench.wire.incoming.append(count)
        bench.uart.poll()
        assert bool(bench.read(RIS) & RXI) is (count >= level)
    bench.read(DR)
    assert not bench.read(RIS) & RXI


def test_without_the_fifo_a_single_byte_raises_the_receive_interrupt() -> None:
    bench = Bench(b"x")
    bench.uart.poll()
    assert bench.read(RIS) == RXI | RTI
    bench.read(DR)
    assert bench.read(RIS) == 0


def test_a_rest_below_the_trigger_level_raises_the_timeout_interrupt_until_it_is_read() -> None:
    bench = Bench(b"xy", fifo=True, mask=RTI)
    bench.uart.poll()
    assert bench.read(RIS) == RTI
    assert bench.level
    bench.read(DR)
    assert bench.read(RIS) == RTI
    bench.read(DR)
    assert bench.read(RIS) == 0
    assert not bench.level


def test_clearing_the_receive_interrupts_holds_until_something_arrives() -> None:
    bench = Bench(bytes(8), fifo=True, mask=RXI | RTI)
    bench.uart.poll()
    assert bench.read(MIS) == RXI | RTI
    bench.write(ICR, RXI | RTI)
    bench.uart.poll()
    assert bench.read(RIS) == 0
    assert not bench.level
    assert bench.read(FR) == TXFE, "the data is still there"
    bench.wire.incoming.append(1)
    bench.uart.poll()
    assert bench.read(RIS) == RXI | RTI
    assert bench.level


def test_input_that_follows_on_raises_the_interrupt_again() -> None:
    bench = Bench(b"ab", mask=RXI)
    bench.uart.poll()
    assert bench.read(DR) == ord("a")
    assert bench.level, "the next byte has taken the place of the first"
    assert bench.read(DR) == ord("b")
    assert not bench.level


def test_sending_raises_the_transmit_interrupt_and_clearing_lowers_it() -> None:
    bench = Bench(mask=TXI)
    assert not bench.level, "there was no transition yet"
    bench.write(DR, 1)
    assert bench.read(RIS) == TXI
    assert bench.level
    bench.write(ICR, TXI)
    assert bench.read(RIS) == 0
    assert not bench.level


def test_clearing_one_interrupt_leaves_the_others() -> None:
    bench = Bench(b"x")
    bench.uart.poll()
    bench.write(DR, 1)
    bench.write(ICR, TXI)
    assert bench.read(RIS) == RXI | RTI


def test_masked_interrupts_show_in_the_raw_status_only() -> None:
    bench = Bench(b"x")
    bench.uart.poll()
    assert (bench.read(RIS), bench.read(MIS), bench.level) == (RXI | RTI, 0, False)
    bench.write(IMSC, RXI)
    assert (bench.read(MIS), bench.level) == (RXI, True)
    bench.write(IMSC, TXI)
    assert (bench.read(MIS), bench.level) == (0, False)


def test_a_guest_that_watches_the_interrupt_status_sees_input_arrive() -> None:
    bench = Bench(b"x", mask=RXI)
    assert bench.read(MIS) == RXI
    assert bench.read(DR) == ord("x")


def test_the_line_to_the_interrupt_controller_is_told_of_changes_only() -> None:
    bench = Bench(mask=TXI)
    for _ in range(10):
        bench.write(DR, 1)
    assert bench.changes == 1
    bench.write(ICR, TXI)
    assert bench.changes == 2


# Receivers that are switched on --------------------------------------------------------------------------------


def enabled(data: bytes, *, mask: int = 0) -> Bench:
    """A UART whose receiver was just enabled, with bytes waiting on the line since before."""
    bench = Bench(data, fifo=True, mask=mask)
    bench.uart.poll()
    bench.write(CR, UARTEN | RXE | TXE)
    return bench


def test_a_receiver_starts_empty_so_that_a_driver_that_drains_it_loses_nothing() -> None:
    data = bytes(range(100))
    bench = enabled(data)
    bench.uart.poll()
    assert bench.read(FR) == TXFE | RXFE
    assert bench.read(RIS) == 0
    bench.write(IMSC, RXI | RTI)
    assert bench.level, "the input waits no longer"
    assert bytes(bench.read(DR) for _ in data) == data
    assert not bench.level


@pytest.mark.parametrize("register", [FR, RIS])
def test_a_guest_that_keeps_looking_at_its_receiver_is_given_the_input(register: int) -> None:
    bench = enabled(b"hello")
    bench.wire.incoming.extend(b" world")
    for _ in range(QUIET_READS - 1):
        assert bench.read(register) in (0, TXFE | RXFE)
        bench.write(DR, 0x2E)
        bench.write(ICR, TXI)
    assert bench.read(register) & (RTI if register == RIS else RXFE) == (RTI if register == RIS else 0)
    assert bytes(bench.read(DR) for _ in range(11)) == b"hello world"


def test_a_guest_that_reads_data_without_looking_is_given_the_input() -> None:
    bench = enabled(b"hello")
    assert bytes(bench.read(DR) for _ in range(5)) == b"hello"


def test_a_guest_that_has_read_data_is_told_what_arrives_later() -> None:
    bench = enabled(b"")
    bench.read(DR)
    bench.wire.incoming.append(1)
    bench.uart.poll()
    assert bench.read(RIS) == RTI


def test_a_receiver_with_its_interrupt_enabled_receives_at_once() -> None:
    assert enabled(b"x", mask=RTI).level


@pytest.mark.parametrize("control", [UARTEN | TXE, RXE | TXE, UARTEN | RXE])
def test_only_enabling_the_receiver_empties_it(control: int) -> None:
    bench = enabled(b"ab")
    assert bench.read(DR) == ord("a")
    bench.write(CR, control)
    assert bench.read(FR) == TXFE


def test_a_receiver_enabled_again_starts_empty_again_and_keeps_the_order() -> None:
    bench = enabled(b"abcd")
    assert bench.read(DR) == ord("a")
    bench.write(CR, UARTEN | TXE)
    bench.write(CR, UARTEN | TXE | RXE)
    assert bench.read(FR) == TXFE | RXFE
    assert bytes(bench.read(DR) for _ in range(3)) == b"bcd"


# An interrupt-driven driver ------------------------------------------------------------------------------------


def drive(bench: Bench, pending: bytearray, received: bytearray, *, limit: int = 256) -> None:
    """The interrupt handler of a usual driver: drain the receiver, send half a FIFO, mask TXI when nothing is left."""
    for _ in range(limit):
        status = bench.read(RIS) & bench.read(IMSC)
        if not status:
            return
        bench.write(ICR, status & ~(TXI | RTI | RXI))
        if status & (RTI | RXI):
            while not bench.read(FR) & RXFE:
                received.append(bench.read(DR))
        if status & TXI:
            for byte in pending[: FIFO_DEPTH // 2]:
                bench.write(DR, byte)
            del pending[: FIFO_DEPTH // 2]
            if not pending:
                bench.write(IMSC, bench.read(IMSC) & ~TXI)
    raise AssertionError("the interrupt never goes away")


def test_a_driver_that_sends_from_the_interrupt_neither_stalls_nor_storms() -> None:
    bench = enabled(b"", mask=RXI | RTI)
    pending, received = bytearray(range(200)), bytearray()
    bench.write(DR, 0xFF)
    bench.write(IMSC, RXI | RTI | TXI)
    assert bench.level
    drive(bench, pending, received)
    assert bench.wire.sent == b"\xff" + bytes(range(200))
    assert not bench.level


@given(chunks=st.lists(st.binary(min_size=1, max_size=60), max_size=10))
def test_a_driver_that_receives_by_interrupt_gets_every_byte(chunks: list[bytes]) -> None:
    bench = enabled(b"", mask=RXI | RTI)
    received = bytearray()
    for chunk in chunks:
        bench.wire.incoming.extend(chunk)
        bench.uart.poll()
        assert bench.level
        drive(bench, bytearray(), received)
        assert not bench.level
    assert received == b"".join(chunks)


# Idle guests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("register", [FR, RIS, MIS])
def test_polling_an_empty_receiver_waits_on_the_line(register: int) -> None:
    bench = Bench()
    for _ in range(POLLS_BEFORE_IDLE - 1):
        bench.read(register)
    assert bench.wire.waits == 0
    bench.read(register)
    assert bench.wire.waits == 1
    for _ in range(POLLS_BETWEEN_WAITS - 1):
        bench.read(register)
    assert bench.wire.waits == 1
    bench.read(register)
    assert bench.wire.waits == 2


@pytest.mark.parametrize("interruption", ["write", "other write", "data read", "arrival"])
def test_anything_else_that_happens_on_the_uart_is_not_idleness(interruption: str) -> None:
    bench = Bench()
    for _ in range(3):
        for _ in range(POLLS_BEFORE_IDLE - 1):
            bench.read(FR)
        if interruption == "write":
            bench.write(DR, 0x2E)
        elif interruption == "other write":
            bench.write(CR, 0x301)
        elif interruption == "data read":
            bench.read(DR)
        else:
            bench.wire.incoming.append(1)
            assert not bench.read(FR) & RXFE
            bench.read(DR)
    assert bench.wire.waits == 0


# Who asks for input --------------------------------------------------------------------------------------------


def test_a_guest_that_only_prints_takes_nothing_from_the_line() -> None:
    bench = Bench(b"for somebody else")
    for byte in b"hello":
        assert bench.read(FR) == TXFE, "there would be something"
        bench.write(DR, byte)
        assert bench.read(FR) == TXFE
    bench.write(IMSC, TXI)
    bench.uart.poll()
    assert bytes(bench.wire.incoming) == b"for somebody else"
    assert (bytes(bench.wire.sent), bench.uart.unread) == (b"hello", 0)


@pytest.mark.parametrize(
    "asks",
    [
        lambda bench: bench.write(IMSC, RTI),
        lambda bench: bench.write(IMSC, RXI),
        lambda bench: bench.read(RIS),
        lambda bench: bench.read(MIS),
    ],
    ids=["RTIM", "RXIM", "RIS", "MIS"],
)
def test_a_guest_asks_for_input(asks: Callable[[Bench], object]) -> None:
    bench = Bench(b"abc")
    asks(bench)
    assert (bytes(bench.wire.incoming), bench.uart.unread) == (b"bc", 1)
    assert bench.read(DR) == ord("a")


def test_a_guest_that_reads_data_asks_for_it() -> None:
    bench = Bench(b"abc")
    assert (bench.read(DR), bench.read(DR)) == (ord("a"), ord("b"))


def test_a_guest_that_does_nothing_but_look_asks_in_the_end() -> None:
    bench = Bench()
    for _ in range(POLLS_BEFORE_IDLE):
        bench.read(FR)
    bench.wire.incoming.append(0x41)
    bench.uart.poll()
    assert (bench.uart.unread, bench.read(DR)) == (1, 0x41)


def test_polling_while_there_is_data_never_waits() -> None:
    bench = Bench(b"x")
    for _ in range(3 * POLLS_BEFORE_IDLE):
        bench.read(FR)
    assert bench.wire.waits == 0


def test_a_guest_that_waits_for_its_transmission_is_not_idle() -> None:
    bench = Bench()
    bench.write(DR, 1)
    for _ in range(3 * POLLS_BEFORE_IDLE):
        assert bench.read(RIS) == TXI
    assert bench.wire.waits == 0


# Anything ------------------------------------------------------------------------------------------------------

ACCESSES = st.tuples(st.booleans(), st.integers(0, 0x1FFF), st.sampled_from((1, 2, 4, 8)), st.integers(0, 2**64 - 1))
NEAR = st.sampled_from((DR, RSR, FR, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR))


@given(
    data=st.binary(max_size=80),
    accesses=st.lists(ACCESSES | st.tuples(st.booleans(), NEAR, st.just(4), st.integers(0, 0xFFFF)), max_size=60),
)
def test_any_sequence_of_accesses_keeps_the_uart_consistent(
    data: bytes, accesses: list[tuple[bool, int, int, int]]
) -> None:
    bench = Bench(data)
    for is_write, offset, width, value in accesses:
        if is_write:
            bench.write(offset, value & ((1 << 8 * width) - 1), width)
        else:
            assert 0 <= bench.read(offset, width) < 1 << 8 * width
        assert bench.read(MIS) == bench.read(RIS) & bench.read(IMSC)
        assert bench.level is bool(bench.read(MIS))
        # In this order: looking at the status of a receiver that has just been switched on is what starts it.
        raised, flags = bench.read(RIS), bench.read(FR)
        assert not (flags & RXFE and flags & RXFF)
        if raised & (RXI | RTI):
            assert not flags & RXFE


@given(data=st.binary(max_size=100), fifo=st.booleans(), polls=st.lists(st.booleans(), max_size=100))
def test_no_byte_is_lost_doubled_or_reordered(data: bytes, fifo: bool, polls: list[bool]) -> None:
    bench, got = Bench(data, fifo=fifo), bytearray()
    for poll in polls:
        if poll:
            bench.uart.poll()
        elif not bench.read(FR) & RXFE:
            got.append(bench.read(DR))
    while not bench.read(FR) & RXFE:
        got.append(bench.read(DR))
    assert got == data
