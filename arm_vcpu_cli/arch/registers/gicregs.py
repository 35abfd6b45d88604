"""Registers of the GICv3 as one Security state sees them, GICD_CTLR.DS = 1 (IHI 0069H, chapter 12).

GICD_* and GICR_* are memory-mapped, at an offset in their frame; ICC_*_EL1 are system registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup

FIRST_PPI: Final = 16
FIRST_SPI: Final = 32
LAST_SPI: Final = 1019
INTID_SPURIOUS: Final = 1023
"""The result of an acknowledge while there is nothing to acknowledge; 1020 to 1022 have no meaning at EL1 (2.2.1)."""


class GicdCtlr(Register):
    """GICD_CTLR in a system of one Security state (12.9)."""

    WIDTH = 32
    RWP = Field(31)
    nASSGIreq = Field(8)  # noqa: N815
    E1NWF = Field(7)
    DS = Field(6)
    ARE = Field(4)
    EnableGrp1 = Field(1)
    EnableGrp0 = Field(0)


class GicdTyper(Register):
    """GICD_TYPER (12.9): INTIDs go up to 32 * (ITLinesNumber + 1) - 1, and have IDbits + 1 bits."""

    WIDTH = 32
    ESPI_range = Field(31, 27)
    RSS = Field(26)
    No1N = Field(25)
    A3V = Field(24)
    IDbits = Field(23, 19)
    DVIS = Field(18)
    LPIS = Field(17)
    MBIS = Field(16)
    num_LPIs = Field(15, 11)  # noqa: N815
    SecurityExtn = Field(10)
    NMI = Field(9)
    ESPI = Field(8)
    CPUNumber = Field(7, 5)
    ITLinesNumber = Field(4, 0)


class GicIidr(Register):
    """GICD_IIDR and GICR_IIDR (12.9)."""

    WIDTH = 32
    ProductID = Field(31, 24)
    Variant = Field(19, 16)
    Revision = Field(15, 12)
    Implementer = Field(11, 0, values={0x43B: "Arm"})


class GicdSpi(Register):
    """GICD_SETSPI_NSR and GICD_CLRSPI_NSR, with GICD_CTLR.DS = 1 for every SPI (12.9)."""

    WIDTH = 32
    INTID = Field(12, 0)


class GicdIrouter(Register):
    """GICD_IROUTER<n>: the PE that SPI n is routed to, or with IRM any participating PE (12.9)."""

    Aff3 = Field(39, 32)
    IRM = Field(31)
    Aff2 = Field(23, 16)
    Aff1 = Field(15, 8)
    Aff0 = Field(7, 0)


class GicrTyper(Register):
    """GICR_TYPER (12.11)."""

    Aff3 = Field(63, 56)
    Aff2 = Field(55, 48)
    Aff1 = Field(47, 40)
    Aff0 = Field(39, 32)
    PPInum = Field(31, 27)
    VSGI = Field(26)
    CommonLPIAff = Field(25, 24)
    Processor_Number = Field(23, 8)
    RVPEID = Field(7)
    MPAM = Field(6)
    DPGS = Field(5)
    Last = Field(4)
    DirectLPI = Field(3)
    Dirty = Field(2)
    VLPIS = Field(1)
    PLPIS = Field(0)


class GicrWaker(Register):
    """GICR_WAKER (12.11)."""

    WIDTH = 32
    ChildrenAsleep = Field(2)
    ProcessorSleep = Field(1)


class GicPidr2(Register):
    """GICD_PIDR2 and GICR_PIDR2 (12.9)."""

    WIDTH = 32
    ArchRev = Field(7, 4, values={1: "GICv1", 2: "GICv2", 3: "GICv3", 4: "GICv4"})
    JEDEC = Field(3)
    DES_1 = Field(2, 0)


class IccCtlr(Register):
    """ICC_CTLR_EL1 (12.2): priorities have PRIbits + 1 bits; IDbits 0 means 16 bits of INTID."""

    ExtRange = Field(19, words="extended INTIDs are supported")
    RSS = Field(18, words="SGI range selector: Aff0 0 to 255")
    A3V = Field(15, words="SGIs with a nonzero Aff3")
    SEIS = Field(14, words="local SErrors")
    IDbits = Field(13, 11, values={0: "16 bits", 1: "24 bits"}, words="size of an INTID")
    PRIbits = Field(10, 8, words="priority bits minus one")
    PMHE = Field(6, words="priority mask hints to the distributor")
    EOImode = Field(1, words="EOIR only drops the priority, DIR deactivates")
    CBPR = Field(0, words="BPR0 is used for both groups")


class IccSre(Register):
    """ICC_SRE_EL1 (12.2)."""

    DIB = Field(2, words="no IRQ bypass")
    DFB = Field(1, words="no FIQ bypass")
    SRE = Field(0, words="system register interface")


class IccBpr(Register):
    """ICC_BPR0_EL1 and ICC_BPR1_EL1 (12.2)."""

    BinaryPoint = Field(2, 0, words="priority bits below the preemption group")


class IccIgrpen(Register):
    """ICC_IGRPEN0_EL1 and ICC_IGRPEN1_EL1 (12.2)."""

    Enable = Field(0, words="interrupts of the group are on")


class IccIntid(Register):
    """ICC_IAR<n>_EL1, ICC_EOIR<n>_EL1, ICC_HPPIR<n>_EL1 and ICC_DIR_EL1 (12.2)."""

    INTID = Field(23, 0)


class IccPriority(Register):
    """ICC_PMR_EL1 and ICC_RPR_EL1 (12.2)."""

    Priority = Field(7, 0, words="interrupts of a higher priority (a lower number) pass")


class IccSgi1r(Register):
    """ICC_SGI1R_EL1, and alike ICC_ASGI1R_EL1 and ICC_SGI0R_EL1: generate an SGI (12.2)."""

    Aff3 = Field(55, 48, words="cluster of the targets, Aff3")
    RS = Field(47, 44, words="the list starts at Aff0 = 16 * RS")
    IRM = Field(40, words="all PEs but this one")
    Aff2 = Field(39, 32, words="cluster of the targets, Aff2")
    INTID = Field(27, 24, words="the SGI")
    Aff1 = Field(23, 16, words="cluster of the targets, Aff1")
    TargetList = Field(15, 0, words="one bit per PE, Aff0 from RS * 16 on")


ICC_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        "ICC_PMR_EL1": IccPriority,
        "ICC_RPR_EL1": IccPriority,
        "ICC_CTLR_EL1": IccCtlr,
        "ICC_SRE_EL1": IccSre,
        "ICC_DIR_EL1": IccIntid,
        "ICC_SGI0R_EL1": IccSgi1r,
        "ICC_SGI1R_EL1": IccSgi1r,
        "ICC_ASGI1R_EL1": IccSgi1r,
        **{f"ICC_{name}{group}_EL1": IccIntid for name in ("IAR", "EOIR", "HPPIR") for group in (0, 1)},
        **{f"ICC_BPR{group}_EL1": IccBpr for group in (0, 1)},
        **{f"ICC_IGRPEN{group}_EL1": IccIgrpen for group in (0, 1)},
    }
)
"""The layout of each ICC_*_EL1 register with fields, by name; ICC_AP<x>R<n>_EL1 have one bit for each priority."""

ICC_REGISTERS: Final[frozenset[SysReg]] = frozenset(
    {*(lookup(name) for name in ICC_LAYOUTS), *(lookup(f"ICC_AP{group}R0_EL1") for group in (0, 1))}
)
"""The registers of a CPU interface with 32 priorities, which has no ICC_AP<x>R1 to R3: those are UNDEFINED (12.2)."""
