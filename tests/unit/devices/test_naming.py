"""Registers of devices by name, and the meaning of their values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI, FIRST_SPI, INTID_SPURIOUS, LAST_SPI
from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.devices.device_clock import Alarm
from arm_vcpu_cli.devices.naming import (
    RegisterMap,
    Registers,
    device_kind,
    intid_kind,
    meaning,
    name_access,
)
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl011_registers import CR, DR, FR, IFLS, IMSC, LCR_H, RSR
from arm_vcpu_cli.devices.pl031 import Pl031
from arm_vcpu_cli.devices.regions import ReadAsZero, Scratch

WIDTHS = (1, 2, 4, 8)


class Silence:
    """A line on which nothing comes, and a clock that stands still."""

    def send(self, byte: int) -> None: ...
    def receive(self) -> int | None:
        return None

    def waiting(self) -> bool:
        return False

    def wait(self) -> None: ...
    def ticks(self) -> int:
        return 0

    def alarm(self, callback: Callable[[], None], name: str) -> Alarm:
        return self

    def set(self, tick: int) -> None: ...
    def cancel(self) -> None: ...


def pl011() -> Pl011:
    return Pl011(Silence())


def pl031() -> Pl031:
    return Pl031(Silence(), now=1_700_000_000)


DEVICES: tuple[Callable[[], MmioDevice], ...] = (pl011, pl031, ReadAsZero, lambda: Scratch(64))


# Any device ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", DEVICES)
@given(
    offset=st.integers(-8, 1 << 20) | st.integers(0, 0x1000),
    width=st.sampled_from(WIDTHS) | st.integers(-1, 64),
    value=st.integers(0, (1 << 64) - 1) | st.integers(-1, 1 << 130),
)
def test_naming_never_fails(make: Callable[[], MmioDevice], offset: int, width: int, value: int) -> None:
    device = make()
    assert name_access(device, offset, width).isascii()
    assert meaning(device, offset, width, value).isprintable()


@pytest.mark.parametrize("device", [ReadAsZero(), Scratch(16)])
def test_a_device_without_names(device: MmioDevice) -> None:
    assert name_access(device, 0, 4) == ""
    assert meaning(device, 0, 4, 0xFFFF_FFFF) == ""
    assert device_kind(device) == ""


@pytest.mark.parametrize("make", [pl011, pl031])
def test_every_register_that_does_something_has_a_name(make: Callable[[], MmioDevice]) -> None:
    device = make()
    for offset in range(0, 0x1000, 4):
        before = device.read(offset, 4)
        device.write(offset, 4, 0xFFFF_FFFF)
        if before or device.read(offset, 4):
            assert name_access(device, offset, 4), hex(offset)


@pytest.mark.parametrize("make", [pl011, pl031])
def test_every_register_has_its_own_name(make: Callable[[], MmioDevice]) -> None:
    names = [name for offset in range(0, 0x1000, 4) if (name := name_access(make(), offset, 4))]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("make", [pl011, pl031])
def test_asking_for_names_does_nothing_to_a_device(make: Callable[[], MmioDevice]) -> None:
    def registers(device: MmioDevice) -> list[int]:
        return [device.read(offset, 4) for offset in range(0, 0x1000, 4)]

    asked = make()
    for offset in range(0, 0x1000, 4):
        name_access(asked, offset, 4)
        meaning(asked, offset, 4, 0xFFFF_FFFF)
    assert registers(asked) == registers(make())


# PL011 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x000, "UARTDR"),
        (0x004, "UARTRSR/UARTECR"),
        (0x018, "UARTFR"),
        (0x020, "UARTILPR"),
        (0x024, "UARTIBRD"),
        (0x028, "UARTFBRD"),
        (0x02C, "UARTLCR_H"),
        (0x030, "UARTCR"),
        (0x034, "UARTIFLS"),
        (0x038, "UARTIMSC"),
        (0x03C, "UARTRIS"),
        (0x040, "UARTMIS"),
        (0x044, "UARTICR"),
        (0x048, "UARTDMACR"),
        (0xFE0, "UARTPeriphID0"),
        (0xFEC, "UARTPeriphID3"),
        (0xFF0, "UARTPCellID0"),
        (0xFFC, "UARTPCellID3"),
    ],
)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_names_of_the_uart(offset: int, name: str, width: int) -> None:
    assert name_access(pl011(), offset, width) == f"PL011.{name}"


@pytest.mark.parametrize("offset", [0x008, 0x01C, 0x04C, 0x100, 0xFDC])
def test_a_hole_between_the_registers_of_the_uart_has_no_name(offset: int) -> None:
    assert name_access(pl011(), offset, 4) == ""
    assert meaning(pl011(), offset, 4, 1) == ""


def test_an_access_to_the_middle_of_a_register_tells_the_bits() -> None:
    assert name_access(pl011(), CR + 1, 1) == "PL011.UARTCR[15:8]"
    assert meaning(pl011(), CR + 1, 1, 0x03) == "RXE=1 TXE=1"
    assert name_access(pl011(), CR + 2, 4) == "PL011.UARTCR[31:16]"


@pytest.mark.parametrize(
    ("width", "value", "text"),
    [
        (1, 0x41, "'A'"),
        (4, 0x0A, "'\\n'"),
        (2, 0x1B, "'\\x1b'"),
        (1, 0xC3, "'\\xc3'"),
        (4, 0x0, "'\\x00'"),
        (4, 0x27, '"\'"'),
        (4, 0x141, "'A' FE=1"),
        (2, 0xF00, "'\\x00' OE=1 BE=1 PE=1 FE=1"),
        (4, 0xFFFF_FFC3, "'\\xc3'"),
    ],
)
def test_data_is_a_character_and_its_errors(width: int, value: int, text: str) -> None:
    assert meaning(pl011(), DR, width, value) == text


@pytest.mark.parametrize(
    ("offset", "value", "text"),
    [
        (FR, 0x90, "TXFE=1 RXFE=1"),
        (FR, 0x1FF, "RI=1 TXFE=1 RXFF=1 TXFF=1 RXFE=1 BUSY=1 DCD=1 DSR=1 CTS=1"),
        (FR, 0, ""),
        (CR, 0x301, "RXE=1 TXE=1 UARTEN=1"),
        (LCR_H, 0x70, "WLEN=3 (8 bits) FEN=1"),
        (LCR_H, 0, "WLEN=0 (5 bits)"),
        (IMSC, 0x50, "RTI=1 RXI=1"),
        (IMSC, 0x7FF, "OEI=1 BEI=1 PEI=1 FEI=1 RTI=1 TXI=1 RXI=1 DSRMI=1 DCDMI=1 CTSMI=1 RIMI=1"),
        (IFLS, 0x12, "RXIFLSEL=2 (1/2) TXIFLSEL=2 (1/2)"),
        (IFLS, 0x2F, "RXIFLSEL=5(?) TXIFLSEL=7(?)"),
        (RSR, 0xF, "OE=1 BE=1 PE=1 FE=1"),
        (0xFE0, 0x11, ""),
    ],
)
def test_registers_of_the_uart_tell_their_fields(offset: int, value: int, text: str) -> None:
    assert meaning(pl011(), offset, 4, value) == text


# PL031 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x000, "RTCDR"),
        (0x004, "RTCMR"),
        (0x008, "RTCLR"),
        (0x00C, "RTCCR"),
        (0x010, "RTCIMSC"),
        (0x014, "RTCRIS"),
        (0x018, "RTCMIS"),
        (0x01C, "RTCICR"),
        (0xFE4, "RTCPeriphID1"),
        (0xFF8, "RTCPCellID2"),
    ],
)
def test_the_names_of_the_clock(offset: int, name: str) -> None:
    assert name_access(pl031(), offset, 4) == f"PL031.{name}"


@pytest.mark.parametrize("offset", [0x0, 0x4, 0x8])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "1970-01-01 00:00:00 UTC"),
        (1_700_000_000, "2023-11-14 22:13:20 UTC"),
        (0xFFFF_FFFF, "2106-02-07 06:28:15 UTC"),
    ],
)
def test_counters_of_the_clock_are_times(offset: int, value: int, text: str) -> None:
    assert meaning(pl031(), offset, 4, value) == text


def test_a_part_of_a_counter_is_no_time() -> None:
    assert meaning(pl031(), 0, 2, 0x1234) == ""


def test_the_interrupt_of_the_clock() -> None:
    assert meaning(pl031(), 0x10, 4, 1) == "RTCINTR=1"
    assert meaning(pl031(), 0x0C, 4, 1) == "Start=1"


# Maps of registers -----------------------------------------------------------------------------------------------


class Layout(Register):
    """Some fields, one of which has a name for 0."""

    WIDTH = 32
    High = Field(31, 24)
    Mode = Field(9, 8, values={0: "off", 1: "on"})
    Low = Field(3, 0)


MAP = RegisterMap(
    Registers(0x10, "A", Layout), Registers(0x20, "B<n>", size=8, count=3, first=5), Registers(0x38, "C<n>E", count=2)
)


@pytest.mark.parametrize(
    ("offset", "width", "name"),
    [
        (0x0F, 4, ""),
        (0x10, 4, "A"),
        (0x10, 8, "A"),
        (0x10, 1, "A[7:0]"),
        (0x13, 1, "A[31:24]"),
        (0x13, 4, "A[31:24]"),
        (0x14, 4, ""),
        (0x20, 8, "B5"),
        (0x34, 4, "B7[63:32]"),
        (0x38, 4, "C0E"),
        (0x3E, 2, "C1E[31:16]"),
        (0x40, 4, ""),
    ],
)
def test_names_by_offset_and_width(offset: int, width: int, name: str) -> None:
    assert MAP.name(offset, width) == name


@pytest.mark.parametrize(
    ("offset", "width", "value", "text"),
    [
        (0x10, 4, 0, "Mode=0 (off)"),
        (0x10, 4, 0xFF00_0301, "High=0xff Mode=3(?) Low=1"),
        (0x10, 1, 0x301, "Low=1"),
        (0x11, 1, 1, "Mode=1 (on)"),
        (0x13, 1, 2, "High=2"),
        (0x20, 8, 1, ""),
        (0x00, 4, 1, ""),
    ],
)
def test_an_access_tells_the_fields_that_it_covers(offset: int, width: int, value: int, text: str) -> None:
    assert MAP.meaning(offset, width, value) == text


def test_registers_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="First at 0x10 overlaps Second"):
        RegisterMap(Registers(0x14, "Second"), Registers(0x10, "First", size=8))


# Interrupts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intid", "kind"),
    [
        (0, "SGI"),
        (FIRST_PPI - 1, "SGI"),
        (FIRST_PPI, "PPI"),
        (FIRST_SPI - 1, "PPI"),
        (FIRST_SPI, "SPI"),
        (LAST_SPI, "SPI"),
        (LAST_SPI + 1, "special"),
        (INTID_SPURIOUS, "special"),
        (1024, "special"),
        (1056, "PPI"),
        (1119, "PPI"),
        (1120, "special"),
        (4096, "SPI"),
        (5119, "SPI"),
        (5120, "special"),
        (8191, "special"),
        (8192, "LPI"),
        ((1 << 24) - 1, "LPI"),
        (-1, "special"),
    ],
)
def test_the_kind_of_an_interrupt(intid: int, kind: str) -> None:
    assert intid_kind(intid) == kind


@settings(max_examples=50)
@given(st.integers(min_value=-(1 << 64), max_value=1 << 64))
def test_every_number_has_a_kind(intid: int) -> None:
    assert intid_kind(intid) in ("SGI", "PPI", "SPI", "LPI", "special")
