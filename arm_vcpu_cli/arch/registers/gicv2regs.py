"""Registers of the GICv2 without the Security Extensions (IHI 0048B, 4.3 and 4.4), all memory-mapped.

GICD_* are at an offset in the Distributor's frame, GICC_* in that of the CPU interface.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register

MAX_CPUS: Final = 8
"""A list of targets has one bit for each PE, and eight bits (4.3.12)."""
INTID_GROUP1: Final = 1022
"""The result of an acknowledge for Group 0 while the pending interrupt is in Group 1 (3.2.5)."""


class GicdCtlrV2(Register):
    """GICD_CTLR (4.3.1)."""

    WIDTH = 32
    EnableGrp1 = Field(1)
    EnableGrp0 = Field(0)


class GicdTyperV2(Register):
    """GICD_TYPER (4.3.2): INTIDs go up to 32 * (ITLinesNumber + 1) - 1; there are CPUNumber + 1 PEs."""

    WIDTH = 32
    LSPI = Field(15, 11)
    SecurityExtn = Field(10)
    CPUNumber = Field(7, 5)
    ITLinesNumber = Field(4, 0)


class GicdSgir(Register):
    """GICD_SGIR (4.3.15): generate an SGI. NSATT is for the Security Extensions only."""

    WIDTH = 32
    TargetListFilter = Field(25, 24, values={0: "those of the list", 1: "all others", 2: "itself"})
    CPUTargetList = Field(23, 16)
    NSATT = Field(15)
    SGIINTID = Field(3, 0)


class GiccCtlr(Register):
    """GICC_CTLR (4.4.1), as Secure software sees it where there are the Security Extensions."""

    WIDTH = 32
    EOImodeNS = Field(10)
    EOImode = Field(9)
    IRQBypDisGrp1 = Field(8)
    FIQBypDisGrp1 = Field(7)
    IRQBypDisGrp0 = Field(6)
    FIQBypDisGrp0 = Field(5)
    CBPR = Field(4)
    FIQEn = Field(3)
    AckCtl = Field(2)
    EnableGrp1 = Field(1)
    EnableGrp0 = Field(0)


class GiccPriority(Register):
    """GICC_PMR and GICC_RPR (4.4)."""

    WIDTH = 32
    Priority = Field(7, 0)


class GiccBpr(Register):
    """GICC_BPR and GICC_ABPR (4.4)."""

    WIDTH = 32
    BinaryPoint = Field(2, 0)


class GiccIntid(Register):
    """GICC_IAR, GICC_EOIR, GICC_HPPIR, their aliases, and GICC_DIR: CPUID identifies the sender of an SGI (4.4)."""

    WIDTH = 32
    CPUID = Field(12, 10)
    INTID = Field(9, 0)


class GiccIidr(Register):
    """GICC_IIDR (4.4)."""

    WIDTH = 32
    ProductID = Field(31, 20)
    Architecture = Field(19, 16, values={1: "GICv1", 2: "GICv2"})
    Revision = Field(15, 12)
    Implementer = Field(11, 0, values={0x43B: "Arm"})
