"""The VMM's side of the exits: devices, trapped registers, page faults, calls."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.constant_registers import ConstantRegister
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.platform import Outcome, Platform
from arm_vcpu_cli.axvcpu.exit import AccessFlags, PowerAction, SystemDown
from arm_vcpu_cli.board.description import MemoryRegion, OnFault
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.gic.v3 import GicV3
from arm_vcpu_cli.devices.irq import unconnected
from arm_vcpu_cli.devices.regions import Scratch
from arm_vcpu_cli.devices.timer import GenericTimer, Handlers
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.vm.platform import MachinePlatform
from arm_vcpu_cli.vm.semihosting.operations import Operation
from arm_vcpu_cli.vm.system_moves import trapped_handlers
from tests.support.manual_clock import ManualClock

READ, WRITE, EXECUTE = AccessFlags.READ, AccessFlags.WRITE, AccessFlags.EXECUTE
ABORT, DONE, EXIT = Outcome.ABORT, Outcome.DONE, Outcome.EXIT


def region(name: str, base: int, on_fault: OnFault) -> MemoryRegion:
    return MemoryRegion(name, base, 0x1000, True, False, False, on_fault, None, 0)


MEMORY = (
    region("abort", 0x1000, OnFault.ABORT),
    region("stop", 0x2000, OnFault.STOP),
    region("ignore", 0x3000, OnFault.IGNORE),
)


class Registers:
    """A vCPU's registers; MAIR_EL1 is one that this core lacks."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {"TCR_EL1": 7}

    def read_sysreg(self, reg: SysReg) -> int:
        if reg.name == "MAIR_EL1":
            raise EngineError("not there")
        return self.values.get(reg.name, 0)

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        if reg.name == "MAIR_EL1":
            raise EngineError("not there")
        self.values[reg.name] = value


def platform() -> tuple[MachinePlatform, Bus]:
    bus = Bus()
    return MachinePlatform(bus, MEMORY), bus


def test_it_is_a_platform() -> None:
    found: Platform = platform()[0]
    assert found.hypercall(1, ()) == 2**64 - 1, "SMCCC's answer to what is not supported"


def test_devices_see_offsets_and_a_miss_aborts() -> None:
    vmm, bus = platform()
    bus.add("a", 0x900_0000, 0x10, Scratch(0x10))
    assert vmm.mmio_write(0x900_0008, 4, 0x1234) is DONE
    assert vmm.mmio_read(0x900_0008, 4) == 0x1234
    assert bus.windows()[0].device.read(8, 4) == 0x1234
    assert vmm.mmio_read(0x900_000C, 8) is ABORT, "across the end of the window"
    assert vmm.mmio_read(0x900_0010, 1) is ABORT
    assert vmm.mmio_write(0x900_0010, 1, 0) is ABORT
    assert vmm.mmio_write(0x8FF_FFFF, 1, 0) is ABORT


@pytest.mark.parametrize(
    ("ipa", "access", "outcome"),
    [
        (0x1000, WRITE, ABORT),
        (0x1FFF, EXECUTE, ABORT),
        (0x2000, WRITE, EXIT),
        (0x2FFF, EXECUTE, EXIT),
        (0x2800, READ, EXIT),
        (0x3000, WRITE, DONE),
        (0x3FFF, EXECUTE, ABORT),
        (0x3FFF, READ, ABORT),
        (0x0FFF, WRITE, ABORT),
        (0x4000, EXECUTE, ABORT),
        (0, EXECUTE, ABORT),
    ],
)
def test_the_memory_region_says_what_a_page_fault_does(ipa: int, access: AccessFlags, outcome: Outcome) -> None:
    assert platform()[0].page_fault(ipa, access) is outcome


def test_a_register_that_is_trapped_only_to_be_seen_is_the_guests_own() -> None:
    vmm, _ = platform()
    registers = Registers()
    vmm.connect(registers)
    assert vmm.sysreg_read(lookup("TCR_EL1")) == 7
    assert vmm.sysreg_write(lookup("TCR_EL1"), 9) is DONE
    assert registers.values["TCR_EL1"] == 9


def test_a_register_that_the_core_lacks_is_undefined() -> None:
    vmm, _ = platform()
    vmm.connect(Registers())
    assert vmm.sysreg_read(lookup("MAIR_EL1")) is Outcome.UNDEFINED
    assert vmm.sysreg_write(lookup("MAIR_EL1"), 1) is Outcome.UNDEFINED


