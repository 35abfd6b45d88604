"""The registers of a CPU by its ID registers, and who may access them."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.identification.idregs import ID_LAYOUTS
from arm_vcpu_cli.arch.identification.sysreg_access import EL0, EL1, IMMEDIATES, NEVER, Access, guest_registers
from arm_vcpu_cli.arch.registers.constant_registers import constant_registers
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup, sysregs

GIC_V3 = {"ID_AA64PFR0_EL1": {"GIC": 1, "FP": 0}, "ID_AA64DFR0_EL1": {"BRPs": 5, "WRPs": 3, "DebugVer": 6}}


def ids(fields: dict[str, dict[str, int]]) -> dict[SysReg, int]:
    return {lookup(name): int(ID_LAYOUTS[name].of(**values)) for name, values in fields.items()}


PLAIN = guest_registers(ids(GIC_V3), {})


@pytest.mark.parametrize(
    ("name", "access"),
    [
        ("SCTLR_EL1", Access(EL1, EL1)),
        ("MIDR_EL1", Access(EL1, NEVER)),
        ("CTR_EL0", Access(EL0, NEVER, "SCTLR_EL1.UCT")),
        ("DCZID_EL0", Access(EL0, NEVER)),
        ("TPIDRRO_EL0", Access(EL0, EL1)),
        ("CNTV_CVAL_EL0", Access(EL0, EL0, "CNTKCTL_EL1.EL0VTEN")),
        ("CNTFRQ_EL0", Access(EL0, NEVER, "CNTKCTL_EL1.EL0PCTEN or EL0VCTEN")),
        ("DC CIVAC", Access(NEVER, EL0, "SCTLR_EL1.UCI")),
        ("DC ISW", Access(NEVER, EL1)),
        ("ICC_SGI1R_EL1", Access(NEVER, EL1)),
        ("ICC_IAR1_EL1", Access(EL1, NEVER)),
        ("DBGBVR5_EL1", Access(EL1, EL1)),
        ("OSLAR_EL1", Access(NEVER, EL1)),
    ],
)
def test_who_may_access_what_every_cpu_has(name: str, access: Access) -> None:
    assert PLAIN[lookup(name)] == access


@pytest.mark.parametrize(
    "name",
    [
        *("PMCR_EL0", "PMEVCNTR0_EL0", "PMINTENSET_EL1", "PMSIDR_EL1", "DBGBVR6_EL1", "DBGWCR4_EL1", "PAN", "UAO"),
        *("LORC_EL1", "ERRIDR_EL1", "APIAKeyLo_EL1", "RNDR", "TLBI VAE1OS", "TLBI VMALLE1NXS", "DC CVAP", "AT S1E1RP"),
        *("HCR_EL2", "TLBI ALLE1", "VBAR_EL12", "SCR_EL3", "CNTPS_CTL_EL1", "RVBAR_EL1", "ICC_AP1R1_EL1", "TCO"),
    ],
)
def test_what_belongs_to_features_or_to_others_is_undefined(name: str) -> None:
    assert lookup(name) not in PLAIN


@pytest.mark.parametrize(
    ("register", "fields", "names"),
    [
        ("ID_AA64MMFR1_EL1", {"PAN": 2}, {"PAN", "AT S1E1RP", "AT S1E1WP"}),
        ("ID_AA64MMFR1_EL1", {"LO": 1}, {"LORSA_EL1", "LOREA_EL1", "LORN_EL1", "LORC_EL1", "LORID_EL1"}),
        ("ID_AA64ISAR0_EL1", {"RNDR": 1}, {"RNDR", "RNDRRS"}),
        ("ID_AA64ISAR1_EL1", {"DPB": 2}, {"DC CVAP", "DC CVADP"}),
        ("ID_AA64PFR0_EL1", {"SVE": 1}, {"ZCR_EL1"}),
        ("ID_AA64PFR0_EL1", {"CSV2": 2}, {"SCXTNUM_EL0", "SCXTNUM_EL1"}),
    ],
)
def test_a_feature_brings_its_registers(register: str, fields: dict[str, int], names: set[str]) -> None:
    before = {**GIC_V3, register: {**GIC_V3.get(register, {}), **dict.fromkeys(fields, 0)}}
    after = {**before, register: {**before[register], **fields}}
    added = guest_registers(ids(after), {}).keys() - guest_registers(ids(before), {}).keys()
    assert added == {lookup(name) for name in names}


def test_without_a_gic_there_is_no_cpu_interface() -> None:
    bare = guest_registers({}, {})
    assert not [reg for name, reg in sysregs().items() if name.startswith("ICC_") and reg in bare]


def test_the_id_space_is_readable_without_gaps() -> None:
    assert {PLAIN[SysReg(3, 0, 0, crm, op2)] for crm in range(1, 8) for op2 in range(8)} == {Access(EL1, NEVER)}


def test_registers_of_the_implementation_are_of_el1() -> None:
    own = SysReg(3, 1, 15, 2, 1)
    assert guest_registers({}, {own: True})[own] == Access(EL1, EL1)
    assert guest_registers({}, {own: False})[own] == Access(EL1, NEVER)


def test_constants_agree_with_the_table() -> None:
    for reg, constant in constant_registers("max", 1).items():
        assert (PLAIN[reg].write != NEVER) is constant.writable, reg.name
        assert PLAIN[reg].read != NEVER


@pytest.mark.parametrize(("cluster", "value"), [(1, 0), (2, 1 << 24), (4, 3 << 24), (64, 3 << 24)])
def test_l2ctlr_has_the_number_of_cpus(cluster: int, value: int) -> None:
    assert constant_registers("cortex-a53", cluster)[SysReg(3, 1, 11, 0, 2)].value == value


def test_only_cpus_with_a_manual_have_registers_of_their_own() -> None:
    assert len(constant_registers("cortex-a72", 1)) - len(constant_registers("max", 1)) == 8


def test_immediates_name_no_encoding_twice() -> None:
    assert all(op1 < 8 and crn < 16 and op2 < 8 for op1, crn, op2 in IMMEDIATES)
