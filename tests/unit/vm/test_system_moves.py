"""The MRS and MSR that the machine executes in place of the core, at each Exception level, and their effects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.el1regs import Cntkctl
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup, sysregs
from arm_vcpu_cli.devices.timer import GenericTimer, el0_may_access
from arm_vcpu_cli.engine.port import MoveHandler
from arm_vcpu_cli.vm.random_numbers import RandomNumbers
from arm_vcpu_cli.vm.system_moves import PHYSICAL_TIMER, SystemMoves, trapped_handlers
from tests.support.fake_core import FakeCore
from tests.support.manual_clock import Line, ManualClock

NOW = 1_000_000
COUNTER_READ = 1_600
CNTKCTL, RNDR, RNDRRS = lookup("CNTKCTL_EL1"), lookup("RNDR"), lookup("RNDRRS")
CNTVCT, CNTPCT, CNTV_CVAL, CNTV_CTL, CNTFRQ = (
    lookup(f"{name}_EL0") for name in ("CNTVCT", "CNTPCT", "CNTV_CVAL", "CNTV_CTL", "CNTFRQ")
)
ENCODINGS = st.integers(0, (1 << 16) - 1)


class Core(FakeCore):
    """A core at an Exception level of the test's choice."""

    def __init__(self, cntkctl: int = 0) -> None:
        super().__init__()
        self.el = 1
        self.registers[CNTKCTL] = cntkctl

    def current_el(self) -> int:
        return self.el


class Bench:
    """System moves with a timer, and what they cause."""

    def __init__(self, *, random: RandomNumbers | None = None, cntkctl: int = 0, trapped: bool = False) -> None:
        self.core = Core(cntkctl)
        self.clock = ManualClock(NOW)
        self.timer = GenericTimer(self.clock, virtual=Line(), physical=Line())
        self.log: list[object] = []
        handlers = {
            reg: handler for reg, handler in self.timer.handlers.items() if not trapped or reg not in PHYSICAL_TIMER
        }
        self.moves = SystemMoves(
            self.core, handlers, random=random, spend=self._spend, changed=lambda: self.log.append("changed")
        )

    def _spend(self) -> None:
        self.log.append("read")

    def read(self, reg: SysReg) -> int | None:
        return self.moves.read(reg.packed)

    def write(self, reg: SysReg, value: int) -> bool:
        return self.moves.write(reg.packed, value)


def test_it_handles_the_moves_of_a_core() -> None:
    handler: MoveHandler = Bench().moves
    assert handler.read(CNTVCT.packed) == NOW


def test_it_asks_for_the_registers_that_it_knows() -> None:
    assert Bench().moves.crns() == {14}
    assert Bench(random=RandomNumbers(1)).moves.crns() == {14, 2}


@pytest.mark.parametrize("counter", [CNTVCT, CNTPCT])
def test_time_passes_before_a_counter_is_read(counter: SysReg) -> None:
    bench = Bench()
    bench._spend = lambda: bench.clock.advance(NOW + COUNTER_READ)  # type: ignore[method-assign]
    bench.moves = SystemMoves(bench.core, bench.timer.handlers, random=None, spend=bench._spend, changed=lambda: None)
    assert bench.read(counter) == NOW + COUNTER_READ


def test_only_counters_take_time_to_read() -> None:
    bench = Bench()
    for reg in bench.timer.handlers:
        assert bench.read(reg) is not None
    assert bench.log == ["read"] * 2


def test_a_write_is_carried_out_and_the_lines_are_looked_at_after_it() -> None:
    bench = Bench()
    assert bench.write(CNTV_CVAL, 5)
    assert bench.log == ["changed"]
    assert bench.read(CNTV_CVAL) == 5


@pytest.mark.parametrize("reg", [CNTVCT, CNTPCT, CNTFRQ])
def test_what_cannot_be_written_is_left_to_the_core(reg: SysReg) -> None:
    bench = Bench()
    assert not bench.write(reg, 5)
    assert bench.log == []


def test_what_traps_is_left_to_the_core() -> None:
    bench = Bench(trapped=True)
    for reg in PHYSICAL_TIMER:
        assert bench.read(reg) is None
        assert not bench.write(reg, 1)
    assert bench.read(CNTVCT) == NOW


# Exception levels --------------------------------------------------------------------------------------------------


