"""vCPUs bound to one physical CPU: what is written to the core when one replaces another."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arch.registers.el2regs import Hcr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.engine.layout import NOT_EXCLUSIVE
from tests.support.arm_vcpu_bench import ENTRY, ROOT, VTCR
from tests.support.fake_core import LAYOUT, FakeCore, FakeHal, hvc

VI = int(Hcr.of(VI=1))
MMU = int(Sctlr.of(M=1))
SCTLR_AT = LAYOUT.sysregs[lookup("SCTLR_EL1")] // 8
CALL = hvc(0x8600_0001)
"""Nobody completes it: the vCPU is left."""


class Pair:
    """Two vCPUs on one core; ``second_root`` is the second stage of the other one."""

    def __init__(self, *, second_root: int = ROOT) -> None:
        self.core = FakeCore()
        self.hal = FakeHal(self.core)
        self.cpu = Aarch64PerCpu(0, self.hal)
        self.cpu.hardware_enable()
        self.first = self._bound(0, ROOT)
        self.second = self._bound(1, second_root)

    def _bound(self, affinity: int, root: int) -> Aarch64VCpu:
        vcpu = Aarch64VCpu(Aarch64VCpuCreateConfig(mpidr_el1=affinity), self.hal)
        vcpu.set_entry(ENTRY + affinity)
        vcpu.set_ept_root(root)
        vcpu.setup(Aarch64VCpuSetupConfig(vtcr=VTCR))
        vcpu.bind(self.cpu)
        return vcpu

    def run(self, vcpu: Aarch64VCpu) -> list[str]:
        """Run to the next call; what the core was told on the way."""
        self.core.script.append(CALL)
        self.core.log.clear()
        vcpu.run()
        return list(self.core.log)

    def translate(self, vcpu: Aarch64VCpu) -> None:
        """Stage 1 is on."""
        vcpu.state.u64[SCTLR_AT] |= MMU


def test_each_goes_on_with_its_own_registers() -> None:
    pair = Pair()
    pair.first.set_gpr(3, 0x111)
    pair.second.set_gpr(3, 0x222)
    for _ in range(2):
        pair.run(pair.first)
        assert pair.core.gpr(3) == 0x111
        pair.run(pair.second)
        assert pair.core.gpr(3) == 0x222
    assert pair.core.started_at == [ENTRY, ENTRY + 1, ENTRY + 4, ENTRY + 5]


def test_an_exit_concerns_the_one_that_has_executed() -> None:
    pair = Pair()
    for _ in range(3):
        pair.run(pair.first)
    pair.run(pair.second)
    assert (pair.first.exits, pair.second.exits) == (3, 1)


def test_hcr_is_written_for_the_one_that_enters() -> None:
    pair = Pair()
    pair.first.set_interrupt_lines(irq=True, fiq=False)
    pair.run(pair.first)
    assert pair.core.sysreg("HCR_EL2") & VI
    pair.run(pair.second)
    assert not pair.core.sysreg("HCR_EL2") & VI
    pair.run(pair.first)
    assert pair.core.sysreg("HCR_EL2") & VI


def test_hcr_is_written_once_for_each_change_of_place() -> None:
    pair = Pair()
    pair.run(pair.first)
    assert not [entry for entry in pair.run(pair.first) if entry.startswith("HCR_EL2=")]
    assert len([entry for entry in pair.run(pair.second) if entry.startswith("HCR_EL2=")]) == 1


def test_the_line_of_one_that_is_not_there_does_not_reach_the_core() -> None:
    pair = Pair()
    pair.run(pair.first)
    pair.core.log.clear()
    pair.second.set_virtual_irq(pending=True)
    assert pair.core.log == []
    pair.run(pair.first)
    assert not pair.core.sysreg("HCR_EL2") & VI
    pair.run(pair.second)
    assert pair.core.sysreg("HCR_EL2") & VI


def test_the_mark_of_the_exclusive_monitor_is_cleared() -> None:
    pair = Pair()
    pair.run(pair.first)
    exclusive = LAYOUT.exclusive // 8
    pair.first.state.u64[exclusive] = 0x4000_1000
    pair.run(pair.first)
    assert pair.first.state.u64[exclusive] == 0x4000_1000, "nobody else has executed"
    pair.run(pair.second)
    pair.run(pair.first)
    assert pair.first.state.u64[exclusive] == NOT_EXCLUSIVE


@pytest.mark.parametrize(
    ("leaving", "entering", "flushes"), [(False, False, 0), (True, False, 1), (False, True, 1), (True, True, 1)]
)
def test_translations_are_forgotten_where_stage_1_is_on(leaving: bool, entering: bool, flushes: int) -> None:
    pair = Pair()
    pair.run(pair.first)
    if leaving:
        pair.translate(pair.first)
    if entering:
        pair.translate(pair.second)
    assert pair.run(pair.second).count("flush_tlb") == flushes


def test_translations_are_forgotten_where_the_second_stage_is_another() -> None:
    pair = Pair(second_root=ROOT + 0x1000)
    pair.run(pair.first)
    assert pair.run(pair.second).count("flush_tlb") == 1


def test_one_that_stays_forgets_nothing() -> None:
    pair = Pair()
    pair.translate(pair.first)
    pair.run(pair.first)
    assert pair.run(pair.first).count("flush_tlb") == 0


def test_one_that_is_reset_is_loaded_again() -> None:
    pair = Pair()
    pair.run(pair.first)
    pair.first.set_gpr(4, 9)
    pair.first.reset(ENTRY + 0x40, 7)
    assert "flush_tlb" in pair.run(pair.first)
    assert pair.core.started_at[-1] == ENTRY + 0x40
    assert (pair.core.gpr(0), pair.core.gpr(4)) != (7, 9), "the call has its result in x0"
    assert pair.core.gpr(4) == 0


def test_one_that_is_unbound_leaves_the_other_bound() -> None:
    pair = Pair()
    pair.second.set_gpr(3, 5)
    pair.run(pair.second)
    pair.first.unbind()
    pair.run(pair.second)
    assert pair.core.gpr(3) == 5
    assert pair.core.started_at == [ENTRY + 1, ENTRY + 5]


def test_the_registers_of_one_that_is_not_there_are_its_own() -> None:
    pair = Pair()
    far = lookup("FAR_EL1")
    pair.first.write_sysreg(far, 0x111)
    pair.second.write_sysreg(far, 0x222)
    assert (pair.first.read_sysreg(far), pair.second.read_sysreg(far)) == (0x111, 0x222)
    assert pair.run(pair.first) != []
    assert pair.core.sysreg("FAR_EL1") == 0x111


def test_so_are_those_that_are_read_by_name() -> None:
    pair = Pair()
    far = lookup("FAR_EL1")
    pair.first.write_sysreg(far, 0x111)
    pair.second.write_sysreg(far, 0x222)
    assert pair.first.guest_system_regs["FAR_EL1"] == 0x111
    assert pair.second.guest_system_regs["FAR_EL1"] == 0x222
