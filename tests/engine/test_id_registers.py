"""What a guest is told of its CPU: nothing that the hypervisor keeps to itself or the core cannot do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.idregs import Aa64Dfr0, Aa64Mmfr1, Aa64Pfr0
from arm_vcpu_cli.arch.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers

from .harness import DATA, EL1H, Guest

MODELS = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
HVC_0 = 0xD400_0002


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
    assert (debug.WRPs, debug.PMUVer) == (0, 0)
    memory = Aa64Mmfr1(read(guest, lookup("ID_AA64MMFR1_EL1")))
    assert (memory.VH, memory.LO) == (0, 0)


def test_what_the_core_can_do_is_kept(guest: Guest) -> None:
    for name in ("ID_AA64ISAR0_EL1", "ID_AA64ISAR1_EL1", "ID_AA64MMFR0_EL1", "ID_AA64PFR1_EL1"):
        assert read(guest, lookup(name)) == guest.core.read_sysreg(lookup(name)), name


def test_aarch32_is_hidden(guest: Guest) -> None:
    for crm in (1, 2, 3):
        for op2 in range(8):
            assert read(guest, SysReg(3, 0, 0, crm, op2)) == 0
