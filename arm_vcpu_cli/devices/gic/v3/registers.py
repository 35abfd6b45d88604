"""The memory-mapped registers: their offsets, their names, and the meaning of their values (IHI 0069H, 12.8 to 12.11).

All registers that the architecture defines for virtual machines' GICs without LPIs have names, implemented here or not:
those that are not read as zero.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.gicregs import (
    FIRST_SPI,
    LAST_SPI,
    GicdCtlr,
    GicdIrouter,
    GicdSpi,
    GicdTyper,
    GicIidr,
    GicPidr2,
    GicrTyper,
    GicrWaker,
)
from arm_vcpu_cli.arch.registers.intid import EXTENDED_PPIS, EXTENDED_SPIS
from arm_vcpu_cli.devices.gic.common.registers import (
    BITMAPS,
    CPENDSGIR,
    GICD_CTLR,
    GICD_IIDR,
    GICD_TYPER,
    ICFGR,
    IPRIORITYR,
    ITARGETSR,
    NSACR,
    SGIR,
    SPENDSGIR,
    bitmap,
    byte_map,
    trigger,
)
from arm_vcpu_cli.devices.naming import RegisterMap, Registers, fields_text

IGRPMODR, INMIR = 0xD00, 0xF80
"""Of the Distributor, and also of a Redistributor's SGI_base."""
ID_BASE: Final = 0xFFD0
"""Of each frame."""

GICD_TYPER2, GICD_STATUSR = 0x000C, 0x0010
SETSPI_NSR, CLRSPI_NSR, SETSPI_SR, CLRSPI_SR = range(0x0040, 0x0060, 8)
IROUTER: Final = 0x6000
"""The offset for INTID 0, which like all private interrupts has none."""
IROUTER_SIZE: Final = 8

GICR_CTLR, GICR_IIDR, GICR_TYPER, GICR_STATUSR, WAKER, MPAMIDR, PARTIDR = 0, 4, 8, 0x10, 0x14, 0x18, 0x1C
SETLPIR, CLRLPIR, PROPBASER, PENDBASER, INVLPIR, INVALLR, SYNCR = 0x40, 0x48, 0x70, 0x78, 0xA0, 0xB0, 0xC0

_ALL: Final = range(LAST_SPI + 1)
_PRIVATE: Final = range(FIRST_SPI)


class GicStatusr(Register):
    """GICD_STATUSR and GICR_STATUSR (12.9)."""

    WIDTH = 32
    WROD = Field(3)
    RWOD = Field(2)
    WRD = Field(1)
    RRD = Field(0)


class GicdTyper2(Register):
    """GICD_TYPER2 (12.9)."""

    WIDTH = 32
    nASSGIcap = Field(8)  # noqa: N815
    VIL = Field(7)
    VID = Field(4, 0)


class GicrCtlr(Register):
    """GICR_CTLR (12.11)."""

    WIDTH = 32
    UWP = Field(31)
    DPG1S = Field(26)
    DPG1NS = Field(25)
    DPG0 = Field(24)
    RWP = Field(3)
    IR = Field(2)
    CES = Field(1)
    EnableLPIs = Field(0)


# Meanings of values ------------------------------------------------------------------------------------------------


def _message(_index: int, _lsb: int, _bits: int, value: int) -> str:
    return f"INTID {value & GicdSpi.INTID.mask}"


def _route(_index: int, lsb: int, bits: int, value: int) -> str:
    if bits < 8 * IROUTER_SIZE:
        return fields_text(GicdIrouter, value, lsb, bits)
    place = GicdIrouter(value)
    return "any PE" if place.IRM else f"affinity {place.Aff3}.{place.Aff2}.{place.Aff1}.{place.Aff0}"


# The frames --------------------------------------------------------------------------------------------------------

_BITMAPS: Final = (
    *BITMAPS,
    (IGRPMODR, "IGRPMODR"),
    (INMIR, "INMIR"),
)
_EXTENDED_BITMAPS: Final = (
    (0x1000, "IGROUPR"),
    (0x1200, "ISENABLER"),
    (0x1400, "ICENABLER"),
    (0x1600, "ISPENDR"),
    (0x1800, "ICPENDR"),
    (0x1A00, "ISACTIVER"),
    (0x1C00, "ICACTIVER"),
    (0x3400, "IGRPMODR"),
    (0x3B00, "INMIR"),
)


def _id_registers(frame: str) -> tuple[Registers, ...]:
    return (
        Registers(ID_BASE, f"{frame}_PIDR<n>", count=4, first=4),
        Registers(ID_BASE + 0x10, f"{frame}_PIDR<n>", count=2),
        Registers(ID_BASE + 0x18, f"{frame}_PIDR2", GicPidr2),
        Registers(ID_BASE + 0x1C, f"{frame}_PIDR3"),
        Registers(ID_BASE + 0x20, f"{frame}_CIDR<n>", count=4),
    )


