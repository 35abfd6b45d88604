"""A vCPU on a fake core, for the tests of this package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.platform import Outcome, Platform
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.axvcpu.exit import AccessFlags, SystemDown
from arm_vcpu_cli.errors import EngineError
from tests.support.fake_core import FakeCore, FakeHal, Trap
from tests.support.observer import Observer

ENTRY = 0x4008_0000
ROOT = 0x20_0000
VTCR = 0x8002_3559


@dataclass
class TestPlatform:
    """Completes exits with what the test has put in; ``log`` holds what was asked."""

    __test__ = False

    reads: list[int | Outcome] = field(default_factory=list)
    write_outcome: Outcome = Outcome.DONE
    sysreg_value: int | Outcome = 0
    sysreg_outcome: Outcome = Outcome.DONE
    fault_outcome: Outcome = Outcome.ABORT
    hypercall_answer: int | Outcome = 0
    semihosting_answer: int | SystemDown | Outcome = Outcome.UNDEFINED
    log: list[tuple[object, ...]] = field(default_factory=list)

    def mmio_read(self, ipa: int, width: int) -> int | Outcome:
        self.log.append(("mmio_read", ipa, width))
        return self.reads.pop(0) if self.reads else 0

    def mmio_write(self, ipa: int, width: int, value: int) -> Outcome:
        self.log.append(("mmio_write", ipa, width, value))
        return self.write_outcome

    def sysreg_read(self, reg: SysReg) -> int | Outcome:
        self.log.append(("sysreg_read", reg.name))
        return self.sysreg_value

    def sysreg_write(self, reg: SysReg, value: int) -> Outcome:
        self.log.append(("sysreg_write", reg.name, value))
        return self.sysreg_outcome

    def page_fault(self, ipa: int, access: AccessFlags) -> Outcome:
        self.log.append(("page_fault", ipa, access))
        return self.fault_outcome

    def hypercall(self, number: int, args: tuple[int, ...]) -> int | Outcome:
        self.log.append(("hypercall", number, args))
        return self.hypercall_answer

    def semihosting(self, operation: int, parameter: int) -> int | SystemDown | Outcome:
        self.log.append(("semihosting", operation, parameter))
        return self.semihosting_answer


@dataclass
class Bench:
    """A vCPU that is bound to a fake core and ready to run."""

    core: FakeCore
    hal: FakeHal
    cpu: Aarch64PerCpu
    vcpu: Aarch64VCpu


def bench(
    script: Iterable[Trap | EngineError] = (),
    *,
    platform: Platform | None = None,
    create: Aarch64VCpuCreateConfig | None = None,
    setup: Aarch64VCpuSetupConfig | None = None,
    observer: Observer | None = None,
) -> Bench:
    """A vCPU bound to a core that will play ``script``; exits go to the caller unless there is a platform."""
    core = FakeCore(script)
    hal = FakeHal(core)
    cpu = Aarch64PerCpu(0, hal)
    cpu.hardware_enable()
    vcpu = Aarch64VCpu(create or Aarch64VCpuCreateConfig(), hal, platform)
    vcpu.set_entry(ENTRY)
    vcpu.set_ept_root(ROOT)
    vcpu.setup(setup or Aarch64VCpuSetupConfig(vtcr=VTCR))
    if observer is not None:
        vcpu.add_observer(observer)
    vcpu.bind(cpu)
    return Bench(core, hal, cpu, vcpu)
