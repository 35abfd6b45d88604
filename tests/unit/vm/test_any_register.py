"""A guest may name any system register that can be encoded: each access has a defined result and no other effect."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.gicregs import ICC_REGISTERS
from arm_vcpu_cli.arch.registers.sysreg import SysReg, sysregs
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.gic.v3 import GicV3
from arm_vcpu_cli.devices.timer import GenericTimer
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.vm.platform import MachinePlatform
from arm_vcpu_cli.vm.system_moves import trapped_handlers
from tests.support.manual_clock import ManualClock

VIRTUAL, PHYSICAL, SPIS = 27, 30, 988


class Registers:
    """A core that has the registers that we have names for, and refuses all others."""

    def __init__(self) -> None:
        self.values: dict[SysReg, int] = {}

    def _check(self, reg: SysReg) -> None:
        if reg not in KNOWN:
            raise EngineError(f"{reg.name} is not there")

    def read_sysreg(self, reg: SysReg) -> int:
        self._check(reg)
        return self.values.get(reg, 0)

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        self._check(reg)
        self.values[reg] = value


KNOWN = frozenset(sysregs().values())
ENCODINGS = st.builds(
    SysReg, st.integers(0, 3), st.integers(0, 7), st.integers(0, 15), st.integers(0, 15), st.integers(0, 7)
)
REGISTERS = st.one_of(ENCODINGS, st.sampled_from(sorted(KNOWN, key=lambda reg: reg.packed)))
ACCESSES = st.tuples(REGISTERS, st.one_of(st.none(), st.integers(0, MASK64), st.sampled_from([0, 1, 27, 1023, MASK64])))


class Machine:
    """Everything that a trapped MRS or MSR may reach."""

    def __init__(self) -> None:
        self.signals: list[tuple[int, bool, bool]] = []
        self.gic = GicV3([0], spis=SPIS, signal=lambda *signal: self.signals.append(signal))
        self.clock = ManualClock()
        timer = GenericTimer(self.clock, virtual=self.gic.ppi(0, VIRTUAL), physical=self.gic.ppi(0, PHYSICAL))
        self.registers = Registers()
        self.platform = MachinePlatform(Bus(), ())
        self.platform.connect(
            self.registers,
            interface=self.gic.cpu_interface(0),
            timer=trapped_handlers(timer, lambda: None),
        )


@settings(max_examples=300)
@given(st.lists(ACCESSES, max_size=40), st.randoms(use_true_random=False))
def test_every_access_has_a_defined_result(accesses: list[tuple[SysReg, int | None]], random: Random) -> None:
    machine = Machine()
    for reg, value in accesses:
        if value is None:
            found = machine.platform.sysreg_read(reg)
            assert found is Outcome.UNDEFINED or (isinstance(found, int) and 0 <= found <= MASK64)
        else:
            assert machine.platform.sysreg_write(reg, value) in (Outcome.DONE, Outcome.UNDEFINED)
        if random.random() < 0.2:
            machine.clock.advance(machine.clock.now + random.randrange(1 << 20))
    assert {cpu for cpu, _, _ in machine.signals} <= {0}


@given(st.integers(0, MASK64))
def test_each_register_of_the_gic_is_read_and_written_or_undefined(value: int) -> None:
    machine = Machine()
    for reg in sorted(ICC_REGISTERS, key=lambda reg: reg.packed):
        written = machine.platform.sysreg_write(reg, value)
        read = machine.platform.sysreg_read(reg)
        assert written is Outcome.DONE or read is not Outcome.UNDEFINED, reg.name
    assert machine.registers.values == {}, "none of them is the core's"


def test_a_register_that_the_core_does_not_have_is_undefined() -> None:
    platform = Machine().platform
    unknown = SysReg(3, 7, 15, 15, 7)
    assert unknown not in KNOWN
    assert platform.sysreg_read(unknown) is Outcome.UNDEFINED
    assert platform.sysreg_write(unknown, 1) is Outcome.UNDEFINED