DISTRIBUTOR: Final = RegisterMap(
    Registers(GICD_CTLR, "GICD_CTLR", GicdCtlr),
    Registers(GICD_TYPER, "GICD_TYPER", GicdTyper),
    Registers(GICD_IIDR, "GICD_IIDR", GicIidr),
    Registers(GICD_TYPER2, "GICD_TYPER2", GicdTyper2),
    Registers(GICD_STATUSR, "GICD_STATUSR", GicStatusr),
    Registers(SETSPI_NSR, "GICD_SETSPI_NSR", meaning=_message),
    Registers(CLRSPI_NSR, "GICD_CLRSPI_NSR", meaning=_message),
    Registers(SETSPI_SR, "GICD_SETSPI_SR", meaning=_message),
    Registers(CLRSPI_SR, "GICD_CLRSPI_SR", meaning=_message),
    *(Registers(base, f"GICD_{name}<n>", count=32, meaning=bitmap(_ALL)) for base, name in _BITMAPS),
    Registers(IPRIORITYR, "GICD_IPRIORITYR<n>", count=255, meaning=byte_map(_ALL)),
    Registers(ITARGETSR, "GICD_ITARGETSR<n>", count=255),
    Registers(ICFGR, "GICD_ICFGR<n>", count=64, meaning=trigger(_ALL)),
    Registers(NSACR, "GICD_NSACR<n>", count=64),
    Registers(SGIR, "GICD_SGIR"),
    Registers(CPENDSGIR, "GICD_CPENDSGIR<n>", count=4),
    Registers(SPENDSGIR, "GICD_SPENDSGIR<n>", count=4),
    *(Registers(base, f"GICD_{name}<n>E", count=32, meaning=bitmap(EXTENDED_SPIS)) for base, name in _EXTENDED_BITMAPS),
    Registers(0x2000, "GICD_IPRIORITYR<n>E", count=256, meaning=byte_map(EXTENDED_SPIS)),
    Registers(0x3000, "GICD_ICFGR<n>E", count=64, meaning=trigger(EXTENDED_SPIS)),
    Registers(0x3600, "GICD_NSACR<n>E", count=64),
    Registers(
        IROUTER + IROUTER_SIZE * FIRST_SPI,
        "GICD_IROUTER<n>",
        size=IROUTER_SIZE,
        count=LAST_SPI + 1 - FIRST_SPI,
        first=FIRST_SPI,
        meaning=_route,
    ),
    Registers(0x8000, "GICD_IROUTER<n>E", size=IROUTER_SIZE, count=len(EXTENDED_SPIS), meaning=_route),
    *_id_registers("GICD"),
)
"""The Distributor's frame. ITARGETSR, NSACR and SGIR have no effect in one Security state with affinity routing."""

RD_BASE: Final = RegisterMap(
    Registers(GICR_CTLR, "GICR_CTLR", GicrCtlr),
    Registers(GICR_IIDR, "GICR_IIDR", GicIidr),
    Registers(GICR_TYPER, "GICR_TYPER", GicrTyper, size=8),
    Registers(GICR_STATUSR, "GICR_STATUSR", GicStatusr),
    Registers(WAKER, "GICR_WAKER", GicrWaker),
    Registers(MPAMIDR, "GICR_MPAMIDR"),
    Registers(PARTIDR, "GICR_PARTIDR"),
    *(
        Registers(offset, f"GICR_{name}", size=8)
        for offset, name in (
            (SETLPIR, "SETLPIR"),
            (CLRLPIR, "CLRLPIR"),
            (PROPBASER, "PROPBASER"),
            (PENDBASER, "PENDBASER"),
            (INVLPIR, "INVLPIR"),
            (INVALLR, "INVALLR"),
        )
    ),
    Registers(SYNCR, "GICR_SYNCR"),
    *_id_registers("GICR"),
)
"""A Redistributor's first frame."""

SGI_BASE: Final = RegisterMap(
    *(Registers(base, f"GICR_{name}0", meaning=bitmap(_PRIVATE)) for base, name in _BITMAPS),
    *(
        Registers(base + 4, f"GICR_{name}<n>E", count=2, first=1, meaning=bitmap(EXTENDED_PPIS))
        for base, name in _BITMAPS
    ),
    Registers(IPRIORITYR, "GICR_IPRIORITYR<n>", count=8, meaning=byte_map(_PRIVATE)),
    Registers(IPRIORITYR + 0x20, "GICR_IPRIORITYR<n>E", count=16, first=8, meaning=byte_map(EXTENDED_PPIS)),
    Registers(ICFGR, "GICR_ICFGR<n>", count=2, meaning=trigger(_PRIVATE)),
    Registers(ICFGR + 8, "GICR_ICFGR<n>E", count=4, first=2, meaning=trigger(EXTENDED_PPIS)),
    Registers(NSACR, "GICR_NSACR"),
)
"""A Redistributor's second frame."""
