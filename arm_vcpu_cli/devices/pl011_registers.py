"""The registers of the PL011 (Arm DDI 0183G, chapter 3): their offsets, their names and their fields."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.devices.naming import RegisterMap, Registers, fields_text

WINDOW: Final = 0xFFF
"""The bits of an offset that the UART decodes: it is 4 KiB of registers."""

DR, RSR, FR, ILPR, IBRD, FBRD, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR, DMACR = (
    0x00, 0x04, 0x18, 0x20, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48,
)  # fmt: skip
PERIPH_ID, PCELL_ID = 0xFE0, 0xFF0


class Data(Register):
    """UARTDR (3.3.1): the received character with its errors, or in bits 7:0 the character to send."""

    WIDTH = 16
    OE = Field(11)
    BE = Field(10)
    PE = Field(9)
    FE = Field(8)
    DATA = Field(7, 0)


class ReceiveStatus(Register):
    """UARTRSR (3.3.2)."""

    WIDTH = 16
    OE = Field(3)
    BE = Field(2)
    PE = Field(1)
    FE = Field(0)


class FlagRegister(Register):
    """UARTFR (3.3.3)."""

    WIDTH = 16
    RI = Field(8)
    TXFE = Field(7)
    RXFF = Field(6)
    TXFF = Field(5)
    RXFE = Field(4)
    BUSY = Field(3)
    DCD = Field(2)
    DSR = Field(1)
    CTS = Field(0)


class LowPowerDivisor(Register):
    """UARTILPR (3.3.4)."""

    WIDTH = 16
    ILPDVSR = Field(7, 0)


class IntegerDivisor(Register):
    """UARTIBRD (3.3.5)."""

    WIDTH = 16
    DIVINT = Field(15, 0)


class FractionalDivisor(Register):
    """UARTFBRD (3.3.6): 64ths."""

    WIDTH = 16
    DIVFRAC = Field(5, 0)


class LineControl(Register):
    """UARTLCR_H (3.3.7)."""

    WIDTH = 16
    SPS = Field(7)
    WLEN = Field(6, 5, values={code: f"{code + 5} bits" for code in range(4)})
    FEN = Field(4)
    STP2 = Field(3)
    EPS = Field(2)
    PEN = Field(1)
    BRK = Field(0)


class Control(Register):
    """UARTCR (3.3.8)."""

    WIDTH = 16
    CTSEn = Field(15)
    RTSEn = Field(14)
    Out2 = Field(13)
    Out1 = Field(12)
    RTS = Field(11)
    DTR = Field(10)
    RXE = Field(9)
    TXE = Field(8)
    LBE = Field(7)
    SIRLP = Field(2)
    SIREN = Field(1)
    UARTEN = Field(0)


_LEVELS: Final[Mapping[int, str]] = MappingProxyType({0: "1/8", 1: "1/4", 2: "1/2", 3: "3/4", 4: "7/8"})


class FifoLevels(Register):
    """UARTIFLS (3.3.9): how full the FIFOs are when they interrupt."""

    WIDTH = 16
    RXIFLSEL = Field(5, 3, values=_LEVELS)
    TXIFLSEL = Field(2, 0, values=_LEVELS)


class Interrupts(Register):
    """UARTIMSC, UARTRIS, UARTMIS and UARTICR (3.3.10 to 3.3.13)."""

    WIDTH = 16
    OEI = Field(10)
    BEI = Field(9)
    PEI = Field(8)
    FEI = Field(7)
    RTI = Field(6)
    TXI = Field(5)
    RXI = Field(4)
    DSRMI = Field(3)
    DCDMI = Field(2)
    CTSMI = Field(1)
    RIMI = Field(0)


class DmaControl(Register):
    """UARTDMACR (3.3.14)."""

    WIDTH = 16
    DMAONERR = Field(2)
    TXDMAE = Field(1)
    RXDMAE = Field(0)


def _character(_index: int, lsb: int, _bits: int, value: int) -> str:
    """Return the character in Python notation, and its errors. Reads set no bits above those of errors."""
    errors = Data.DATA.msb + 1
    received = value << lsb
    errors_text = "" if received >> Data.OE.msb + 1 else fields_text(Data, received >> errors, errors)
    character = "" if lsb else ascii(chr(value & Data.DATA.mask))
    return f"{character} {errors_text}".strip()


REGISTERS: Final = RegisterMap(
    Registers(DR, "UARTDR", meaning=_character),
    Registers(RSR, "UARTRSR/UARTECR", ReceiveStatus),
    Registers(FR, "UARTFR", FlagRegister),
    Registers(ILPR, "UARTILPR", LowPowerDivisor),
    Registers(IBRD, "UARTIBRD", IntegerDivisor),
    Registers(FBRD, "UARTFBRD", FractionalDivisor),
    Registers(LCR_H, "UARTLCR_H", LineControl),
    Registers(CR, "UARTCR", Control),
    Registers(IFLS, "UARTIFLS", FifoLevels),
    Registers(IMSC, "UARTIMSC", Interrupts),
    Registers(RIS, "UARTRIS", Interrupts),
    Registers(MIS, "UARTMIS", Interrupts),
    Registers(ICR, "UARTICR", Interrupts),
    Registers(DMACR, "UARTDMACR", DmaControl),
    Registers(PERIPH_ID, "UARTPeriphID<n>", count=4),
    Registers(PCELL_ID, "UARTPCellID<n>", count=4),
    prefix="PL011.",
    whole=True,
)


def implemented_bits(offset: int) -> int:
    """Return all bits that the fields of the register at ``offset`` cover."""
    layout = REGISTERS.layout(offset)
    return 0 if layout is None else sum(field.mask << field.lsb for field in layout.fields())


IDS: Final = (0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1)
"""PeriphID: part 0x011, designer Arm, revision r1p1 (what QEMU's "virt" has); PCellID: PrimeCell (3.3.15-22)."""
RESET_VALUES: Final[Mapping[int, int]] = MappingProxyType(
    {ILPR: 0, IBRD: 0, FBRD: 0, LCR_H: 0, CR: 0x300, IFLS: 0x12, IMSC: 0, DMACR: 0}
)
"""The reset values of the registers that hold what is written to them."""
WRITABLE: Final[Mapping[int, int]] = MappingProxyType({offset: implemented_bits(offset) for offset in RESET_VALUES})
