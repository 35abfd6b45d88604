"""Layouts of GICv3 registers against the bit numbers of the manual (IHI 0069H, chapter 12)."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK
from arm_vcpu_cli.arch.registers.gicregs import (
    ICC_LAYOUTS,
    GicdCtlr,
    GicdIrouter,
    GicdSpi,
    GicdTyper,
    GicIidr,
    GicPidr2,
    GicrTyper,
    GicrWaker,
    IccBpr,
    IccCtlr,
    IccIgrpen,
    IccIntid,
    IccPriority,
    IccSgi1r,
    IccSre,
)
from arm_vcpu_cli.arch.registers.sysreg import sysregs

Layout = dict[str, tuple[int, int]]

LAYOUTS: list[tuple[type[Register], Layout]] = [
    (GicdCtlr, {"RWP": (31, 31), "nASSGIreq": (8, 8), "E1NWF": (7, 7), "DS": (6, 6), "ARE": (4, 4),
                "EnableGrp1": (1, 1), "EnableGrp0": (0, 0)}),
    (GicdTyper, {"ESPI_range": (31, 27), "RSS": (26, 26), "No1N": (25, 25), "A3V": (24, 24), "IDbits": (23, 19),
                 "DVIS": (18, 18), "LPIS": (17, 17), "MBIS": (16, 16), "num_LPIs": (15, 11), "SecurityExtn": (10, 10),
                 "NMI": (9, 9), "ESPI": (8, 8), "CPUNumber": (7, 5), "ITLinesNumber": (4, 0)}),
    (GicIidr, {"ProductID": (31, 24), "Variant": (19, 16), "Revision": (15, 12), "Implementer": (11, 0)}),
    (GicdSpi, {"INTID": (12, 0)}),
    (GicdIrouter, {"Aff3": (39, 32), "IRM": (31, 31), "Aff2": (23, 16), "Aff1": (15, 8), "Aff0": (7, 0)}),
    (GicrTyper, {"Aff3": (63, 56), "Aff2": (55, 48), "Aff1": (47, 40), "Aff0": (39, 32), "PPInum": (31, 27),
                 "VSGI": (26, 26), "CommonLPIAff": (25, 24), "Processor_Number": (23, 8), "RVPEID": (7, 7),
                 "MPAM": (6, 6), "DPGS": (5, 5), "Last": (4, 4), "DirectLPI": (3, 3), "Dirty": (2, 2),
                 "VLPIS": (1, 1), "PLPIS": (0, 0)}),
    (GicrWaker, {"ChildrenAsleep": (2, 2), "ProcessorSleep": (1, 1)}),
    (GicPidr2, {"ArchRev": (7, 4), "JEDEC": (3, 3), "DES_1": (2, 0)}),
    (IccCtlr, {"ExtRange": (19, 19), "RSS": (18, 18), "A3V": (15, 15), "SEIS": (14, 14), "IDbits": (13, 11),
               "PRIbits": (10, 8), "PMHE": (6, 6), "EOImode": (1, 1), "CBPR": (0, 0)}),
    (IccSre, {"DIB": (2, 2), "DFB": (1, 1), "SRE": (0, 0)}),
    (IccBpr, {"BinaryPoint": (2, 0)}),
    (IccIgrpen, {"Enable": (0, 0)}),
    (IccIntid, {"INTID": (23, 0)}),
    (IccPriority, {"Priority": (7, 0)}),
    (IccSgi1r, {"Aff3": (55, 48), "RS": (47, 44), "IRM": (40, 40), "Aff2": (39, 32), "INTID": (27, 24),
                "Aff1": (23, 16), "TargetList": (15, 0)}),
]  # fmt: skip


@pytest.mark.parametrize(("register", "layout"), LAYOUTS, ids=lambda each: getattr(each, "__name__", ""))
def test_fields_are_where_the_manual_has_them(register: type[Register], layout: Layout) -> None:
    assert {field.name: (field.msb, field.lsb) for field in register.fields()} == layout


def test_memory_mapped_registers_are_as_wide_as_their_accesses() -> None:
    words: list[type[Register]] = [GicdCtlr, GicdTyper, GicIidr, GicdSpi, GicrWaker, GicPidr2]
    assert {register.WIDTH for register in words} == {32}
    assert {register.WIDTH for register in (GicdIrouter, GicrTyper)} == {64}


def test_a_router_names_a_pe_as_mpidr_does() -> None:
    assert GicdIrouter.of(Aff3=0xFF, Aff2=0xFF, Aff1=0xFF, Aff0=0xFF) == AFFINITY_MASK


def test_every_interface_register_that_has_fields_has_a_layout() -> None:
    """ICC_AP<x>R<n>_EL1 are plain bitmaps, and ICC_NMIAR1_EL1 is of a later architecture."""
    names = {name for name in sysregs() if name.startswith("ICC_") and name.endswith("_EL1")}
    plain = {name for name in names if name.startswith(("ICC_AP0R", "ICC_AP1R"))}
    assert names - plain - {"ICC_NMIAR1_EL1"} == set(ICC_LAYOUTS)