@given(st.integers(0, (1 << 10) - 1))
def test_el0_may_what_cntkctl_says(cntkctl: int) -> None:
    bench = Bench(cntkctl=cntkctl)
    bench.core.el = 0
    for reg, (_, write) in bench.timer.handlers.items():
        allowed = el0_may_access(cntkctl, reg)
        assert (bench.read(reg) is not None) is allowed
        if write is not None:
            assert bench.write(reg, 1) is allowed


def test_a_read_that_el0_may_not_make_takes_no_time() -> None:
    bench = Bench()
    bench.core.el = 0
    assert bench.read(CNTVCT) is None
    assert bench.log == []


def test_access_follows_what_el1_writes() -> None:
    bench = Bench()
    assert not bench.write(CNTKCTL, int(Cntkctl.of(EL0VCTEN=1))), "the core has it too"
    bench.core.el = 0
    assert bench.read(CNTVCT) == NOW
    assert bench.read(CNTPCT) is None
    bench.core.el = 1
    bench.write(CNTKCTL, 0)
    bench.core.el = 0
    assert bench.read(CNTVCT) is None


def test_el0_cannot_give_itself_access() -> None:
    bench = Bench()
    bench.core.el = 0
    assert not bench.write(CNTKCTL, MASK64)
    assert bench.read(CNTVCT) is None


# Random numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("el", [0, 1])
@pytest.mark.parametrize("reg", [RNDR, RNDRRS])
def test_a_random_number_follows_from_the_seed_and_clears_the_flags(reg: SysReg, el: int) -> None:
    bench = Bench(random=RandomNumbers(7))
    bench.core.el = el
    assert [bench.read(reg) for _ in range(2)] == [RandomNumbers(7).getrandbits(64), bench_second(7)]
    assert bench.core.log == ["flags 0x0"] * 2


def bench_second(seed: int) -> int:
    random = RandomNumbers(seed)
    random.getrandbits(64)
    return random.getrandbits(64)


def test_without_random_numbers_they_are_left_to_the_core() -> None:
    bench = Bench()
    assert bench.read(RNDR) is None
    assert bench.core.log == []


def test_a_random_number_cannot_be_written() -> None:
    assert not Bench(random=RandomNumbers(7)).write(RNDR, 1)


# Anything ----------------------------------------------------------------------------------------------------------


@given(ENCODINGS, st.integers(0, MASK64), st.sampled_from([0, 1]), st.integers(0, (1 << 10) - 1))
def test_every_encoding_has_a_defined_result(encoding: int, value: int, el: int, cntkctl: int) -> None:
    bench = Bench(random=RandomNumbers(0), cntkctl=cntkctl)
    bench.core.el = el
    found = bench.moves.read(encoding)
    assert found is None or 0 <= found <= MASK64
    written = bench.moves.write(encoding, value)
    assert written is (encoding in {reg.packed for reg, (_, write) in bench.timer.handlers.items() if write}) or not el


def test_no_register_but_those_of_timer_and_random_numbers_is_touched() -> None:
    bench = Bench(random=RandomNumbers(0))
    known = {*bench.timer.handlers, RNDR, RNDRRS}
    for reg in sysregs().values():
        assert (bench.read(reg) is not None) is (reg in known), reg.name


# The physical timer where it traps ---------------------------------------------------------------------------------


def test_the_trapped_timer_is_the_physical_one() -> None:
    timer = GenericTimer(ManualClock(NOW), virtual=Line(), physical=Line())
    spent: list[str] = []
    handlers = trapped_handlers(timer, lambda: spent.append("read"))
    assert set(handlers) == PHYSICAL_TIMER
    read, write = handlers[lookup("CNTP_CVAL_EL0")]
    assert read is not None
    assert write is not None
    write(42)
    assert read() == 42 == timer.read(lookup("CNTP_CVAL_EL0"))
    assert spent == []


def test_reading_the_trapped_counter_takes_time_first() -> None:
    clock = ManualClock(NOW)
    timer = GenericTimer(clock, virtual=Line(), physical=Line())
    read, write = trapped_handlers(timer, lambda: clock.advance(NOW + COUNTER_READ))[CNTPCT]
    assert read is not None
    assert read() == NOW + COUNTER_READ
    assert write is None


def test_trapped_or_not_the_two_see_one_timer() -> None:
    bench = Bench(trapped=True)
    handlers = trapped_handlers(bench.timer, bench._spend)
    for reg in (CNTV_CTL, CNTV_CVAL):
        assert reg not in handlers
        assert bench.write(reg, 3)
