"""The initial state of a vCPU, and the state of a physical CPU while it runs guests."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.el2regs import Hcr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.pcpu import HYPERVISOR_HCR, Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.axvcpu.exit import Halt, Nothing
from arm_vcpu_cli.axvcpu.vcpu import AxPerCpu, AxVCpu
from arm_vcpu_cli.errors import VCpuError
from tests.support.arm_vcpu_bench import ENTRY, ROOT, VTCR, bench
from tests.support.fake_core import FakeCore, FakeHal, hvc, wfi
from tests.support.observer import Observer


def test_trap_frame_at_reset() -> None:
    vcpu = bench(create=Aarch64VCpuCreateConfig(dtb_addr=0x4000_0000)).vcpu
    assert vcpu.ctx.gprs() == (0x4000_0000, *([0] * 30))
    assert vcpu.ctx.gpr(31) == 0
    assert vcpu.ctx.elr == ENTRY
    assert vcpu.ctx.spsr == 0x3C5
    assert (vcpu.ctx.sp, vcpu.ctx.sp_el0, vcpu.ctx.sp_el1) == (0, 0, 0)


def test_nothing_of_the_cores_own_registers_shows_in_the_guest() -> None:
    core = FakeCore()
    hal = FakeHal(core)
    junk = core.new_state()
    for word in range(len(junk.u64)):
        junk.u64[word] = 0xA5A5_A5A5_A5A5_A5A5
    junk.u32[core.layout.aarch64 // 4] = 1
    core.restorer(junk)()
    vcpu = Aarch64VCpu(Aarch64VCpuCreateConfig(), hal)
    assert vcpu.ctx.gprs() == (0,) * 31
    assert (vcpu.ctx.sp, vcpu.ctx.sp_el0, vcpu.ctx.sp_el1) == (0, 0, 0)


def test_system_registers_at_reset() -> None:
    box = bench(create=Aarch64VCpuCreateConfig(mpidr_el1=0x1_0000_0203))
    expected = {
        "SCTLR_EL1": 0x30C5_0830,
        "CNTVOFF_EL2": 0,
        "CNTKCTL_EL1": 0,
        "PMCR_EL0": 0,
        "CNTHCTL_EL2": 0,
        "VMPIDR_EL2": 0x1_8000_0203,
        "VTCR_EL2": VTCR,
        "VTTBR_EL2": ROOT,
    }
    assert {name: box.vcpu.guest_system_regs[name] for name in expected} == expected
    assert {name: box.core.sysreg(name) for name in expected} == expected


def test_reset_values_overwrite_what_the_core_had() -> None:
    core = FakeCore()
    hal = FakeHal(core)
    for name in ("CNTVOFF_EL2", "CNTKCTL_EL1", "PMCR_EL0", "CNTHCTL_EL2", "SCTLR_EL1"):
        core.write_sysreg(lookup(name), 0xFFFF)
    cpu = Aarch64PerCpu(0, hal)
    cpu.hardware_enable()
    vcpu = Aarch64VCpu(Aarch64VCpuCreateConfig(), hal)
    vcpu.set_entry(0)
    vcpu.set_ept_root(0)
    vcpu.setup(Aarch64VCpuSetupConfig(vtcr=VTCR))
    vcpu.bind(cpu)
    assert [core.sysreg(name) for name in ("CNTVOFF_EL2", "CNTKCTL_EL1", "PMCR_EL0", "CNTHCTL_EL2")] == [0, 0, 0, 0]
    assert core.sysreg("SCTLR_EL1") == 0x30C5_0830


@pytest.mark.parametrize(("passthrough", "value"), [(False, 0), (True, 0b11)])
def test_the_physical_timer_is_the_guests_only_if_passed_through(passthrough: bool, value: int) -> None:
    box = bench(setup=Aarch64VCpuSetupConfig(vtcr=VTCR, passthrough_timer=passthrough))
    assert box.core.sysreg("CNTHCTL_EL2") == value


VM, FMO, IMO, TWI, TID3, TSC, TVM, RW = 1 << 0, 1 << 3, 1 << 4, 1 << 13, 1 << 18, 1 << 19, 1 << 26, 1 << 31
APK, API = 1 << 40, 1 << 41


@pytest.mark.parametrize(
    ("setup", "hcr"),
    [
        (Aarch64VCpuSetupConfig(vtcr=VTCR), VM | RW | TSC | IMO | FMO | TWI | TID3),
        (Aarch64VCpuSetupConfig(vtcr=VTCR, trap_wfi=False, trap_id_registers=False), VM | RW | TSC | IMO | FMO),
        (
            Aarch64VCpuSetupConfig(vtcr=VTCR, passthrough_interrupt=True, trap_wfi=False, trap_id_registers=False),
            VM | RW | TSC,
        ),
        (Aarch64VCpuSetupConfig(vtcr=VTCR, hcr=("TVM",)), VM | RW | TSC | IMO | FMO | TWI | TID3 | TVM),
    ],
)
def test_hcr_follows_the_configuration(setup: Aarch64VCpuSetupConfig, hcr: int) -> None:
    box = bench(setup=setup)
    assert box.core.sysreg("HCR_EL2") == hcr
    assert box.vcpu.guest_system_regs.hcr_el2 == hcr


def test_an_unknown_hcr_bit_is_refused() -> None:
    with pytest.raises(ValueError, match="NONSENSE"):
        bench(setup=Aarch64VCpuSetupConfig(vtcr=VTCR, hcr=("NONSENSE",)))


@pytest.mark.parametrize(("isar1", "bits"), [(0, 0), (0x10, APK | API), (0x100, APK | API)])
def test_pointer_authentication_is_left_to_a_guest_that_has_it(isar1: int, bits: int) -> None:
    core = FakeCore()
    core.registers[lookup("ID_AA64ISAR1_EL1")] = isar1
    hal = FakeHal(core)
    cpu = Aarch64PerCpu(0, hal)
    cpu.hardware_enable()
    vcpu = Aarch64VCpu(Aarch64VCpuCreateConfig(), hal)
    vcpu.set_entry(0)
    vcpu.set_ept_root(0)
    vcpu.setup(Aarch64VCpuSetupConfig(vtcr=VTCR))
    vcpu.bind(cpu)
    assert core.sysreg("HCR_EL2") & (APK | API) == bits


@pytest.mark.parametrize(
    ("mmfr0", "ps", "t0sz", "sl0"),
    [
        (0x1122, 2, 24, 1),  # 40 bits: 3 levels, starting at level 1 with concatenated tables
        (0x1124, 4, 20, 2),  # 44 bits: 4 levels
        (0x1125, 5, 16, 2),  # 48 bits
    ],
)
def test_vtcr_follows_the_physical_address_range(mmfr0: int, ps: int, t0sz: int, sl0: int) -> None:
    core = FakeCore()
    core.registers[lookup("ID_AA64MMFR0_EL1")] = mmfr0
    hal = FakeHal(core)
    vcpu = Aarch64VCpu(Aarch64VCpuCreateConfig(), hal)
    vcpu.set_entry(0)
    vcpu.set_ept_root(0)
    vcpu.setup(Aarch64VCpuSetupConfig())
    vtcr = vcpu.guest_system_regs["VTCR_EL2"]
    granule_4k, inner_shareable, write_back = 0, 3 << 12, 1 << 10 | 1 << 8
    assert vtcr == 1 << 31 | ps << 16 | granule_4k | inner_shareable | write_back | sl0 << 6 | t0sz


@pytest.mark.parametrize("mpidr", [1 << 31, 1 << 24, 1 << 30, 1 << 40])
def test_an_mpidr_with_more_than_affinity_is_refused(mpidr: int) -> None:
    with pytest.raises(VCpuError, match="affinity"):
        Aarch64VCpu(Aarch64VCpuCreateConfig(mpidr_el1=mpidr), FakeHal(FakeCore()))


def test_the_order_of_calls_is_checked() -> None:
    core = FakeCore()
    hal = FakeHal(core)
    cpu = Aarch64PerCpu(0, hal)
    vcpu = Aarch64VCpu(Aarch64VCpuCreateConfig(), hal)
    with pytest.raises(VCpuError, match="set_entry and set_ept_root"):
        vcpu.setup(Aarch64VCpuSetupConfig(vtcr=VTCR))
    vcpu.set_entry(0)
    vcpu.set_ept_root(0)
    with pytest.raises(VCpuError, match="setup"):
        vcpu.bind(cpu)
    vcpu.setup(Aarch64VCpuSetupConfig(vtcr=VTCR))
    with pytest.raises(VCpuError, match="not enabled"):
        vcpu.bind(cpu)
    with pytest.raises(VCpuError, match="not bound"):
        vcpu.run()
    cpu.hardware_enable()
    vcpu.bind(cpu)
    with pytest.raises(VCpuError, match="observer"):
        vcpu.add_observer(Observer())


def test_it_fits_the_neutral_layer() -> None:
    core = FakeCore([hvc(0x8600_FF77), wfi()])
    hal = FakeHal(core)
    arch = Aarch64VCpu(Aarch64VCpuCreateConfig(), hal)
    vcpu: AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu] = AxVCpu(0, 0, arch)
    cpu = Aarch64PerCpu(0, hal)
    cpu.hardware_enable()
    vcpu.setup(ENTRY, ROOT, Aarch64VCpuSetupConfig(vtcr=VTCR))
    vcpu.bind(AxPerCpu(cpu))
    vcpu.run()
    vcpu.set_return_value(1)
    assert vcpu.run() == Halt()
    assert vcpu.run() == Nothing()
    vcpu.unbind()
    assert core.started_at == [ENTRY, ENTRY + 4, ENTRY + 8]


# Binding -------------------------------------------------------------------------------------------------------


def test_hcr_is_loaded_last_and_the_tlb_is_flushed() -> None:
    log = bench().core.log
    hcr = max(n for n, line in enumerate(log) if line.startswith("HCR_EL2"))
    for name in ("VTTBR_EL2", "VTCR_EL2", "SCTLR_EL1", "VMPIDR_EL2"):
        assert max(n for n, line in enumerate(log) if line.startswith(name)) < hcr
    assert log.index("flush_tlb") > hcr


def test_an_unbound_vcpu_keeps_its_registers_and_takes_them_along() -> None:
    box = bench([hvc(0x8600_FF77, 1, 2)])
    box.vcpu.run()
    box.vcpu.guest_system_regs["TPIDR_EL1"] = 0x1234
    box.vcpu.set_gpr(19, 0xABCD)
    box.vcpu.unbind()
    assert box.core.hook is None
    box.core.write_sysreg(lookup("TPIDR_EL1"), 0)
    assert box.vcpu.guest_system_regs["TPIDR_EL1"] == 0x1234
    box.vcpu.bind(box.cpu)
    assert box.core.sysreg("TPIDR_EL1") == 0x1234
    box.vcpu.run()
    assert box.core.gpr(19) == 0xABCD
    assert box.core.started_at[-1] == ENTRY + 4


def test_an_exit_that_is_under_way_survives_unbind_and_bind() -> None:
    box = bench([wfi()])
    assert box.vcpu.run() == Halt()
    box.vcpu.unbind()
    box.vcpu.bind(box.cpu)
    box.vcpu.run()
    assert box.core.started_at == [ENTRY, ENTRY + 4], "the WFI is stepped over"


def test_a_register_that_is_not_switched_is_not_there() -> None:
    registers = bench().vcpu.guest_system_regs
    with pytest.raises(KeyError):
        registers["CNTFRQ_EL0"]
    with pytest.raises(KeyError):
        registers["CNTFRQ_EL0"] = 0
    assert "HCR_EL2" in registers.names()


def test_a_virtual_irq_is_raised_and_lowered_in_hcr() -> None:
    box = bench()
    box.vcpu.inject_interrupt(27)
    assert Hcr(box.core.sysreg("HCR_EL2")).VI == 1
    box.vcpu.set_virtual_irq(pending=False)
    assert Hcr(box.core.sysreg("HCR_EL2")).VI == 0
    with pytest.raises(VCpuError, match="interrupt -1"):
        box.vcpu.inject_interrupt(-1)


# The physical CPU ----------------------------------------------------------------------------------------------


def per_cpu(*, vbar: int = 0x8_0000, hcr: int = 0) -> tuple[Aarch64PerCpu, FakeCore, FakeHal]:
    core = FakeCore()
    core.registers[lookup("VBAR_EL2")] = vbar
    core.registers[lookup("HCR_EL2")] = hcr
    hal = FakeHal(core)
    return Aarch64PerCpu(0, hal), core, hal


def test_enable_installs_vectors_and_disable_puts_everything_back() -> None:
    e2h = 1 << 34
    cpu, core, hal = per_cpu(vbar=0xDEAD_0800, hcr=e2h)
    frames = list(hal.free)
    assert not cpu.is_enabled()
    assert cpu.vector_base is None
    cpu.hardware_enable()
    assert cpu.is_enabled()
    assert core.sysreg("VBAR_EL2") == cpu.vector_base
    assert core.sysreg("VBAR_EL2") % 0x800 == 0
    assert core.sysreg("HCR_EL2") == HYPERVISOR_HCR == VM | RW | TSC | IMO | FMO
    cpu.hardware_disable()
    assert not cpu.is_enabled()
    assert core.sysreg("VBAR_EL2") == 0xDEAD_0800
    assert core.sysreg("HCR_EL2") == e2h
    assert cpu.vector_base is None
    assert sorted(hal.free) == sorted(frames)


def test_enabling_twice_and_disabling_twice_are_refused() -> None:
    cpu, core, _ = per_cpu(vbar=0x1000)
    with pytest.raises(VCpuError, match="not enabled"):
        cpu.hardware_disable()
    cpu.hardware_enable()
    vectors = core.sysreg("VBAR_EL2")
    with pytest.raises(VCpuError, match="enabled already"):
        cpu.hardware_enable()
    assert core.sysreg("VBAR_EL2") == vectors
    cpu.hardware_disable()
    with pytest.raises(VCpuError, match="not enabled"):
        cpu.hardware_disable()
    assert core.sysreg("VBAR_EL2") == 0x1000


def test_enable_needs_a_frame_that_is_aligned() -> None:
    cpu, core, hal = per_cpu()
    hal.free = []
    with pytest.raises(VCpuError, match="no aligned frame"):
        cpu.hardware_enable()
    hal.free = [0x10_0400]
    with pytest.raises(VCpuError, match="no aligned frame"):
        cpu.hardware_enable()
    assert hal.free == [0x10_0400]
    assert not cpu.is_enabled()
    assert core.sysreg("VBAR_EL2") == 0x8_0000


def test_the_irq_handler_is_registered_once() -> None:
    cpu, _, hal = per_cpu()
    with pytest.raises(VCpuError, match="registered already"):
        cpu.register_irq_handler(lambda: None)
    cpu.dispatch_irq()
    assert hal.irqs_handled == 1


def test_a_physical_cpu_that_is_not_there() -> None:
    with pytest.raises(VCpuError, match="physical CPU 1"):
        Aarch64PerCpu(1, FakeHal(FakeCore()))
