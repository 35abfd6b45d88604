"""The memory-mapped registers: their offsets, their names, and the meaning of their values (IHI 0048B, 4.3 and 4.4)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI, INTID_SPURIOUS, LAST_SPI, GicIidr, GicPidr2
from arm_vcpu_cli.arch.registers.gicv2regs import (
    INTID_GROUP1,
    MAX_CPUS,
    GiccBpr,
    GiccCtlr,
    GiccIidr,
    GiccIntid,
    GiccPriority,
    GicdCtlrV2,
    GicdSgir,
    GicdTyperV2,
)
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
    parts,
    trigger,
)
from arm_vcpu_cli.devices.naming import RegisterMap, Registers, fields_text

ID_BASE: Final = 0xFD0
SGI_REGISTERS_SIZE: Final = 0x10
"""The size in bytes of CPENDSGIR and SPENDSGIR: one byte for each SGI."""

CTLR, PMR, BPR, IAR, EOIR, RPR, HPPIR, ABPR, AIAR, AEOIR, AHPPIR = range(0x00, 0x2C, 4)
APR, NSAPR, IIDR, DIR = 0xD0, 0xE0, 0xFC, 0x1000
"""Of the CPU interface."""

_ALL: Final = range(LAST_SPI + 1)
_LIST, _OTHERS, _ITSELF = range(3)


def _cpus(mask: int) -> str:
    return f"CPUs {', '.join(str(cpu) for cpu in range(MAX_CPUS) if mask >> cpu & 1)}" if mask else "no CPU"


def _sgi(_index: int, lsb: int, bits: int, value: int) -> str:
    """Describe GICD_SGIR: which SGI goes to which PEs."""
    if bits < GicdSgir.WIDTH:
        return fields_text(GicdSgir, value, lsb, bits)
    sgi = GicdSgir(value)
    to = {_LIST: _cpus(sgi.CPUTargetList), _OTHERS: "all others", _ITSELF: "itself"}
    return f"SGI {sgi.SGIINTID} to {to.get(sgi.TargetListFilter, 'no CPU')}"


def _sources(index: int, lsb: int, bits: int, value: int) -> str:
    """Describe GICD_CPENDSGIR and GICD_SPENDSGIR: one byte for each SGI, with a bit for each PE that sent it."""
    first = 4 * index + lsb // 8
    return ", ".join(f"SGI {sgi} from {_cpus(mask)}" for sgi, mask in enumerate(parts(value, bits, 8), first) if mask)


def _intid(_index: int, lsb: int, bits: int, value: int) -> str:
    """Describe an interrupt that is acknowledged, ended or pending."""
    if bits < GiccIntid.WIDTH:
        return fields_text(GiccIntid, value, lsb, bits)
    word = GiccIntid(value)
    if word.INTID < FIRST_PPI:
        return f"INTID {word.INTID} from CPU {word.CPUID}"
    special = {INTID_SPURIOUS: ", none", INTID_GROUP1: ", one of Group 1"}
    return f"INTID {word.INTID}{special.get(word.INTID, '')}"


DISTRIBUTOR: Final = RegisterMap(
    Registers(GICD_CTLR, "GICD_CTLR", GicdCtlrV2),
    Registers(GICD_TYPER, "GICD_TYPER", GicdTyperV2),
    Registers(GICD_IIDR, "GICD_IIDR", GicIidr),
    *(Registers(base, f"GICD_{name}<n>", count=32, meaning=bitmap(_ALL)) for base, name in BITMAPS),
    Registers(IPRIORITYR, "GICD_IPRIORITYR<n>", count=255, meaning=byte_map(_ALL)),
    Registers(ITARGETSR, "GICD_ITARGETSR<n>", count=255, meaning=byte_map(_ALL)),
    Registers(ICFGR, "GICD_ICFGR<n>", count=64, meaning=trigger(_ALL)),
    Registers(NSACR, "GICD_NSACR<n>", count=64),
    Registers(SGIR, "GICD_SGIR", meaning=_sgi),
    Registers(CPENDSGIR, "GICD_CPENDSGIR<n>", count=4, meaning=_sources),
    Registers(SPENDSGIR, "GICD_SPENDSGIR<n>", count=4, meaning=_sources),
    Registers(ID_BASE, "GICD_PIDR<n>", count=4, first=4),
    Registers(ID_BASE + 0x10, "GICD_PIDR<n>", count=2),
    Registers(ID_BASE + 0x18, "GICD_PIDR2", GicPidr2),
    Registers(ID_BASE + 0x1C, "GICD_PIDR3"),
    Registers(ID_BASE + 0x20, "GICD_CIDR<n>", count=4),
)
"""The Distributor's frame. NSACR is for the Security Extensions only, and reads as zero without."""

CPU_INTERFACE: Final = RegisterMap(
    Registers(CTLR, "GICC_CTLR", GiccCtlr),
    Registers(PMR, "GICC_PMR", GiccPriority),
    Registers(BPR, "GICC_BPR", GiccBpr),
    Registers(IAR, "GICC_IAR", meaning=_intid),
    Registers(EOIR, "GICC_EOIR", meaning=_intid),
    Registers(RPR, "GICC_RPR", GiccPriority),
    Registers(HPPIR, "GICC_HPPIR", meaning=_intid),
    Registers(ABPR, "GICC_ABPR", GiccBpr),
    Registers(AIAR, "GICC_AIAR", meaning=_intid),
    Registers(AEOIR, "GICC_AEOIR", meaning=_intid),
    Registers(AHPPIR, "GICC_AHPPIR", meaning=_intid),
    Registers(APR, "GICC_APR<n>", count=4),
    Registers(NSAPR, "GICC_NSAPR<n>", count=4),
    Registers(IIDR, "GICC_IIDR", GiccIidr),
    Registers(DIR, "GICC_DIR", meaning=_intid),
)
"""The CPU interface's frame."""