def test_before_there_is_a_vcpu_every_register_is_undefined() -> None:
    vmm, _ = platform()
    assert vmm.sysreg_read(lookup("TCR_EL1")) is Outcome.UNDEFINED
    assert vmm.sysreg_write(lookup("TCR_EL1"), 1) is Outcome.UNDEFINED


def timer_at(tick: int) -> Handlers:
    """The physical timer at a time."""
    return trapped_handlers(GenericTimer(ManualClock(tick), virtual=unconnected, physical=unconnected), lambda: None)


def test_the_timer_comes_before_the_guests_own_registers() -> None:
    vmm, _ = platform()
    registers = Registers()
    vmm.connect(registers, timer=timer_at(55))
    assert vmm.sysreg_read(lookup("CNTPCT_EL0")) == 55
    assert vmm.sysreg_write(lookup("CNTP_CVAL_EL0"), 99) is DONE
    assert vmm.sysreg_read(lookup("CNTP_CVAL_EL0")) == 99
    assert registers.values == {"TCR_EL1": 7}
    assert vmm.sysreg_read(lookup("TCR_EL1")) == 7


def test_a_timer_register_at_zero_is_still_the_timers() -> None:
    vmm, _ = platform()
    registers = Registers()
    registers.values["CNTP_CTL_EL0"] = 0x99
    vmm.connect(registers, timer=timer_at(0))
    assert vmm.sysreg_read(lookup("CNTP_CTL_EL0")) == 0


def test_semihosting_only_where_the_machine_has_it() -> None:
    vmm, _ = platform()
    assert vmm.semihosting(Operation.SYS_EXIT, 0) is Outcome.UNDEFINED
    vmm.connect(Registers(), semihosting=lambda _operation, parameter: SystemDown(PowerAction.EXIT, parameter))
    assert vmm.semihosting(Operation.SYS_EXIT, 7) == SystemDown(PowerAction.EXIT, 7)


def test_registers_of_the_pmu_are_undefined_where_they_trap() -> None:
    vmm, _ = platform()
    registers = Registers()
    registers.values["PMCCNTR_EL0"] = 5
    vmm.connect(registers)
    assert vmm.sysreg_read(lookup("PMCCNTR_EL0")) is Outcome.UNDEFINED
    assert vmm.sysreg_write(lookup("PMCCNTR_EL0"), 1) is Outcome.UNDEFINED


def test_the_cpu_interface_of_the_gic_answers_for_its_registers() -> None:
    vmm, _ = platform()
    signals: list[tuple[int, bool, bool]] = []
    gic = GicV3([0], signal=lambda *levels: signals.append(levels))
    vmm.connect(Registers(), interface=gic.cpu_interface(0))
    assert vmm.sysreg_write(lookup("ICC_PMR_EL1"), 0xF8) is DONE
    assert vmm.sysreg_read(lookup("ICC_PMR_EL1")) == 0xF8
    assert vmm.sysreg_read(lookup("ICC_EOIR1_EL1")) is Outcome.UNDEFINED
    assert vmm.sysreg_write(lookup("ICC_IAR1_EL1"), 0) is Outcome.UNDEFINED


def test_registers_that_never_change_read_their_value_and_ignore_writes() -> None:
    found = platform()[0]
    settable, fixed = lookup("OSDLR_EL1"), lookup("MDCCSR_EL0")
    constants = {settable: ConstantRegister(7), fixed: ConstantRegister(8, writable=False)}
    found.connect(Registers(), constants=constants)
    assert (found.sysreg_read(settable), found.sysreg_write(settable, 1), found.sysreg_read(settable)) == (7, DONE, 7)
    assert (found.sysreg_read(fixed), found.sysreg_write(fixed, 1)) == (8, Outcome.UNDEFINED)


@pytest.mark.parametrize(
    "reg",
    [lookup("PMCR_EL0"), lookup("PMINTENSET_EL1"), lookup("PMEVCNTR0_EL0"), lookup("PMCCFILTR_EL0")]
    + [SysReg(op0, 1, crn, 0, 0) for op0 in (1, 3) for crn in (11, 15)],
    ids=lambda reg: reg.name,
)
def test_monitors_and_what_no_implementation_has_are_undefined(reg: SysReg) -> None:
    found = platform()[0]
    found.connect(Registers())
    assert found.sysreg_read(reg) is found.sysreg_write(reg, 0) is Outcome.UNDEFINED


def test_the_virtual_timer_is_no_monitor() -> None:
    found = platform()[0]
    found.connect(Registers())
    assert found.sysreg_read(lookup("CNTKCTL_EL1")) == 0
    assert found.sysreg_write(lookup("CNTV_CTL_EL0"), 1) is DONE
