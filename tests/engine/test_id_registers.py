"""The ID registers of a guest announce nothing that the hypervisor hides or the core cannot do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.identification.features import announced_features
from arm_vcpu_cli.arch.identification.idregs import ID_LAYOUTS, Aa64Dfr0, Aa64Mmfr1, Aa64Pfr0
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.id_registers import UNANNOUNCED, guest_id_registers

from .harness import DATA, EL1H, Guest

MODELS = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
HVC_0 = 0xD400_0002
PFR0 = lookup("ID_AA64PFR0_EL1")


@pytest.fixture(scope="module", params=MODELS)
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    with Guest("exceptions", model=request.param) as guest:
        yield guest


def read(guest: Guest, reg: SysReg) -> int:
    """What MRS X3 of a register of the group gives at EL1."""
    mrs = 0xD538_0000 | reg.op1 << 16 | reg.crn << 12 | reg.crm << 8 | reg.op2 << 5 | 3
    guest.write_code(DATA, mrs, HVC_0)
    guest.core.flush_code()
    guest.start(DATA, mode=EL1H, x={3: 0x5555})
    assert guest.pc == DATA + 8
    return guest.x(3)


def test_every_register_of_the_group_reads_as_the_table_says(guest: Guest) -> None:
    for reg, value in guest_id_registers(guest.core).items():
        assert read(guest, reg) == value, reg.name


def test_levels_and_interfaces_that_the_guest_does_not_have(guest: Guest) -> None:
    features = Aa64Pfr0(read(guest, lookup("ID_AA64PFR0_EL1")))
    assert (features.EL3, features.EL2, features.GIC, features.RAS) == (0, 0, 0, 0)
    assert (features.EL1, features.EL0) == (1, 1), "AArch64 only"
    debug = Aa64Dfr0(read(guest, lookup("ID_AA64DFR0_EL1")))
    assert (debug.WRPs, debug.PMUVer) == (3 if guest.core.guest_watchpoints else 0, 0)
    memory = Aa64Mmfr1(read(guest, lookup("ID_AA64MMFR1_EL1")))
    assert (memory.VH, memory.LO, memory.VMIDBits) == (0, 0, 0)


def test_the_gic_is_announced_where_the_machine_has_one(guest: Guest) -> None:
    plain, with_gic = guest_id_registers(guest.core), guest_id_registers(guest.core, gic=True)
    assert Aa64Pfr0(with_gic[PFR0]).GIC == 1
    assert announced_features(with_gic) - announced_features(plain) == {"FEAT_GICv3"}


def test_random_numbers_are_announced_by_the_model_that_has_them_unless_refused(guest: Guest) -> None:
    announced = announced_features(guest_id_registers(guest.core))
    assert ("FEAT_RNG" in announced) is (guest.core.model == "max")
    assert announced_features(guest_id_registers(guest.core, rndr=False)) == announced - {"FEAT_RNG"}


def test_features_are_switched_off_by_name(guest: Guest) -> None:
    announced = announced_features(guest_id_registers(guest.core))
    lowered = announced_features(guest_id_registers(guest.core, features={"FEAT_PMULL": False, "FEAT_SVE": False}))
    assert announced - lowered == {"FEAT_PMULL", "FEAT_SVE"} & announced


@pytest.mark.parametrize(
    "name",
    [
        "FEAT_MTE",
        "FEAT_RAS",
        "FEAT_DIT",
        "FEAT_SSBS",
        "FEAT_AMUv1",
        "FEAT_VHE",
        "FEAT_LOR",
        "FEAT_PMUv3",
        "FEAT_VMID16",
    ],
)
def test_what_does_not_work_cannot_be_switched_on(guest: Guest, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be switched on"):
        guest_id_registers(guest.core, features={name: True})


def test_the_gic_can_be_hidden_but_not_announced_against_the_machine(guest: Guest) -> None:
    hidden = guest_id_registers(guest.core, gic=True, features={"FEAT_GICv3": False})
    assert Aa64Pfr0(hidden[PFR0]).GIC == 0
    with pytest.raises(ValueError, match="FEAT_GICv3"):
        guest_id_registers(guest.core, features={"FEAT_GICv3": True})


def test_what_the_core_can_do_is_kept(guest: Guest) -> None:
    for name in ("ID_AA64ISAR0_EL1", "ID_AA64ISAR1_EL1", "ID_AA64MMFR0_EL1", "ID_AA64PFR1_EL1"):
        told = UNANNOUNCED.get(guest.core.model, {}).get(name, {})
        known = ID_LAYOUTS[name](guest.core.read_sysreg(lookup(name))).replace(**told)
        assert read(guest, lookup(name)) == known, name


def test_aarch32_is_hidden(guest: Guest) -> None:
    for crm in (1, 2, 3):
        for op2 in range(8):
            assert read(guest, SysReg(3, 0, 0, crm, op2)) == 0
