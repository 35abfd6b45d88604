"""The table of all registers: names, encodings, layouts, titles and resets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.bitfield import Register, vars_of
from arm_vcpu_cli.arch.explain.registers import (
    ALL_LAYOUTS,
    GROUPS,
    NOT_RES0,
    RES1_WITHOUT,
    register_info,
    register_names,
)
from arm_vcpu_cli.arch.registers.el1regs import Par, ParFault, Spsr, Tcr
from arm_vcpu_cli.arch.registers.exceptionregs import Spsr32
from arm_vcpu_cli.arch.registers.sysreg import sysregs
from arm_vcpu_cli.arch.registers.translationregs import E2H_LAYOUTS

NAMES = register_names()
EVERY_LAYOUT = [*ALL_LAYOUTS.items(), *((f"{name} with E2H", layout) for name, layout in E2H_LAYOUTS.items())]

# Bits of fields as Arm's register data has them (Linux, arch/arm64/tools/sysreg), from all over the registers.
PLACES = [
    ("HCRX_EL2", {"PACMEn": (24, 24), "SCTLR2En": (15, 15), "MSCEn": (11, 11), "VINMI": (7, 7), "EnAS0": (0, 0)}),
    ("HFGRTR_EL2", {"nAMAIR2_EL1": (63, 63), "nACCDATA_EL1": (50, 50), "ERXFR_EL1": (42, 42), "SCTLR_EL1": (29, 29)}),
    ("HFGWTR_EL2", {"ERRSELR_EL1": (41, 41), "ESR_EL1": (16, 16), "APIBKey": (8, 8), "AFSR0_EL1": (0, 0)}),
    ("HFGITR_EL2", {"PSBCSYNC": (63, 63), "ERET": (51, 51), "TLBIVMALLE1OS": (18, 18), "ICIALLUIS": (0, 0)}),
    ("HDFGRTR_EL2", {"PMBIDR_EL1": (63, 63), "TRCID": (40, 40), "PMMIR_EL1": (22, 22), "OSLSR_EL1": (9, 9)}),
    ("HDFGWTR_EL2", {"TRCOSLAR": (42, 42), "PMCR_EL0": (21, 21), "OSLAR_EL1": (8, 8), "DBGBCRn_EL1": (0, 0)}),
    ("HAFGRTR_EL2", {"AMEVTYPER115_EL0": (49, 49), "AMCNTEN1": (17, 17), "AMCNTEN0": (0, 0)}),
    ("TCR2_EL1", {"FNGNA1": (21, 21), "A2": (16, 16), "HAFT": (11, 11), "PnCH": (0, 0)}),
    ("SCTLR_EL2", {"TIDCP": (63, 63), "BT": (36, 36), "EnFPM": (34, 34), "EE": (25, 25), "M": (0, 0)}),
    ("SCTLR2_EL1", {"CPTM0": (12, 12), "EnPACM0": (8, 8), "EASE": (5, 5), "NMEA": (2, 2)}),
    ("VTCR_EL2", {"HDBSS": (45, 45), "TL0": (41, 41), "SL2": (33, 33), "VS": (19, 19), "T0SZ": (5, 0)}),
    ("MDCR_EL2", {"EnSTEPOP": (50, 50), "PMEE": (41, 40), "E2TB": (25, 24), "TDE": (8, 8), "HPMN": (4, 0)}),
    ("ICH_HCR_EL2", {"EOIcount": (31, 27), "DVIM": (15, 15), "TC": (10, 10), "vSGIEOICount": (8, 8), "En": (0, 0)}),
    ("ICH_VTR_EL2", {"PRIbits": (31, 29), "IDbits": (25, 23), "DVIM": (18, 18), "ListRegs": (4, 0)}),
    ("ICH_VMCR_EL2", {"VPMR": (31, 24), "VBPR1": (20, 18), "VEOIM": (9, 9), "VENG0": (0, 0)}),
    ("ICH_MISR_EL2", {"VGrp1D": (7, 7), "NP": (3, 3), "EOI": (0, 0)}),
    ("PMSIDR_EL1", {"SME": (32, 32), "COUNTSIZE": (19, 16), "Interval": (11, 8), "FE": (0, 0)}),
    ("TRBLIMITR_EL1", {"LIMIT": (63, 12), "XE": (6, 6), "TM": (4, 3), "FM": (2, 1), "E": (0, 0)}),
    ("MPAM2_EL2", {"MPAMEN": (63, 63), "TRAPMPAM1EL1": (48, 48), "PMG_D": (47, 40), "PARTID_I": (15, 0)}),
    ("ID_MMFR3_EL1", {"Supersec": (31, 28), "PAN": (19, 16), "CMaintVA": (3, 0)}),
    ("ID_AA64DFR2_EL1", {"TRBE_EXC": (27, 24), "BWE": (7, 4), "STEP": (3, 0)}),
    ("ID_AA64ISAR3_EL1", {"FPRCVT": (31, 28), "LSFE": (19, 16), "CPA": (3, 0)}),
    ("ID_AA64MMFR4_EL1", {"SRMASK": (47, 44), "RMEGDI": (31, 28), "PoPS": (3, 0)}),
    ("ISR_EL1", {"IS": (10, 10), "A": (8, 8), "F": (6, 6)}),
    ("CCSIDR_EL1", {"NumSets": (27, 13), "Associativity": (12, 3), "LineSize": (2, 0)}),
    ("SMCR_EL1", {"FA64": (31, 31), "EZT0": (30, 30), "LEN": (3, 0)}),
    # From the manual's text: D24.3.2, D24.10.2 and IHI 0069H, 12.4.
    ("DBGBCR3_EL1", {"LBNX": (31, 30), "MASK": (28, 24), "BT": (23, 20), "BAS": (8, 5), "BT2": (3, 3), "PMC": (2, 1)}),
    ("DBGWCR0_EL1", {"MASK": (28, 24), "BAS": (12, 5), "LSC": (4, 3), "PAC": (2, 1), "E": (0, 0)}),
    ("ICH_LR5_EL2", {"State": (63, 62), "HW": (61, 61), "Priority": (55, 48), "pINTID": (44, 32), "vINTID": (31, 0)}),
    ("TCR_EL2", {"DS": (32, 32), "TBI": (20, 20), "PS": (18, 16), "TG0": (15, 14), "T0SZ": (5, 0)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "places"), PLACES)
def test_fields_are_where_the_published_data_has_them(name: str, places: dict[str, tuple[int, int]]) -> None:
    declared = vars_of(ALL_LAYOUTS[name])
    assert {field: (declared[field].msb, declared[field].lsb) for field in places} == places


def test_every_register_has_a_title_a_group_and_a_place_in_a_manual() -> None:
    for name in NAMES:
        info = register_info(name)
        assert info.title, name
        assert info.group in GROUPS
        assert info.group != "other", name
        assert info.section.startswith(("DDI 0487, ", "IHI 0069H, "))
        assert info.width == 64
        assert "#" not in info.title
        assert "{" not in info.name


def test_the_names_are_those_of_the_encodings_and_pstate() -> None:
    assert set(NAMES) == {"PSTATE"} | {name for name, reg in sysregs().items() if reg.op0 != 1}
    assert set(ALL_LAYOUTS) <= set(NAMES)
    assert {name for name in NAMES if register_info(name).encoding is None} == {"PSTATE"}


def test_no_two_registers_have_one_encoding_but_those_that_are_known_to() -> None:
    by_encoding: dict[object, list[str]] = {}
    for name in NAMES:
        by_encoding.setdefault(register_info(name).encoding, []).append(name)
    shared = [names for names in by_encoding.values() if len(names) > 1]
    assert all(
        {"DBGDTRRX_EL0", "DBGDTRTX_EL0"} == set(names) or {name[:3] for name in names} == {"ICC", "ICV"}
        for names in shared
    )


def test_only_implementation_defined_and_secure_registers_have_no_layout() -> None:
    missing = {name for name in NAMES if register_info(name).layout is None}
    assert not {
        name for name in missing if name.startswith(("ICC", "ICH", "ICV", "CNT", "PM", "DBG", "HF", "HD", "TCR"))
    }
    assert {name for name in missing if name.startswith(("ID_", "MVFR"))} == {"ID_AA64AFR1_EL1"}
    assert {"ACTLR_EL1", "REVIDR_EL1", "AMAIR_EL1"} <= missing


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("hcr_el2", "HCR_EL2"),
        ("currentel", "CurrentEL"),
        ("CPSR", "PSTATE"),
        ("pstate", "PSTATE"),
        ("S3_4_C1_C1_0", "HCR_EL2"),
        ("s3_0_c12_c11_5", "ICC_SGI1R_EL1"),
        ("S3_1_C15_C2_0", "S3_1_C15_C2_0"),
    ],
)
def test_a_register_is_found_by_any_of_its_names(asked: str, found: str) -> None:
    assert register_info(asked).name == found


@pytest.mark.parametrize("name", ["HRC_EL2", "", "S3_4_C1_C16_0", "DC ZVA", "S1_3_C7_C4_7", "x0"])
def test_what_is_no_register_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        register_info(name)


def test_a_misspelt_name_is_answered_with_close_ones() -> None:
    with pytest.raises(KeyError, match=r"HCR_EL2"):
        register_info("HRC_EL2")


def test_an_alias_has_the_facts_of_the_register_that_it_reaches() -> None:
    alias, own = register_info("SCTLR_EL12"), register_info("SCTLR_EL1")
    assert (alias.layout, alias.reset, alias.own_name) == (own.layout, own.reset, "SCTLR_EL1")
    assert alias.encoding != own.encoding
    virtual, physical = register_info("ICV_PMR_EL1"), register_info("ICC_PMR_EL1")
    assert (virtual.layout, virtual.encoding) == (physical.layout, physical.encoding)
    assert "Virtual" in virtual.title
    assert register_info("CNTV_CTL_EL02").layout is register_info("CNTV_CTL_EL0").layout


def test_the_layout_follows_the_value_where_it_has_to() -> None:
    assert register_info("PAR_EL1").layout_of(0) is Par
    assert register_info("PAR_EL1").layout_of(1) is ParFault
    assert register_info("SPSR_EL2").layout_of(0x3C5) is Spsr
    assert register_info("SPSR_EL2").layout_of(0x1D3) is Spsr32
    narrow, wide = (register_info("CCSIDR_EL1").layout_of(value) for value in (0x701FE00A, 1 << 32))
    assert narrow is not wide
    assert register_info("TCR_EL2").layout_of(0, e2h=True) is Tcr
    assert register_info("TCR_EL2").layout_of(0) is register_info("TCR_EL2").layout
    assert register_info("HCR_EL2").layout_of(0, e2h=True) is register_info("HCR_EL2").layout


@pytest.mark.parametrize(
    ("name", "known", "words"),
    [
        ("SCTLR_EL1", {"M": 0, "C": 0, "I": 0}, "where EL1 is the highest Exception level"),
        ("SCTLR_EL2", {"M": 0, "C": 0, "I": 0}, "where EL2 is the highest Exception level"),
        ("HCR_EL2", {}, "architecturally UNKNOWN"),
        ("PMCR_EL0", {"E": 0}, "the rest is UNKNOWN"),
        ("OSLSR_EL1", {"OSLK": 1}, "on a Cold reset"),
        ("DAIF", {"D": 1, "A": 1, "I": 1, "F": 1}, "D=1 A=1 I=1 F=1"),
        ("ICC_PMR_EL1", {"Priority": 0}, "0"),
        ("MIDR_EL1", {}, "a value of the implementation"),
        ("VPIDR_EL2", {}, "MIDR_EL1"),
    ],
)
def test_reset_values_are_those_of_the_manual(name: str, known: dict[str, int], words: str) -> None:
    reset = register_info(name).reset
    assert reset is not None
    assert dict(reset.known) == known
    assert words in reset.text


def test_resets_and_reserved_ones_name_fields_that_exist() -> None:
    for name in NAMES:
        info = register_info(name)
        if info.reset is not None and info.reset.known:
            assert info.layout is not None
            info.layout.of(**info.reset.known)
    for name, fields in RES1_WITHOUT.items():
        assert set(fields) <= set(vars_of(ALL_LAYOUTS[name]))
    for name, bits in NOT_RES0.items():
        layout = register_info(name).layout_of(1)
        assert layout is not None
        assert not any(field.mask << field.lsb & bits for field in layout.fields())


@given(st.sampled_from(EVERY_LAYOUT), st.integers(0, 2**64 - 1))
def test_every_layout_takes_a_value_apart_and_puts_it_together(named: tuple[str, type[Register]], word: int) -> None:
    _, layout = named
    value = layout(word & (1 << layout.WIDTH) - 1)
    fields = value.as_dict()
    declared = sum(field.mask << field.lsb for field in layout.fields())
    assert layout.of(**fields) == value & declared
    assert value.replace(**fields) == value
    assert value.describe()
