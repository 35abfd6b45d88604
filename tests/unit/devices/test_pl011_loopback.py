"""The PL011 in loop-back: it receives what it sends, with errors, interrupts and modem lines (DDI 0183G, 3.3.8)."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.devices.pl011 import FIFO_DEPTH, Pl011
from arm_vcpu_cli.devices.pl011_registers import CR, DR, FR, ICR, IFLS, IMSC, LCR_H, MIS, RIS, RSR

from .test_pl011 import FEN, RTI, RXE, RXFE, RXFF, RXI, TXE, TXFE, TXI, UARTEN, Wire

LBE, DTR, RTS, OUT1, OUT2 = 1 << 7, 1 << 10, 1 << 11, 1 << 12, 1 << 13
ON = UARTEN | TXE | RXE
BRK = 1
OE, BE = 1 << 11, 1 << 10
RSR_OE, RSR_BE = 1 << 3, 1 << 2
OEI, BEI = 1 << 10, 1 << 9
RIMI, CTSMI, DCDMI, DSRMI = 1, 2, 4, 8
CTS, DSR, DCD, RI = 1, 2, 4, 1 << 8


def looped(incoming: bytes = b"", *, fifo: bool = True) -> tuple[Pl011, Wire]:
    wire = Wire(incoming)
    uart = Pl011(wire)
    uart.write(LCR_H, 4, 0x60 | (FEN if fifo else 0))
    uart.write(CR, 4, ON | LBE)
    return uart, wire


def send(uart: Pl011, data: bytes) -> None:
    for byte in data:
        uart.write(DR, 4, byte)


def received(uart: Pl011) -> bytes:
    found = bytearray()
    while not uart.read(FR, 4) & RXFE:
        found.append(uart.read(DR, 4))
    return bytes(found)


def test_what_is_sent_is_received_and_does_not_leave() -> None:
    uart, wire = looped()
    send(uart, b"loop\xff\x00")
    assert received(uart) == b"loop\xff\x00"
    assert not wire.sent


def test_out_of_loop_back_it_sends_to_the_line_again() -> None:
    uart, wire = looped()
    uart.write(CR, 4, ON)
    send(uart, b"out")
    assert bytes(wire.sent) == b"out"
    assert received(uart) == b""


def test_what_has_looped_is_still_there_afterwards() -> None:
    uart, _ = looped(b"typed")
    send(uart, b"ab")
    uart.write(CR, 4, ON)
    assert (uart.read(DR, 4), uart.read(DR, 4)) == (ord("a"), ord("b"))
    assert received(uart) == b"typed"


def test_what_arrives_on_the_line_meanwhile_waits() -> None:
    uart, wire = looped(b"typed")
    uart.write(IMSC, 4, RXI | RTI)
    uart.poll()
    assert uart.read(FR, 4) & RXFE
    assert uart.read(DR, 4) == 0
    assert bytes(wire.incoming) == b"typed"
    uart.write(CR, 4, ON)
    assert uart.read(MIS, 4) == RTI
    assert received(uart) == b"typed"


def test_what_was_received_before_waits_too() -> None:
    wire = Wire(b"before")
    uart = Pl011(wire)
    uart.write(LCR_H, 4, FEN)
    uart.write(CR, 4, ON)
    uart.write(IMSC, 4, RXI)
    assert uart.unread == 6
    uart.write(CR, 4, ON | LBE)
    send(uart, b"!")
    assert uart.unread == 6, "nobody typed the one that looped"
    assert received(uart) == b"!"
    uart.write(CR, 4, ON)
    assert received(uart) == b"before"


@pytest.mark.parametrize("missing", [UARTEN, TXE, RXE])
def test_what_is_switched_off_loops_nothing(missing: int) -> None:
    uart, wire = looped()
    uart.write(CR, 4, (ON | LBE) & ~missing)
    send(uart, b"x")
    assert uart.read(FR, 4) & RXFE
    assert not wire.sent


@pytest.mark.parametrize(("select", "level"), [(0, 2), (1, 4), (2, 8), (3, 12), (4, 14)])
def test_the_level_of_the_fifo_raises_the_receive_interrupt(select: int, level: int) -> None:
    uart, _ = looped()
    uart.write(IFLS, 4, select << 3)
    send(uart, bytes(level - 1))
    assert uart.read(RIS, 4) & (RXI | RTI) == RTI
    send(uart, b"x")
    assert uart.read(RIS, 4) & (RXI | RTI | TXI) == RXI | RTI | TXI
    uart.read(DR, 4)
    assert uart.read(RIS, 4) & (RXI | RTI) == RTI
    received(uart)
    assert uart.read(RIS, 4) & (RXI | RTI) == 0


def test_the_interrupt_line_follows() -> None:
    levels: list[bool] = []
    uart = Pl011(Wire(), levels.append)
    uart.write(CR, 4, ON | LBE)
    uart.write(IMSC, 4, RXI)
    uart.write(DR, 4, 0x41)
    uart.read(DR, 4)
    assert levels == [True, False]


@pytest.mark.parametrize("fifo", [False, True])
def test_what_finds_no_room_is_an_overrun(fifo: bool) -> None:
    uart, _ = looped(fifo=fifo)
    depth = FIFO_DEPTH if fifo else 1
    send(uart, bytes(range(depth)))
    assert uart.read(FR, 4) & (RXFF | TXFE) == RXFF | TXFE
    assert uart.read(RSR, 4) == 0
    send(uart, b"lost")
    assert uart.read(RIS, 4) & OEI
    assert uart.read(RSR, 4) == RSR_OE
    assert uart.read(DR, 4) == 0, "the characters in the FIFO are good (3.3.1)"
    send(uart, b"n")
    for value in range(1, depth):
        assert uart.read(DR, 4) == value
    assert uart.read(DR, 4) == ord("n") | OE, "the next one has the mark (table 2-4)"
    uart.write(RSR, 4, 0)
    send(uart, b"m")
    assert (uart.read(DR, 4), uart.read(RSR, 4)) == (ord("m"), 0)
    uart.write(ICR, 4, OEI)
    assert not uart.read(RIS, 4) & OEI


def test_a_break_is_a_zero_with_its_error() -> None:
    uart, _ = looped()
    send(uart, b"a")
    uart.write(LCR_H, 4, 0x60 | FEN | BRK)
    assert uart.read(RIS, 4) & BEI
    uart.write(LCR_H, 4, 0x60 | FEN)
    send(uart, b"b")
    assert (uart.read(DR, 4), uart.read(RSR, 4)) == (ord("a"), 0)
    assert (uart.read(DR, 4), uart.read(RSR, 4)) == (BE, RSR_BE)
    assert (uart.read(DR, 4), uart.read(RSR, 4)) == (ord("b"), 0)
    uart.write(ICR, 4, BEI)
    assert not uart.read(RIS, 4) & BEI


def test_a_break_out_of_loop_back_is_nothing() -> None:
    uart = Pl011(Wire())
    uart.write(LCR_H, 4, BRK)
    assert uart.read(FR, 4) & RXFE
    assert uart.read(RIS, 4) == 0


@pytest.mark.parametrize(
    ("output", "flag", "interrupt"), [(RTS, CTS, CTSMI), (DTR, DSR, DSRMI), (OUT1, DCD, DCDMI), (OUT2, RI, RIMI)]
)
def test_modem_outputs_are_the_inputs(output: int, flag: int, interrupt: int) -> None:
    uart, _ = looped()
    uart.write(IMSC, 4, 0xF)
    uart.write(CR, 4, ON | LBE | output)
    assert uart.read(FR, 4) & (CTS | DSR | DCD | RI) == flag
    assert uart.read(MIS, 4) == interrupt
    uart.write(ICR, 4, 0xF)
    assert uart.read(RIS, 4) & 0xF == 0
    uart.write(CR, 4, ON | output)
    assert uart.read(FR, 4) & (CTS | DSR | DCD | RI) == 0, "nothing is connected to the outside"
    assert uart.read(RIS, 4) & 0xF == interrupt, "each change counts"


def test_modem_outputs_out_of_loop_back_change_no_input() -> None:
    uart = Pl011(Wire())
    uart.write(CR, 4, ON | RTS | DTR | OUT1 | OUT2)
    assert (uart.read(FR, 4) & 0x107, uart.read(RIS, 4)) == (0, 0)


def test_switching_the_fifos_flushes_what_has_looped() -> None:
    uart, _ = looped()
    send(uart, b"abc")
    uart.write(LCR_H, 4, 0x60)
    assert uart.read(FR, 4) & RXFE
    assert uart.read(RIS, 4) & (RXI | RTI) == 0


def test_the_state_is_saved_in_the_middle_of_it() -> None:
    uart, _ = looped(b"typed", fifo=False)
    uart.write(CR, 4, ON | LBE | RTS)
    send(uart, b"ab")
    again = Pl011(Wire(b"typed"))
    again.load(uart.save())
    raised = uart.read(RIS, 4)
    for each in (uart, again):
        assert each.read(FR, 4) & CTS
        assert each.read(RIS, 4) == raised
        assert (each.read(RSR, 4), each.read(DR, 4)) == (RSR_OE, ord("a"))
        send(each, b"c")
        assert each.read(DR, 4) == ord("c") | OE
        each.write(CR, 4, ON)
    assert again.save() == uart.save()
