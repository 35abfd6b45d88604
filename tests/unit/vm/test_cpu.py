"""A CPU of a machine: bound, entered, switched on and off, and restarted, over fake cores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED, Sctlr
from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.axvcpu.vcpu import VCpuState
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.power import CpuPower, Start
from arm_vcpu_cli.vm.runner import run_machine
from tests.support.fake_core import FakeCore, Trap, hvc, wfi
from tests.support.fake_machine import ENTRY, description, fake_machine

OFF = hvc(0x8400_0008)
CPU_OFF = hvc(0x8400_0002)
SECOND = ENTRY + 0x100


def cpu_on(cpu: int, entry: int, context: int) -> Trap:
    return hvc(0xC400_0003, cpu, entry, context)


@pytest.fixture
def pair() -> Iterator[tuple[Machine, FakeCore]]:
    """Two CPUs on one core, bound; the second is off."""
    core = FakeCore()
    with fake_machine(description(cpus=2), [core]) as (made, _):
        made.start()
        yield made, core


def test_the_first_is_on_and_the_others_are_off(pair: tuple[Machine, FakeCore]) -> None:
    made, _ = pair
    assert [cpu.activity for cpu in made.cpus] == [Activity.RUNNING, Activity.OFF]
    assert made.current is made.cpus[0]
    assert [cpu.vcpu.state for cpu in made.cpus] == [VCpuState.READY] * 2
    assert [cpu.arch.ctx.elr for cpu in made.cpus] == [ENTRY] * 2


def test_the_core_asks_the_cpu_whose_turn_it_is(pair: tuple[Machine, FakeCore]) -> None:
    made, core = pair
    assert core.move_handler is made.cpus[0].moves
    made.scheduler.switch_on(made.cpus[1])
    made.scheduler.choose()
    made.cpus[1].enter()
    assert core.move_handler is made.cpus[1].moves


def test_one_that_waited_is_ready_when_it_is_entered(pair: tuple[Machine, FakeCore]) -> None:
    cpu = pair[0].cpus[0]
    cpu.vcpu.block()
    cpu.enter()
    assert cpu.vcpu.state is VCpuState.READY


def test_one_that_is_switched_on_begins_anew_with_its_argument(pair: tuple[Machine, FakeCore]) -> None:
    made, _ = pair
    cpu, other = made.cpus[1], made.cpus[0]
    cpu.arch.set_gpr(5, 0xDEAD)
    cpu.arch.ctx.elr = 0x1234
    other.arch.set_gpr(5, 0xBEEF)
    assert made.power.cpu_on(cpu.affinity, SECOND, 0x77) is PsciStatus.SUCCESS
    cpu.starts = True
    cpu.enter()
    frame = cpu.arch.ctx
    assert (frame.elr, frame.gpr(0), frame.gpr(5)) == (SECOND, 0x77, 0)
    assert made.power.state(cpu.affinity) is CpuPower.ON
    assert not cpu.starts
    assert other.arch.ctx.gpr(5) == 0xBEEF
    assert other.arch.ctx.elr == ENTRY


def test_it_has_its_registers_of_reset_and_no_interrupt(pair: tuple[Machine, FakeCore]) -> None:
    made, core = pair
    cpu = made.cpus[1]
    made.power.cpu_on(cpu.affinity, SECOND, 0)
    at_reset = cpu.arch.guest_system_regs["SCTLR_EL1"]
    cpu.arch.guest_system_regs["SCTLR_EL1"] = at_reset | int(Sctlr.of(M=1))
    cpu.starts = True
    core.pstates.clear()
    cpu.enter()
    cpu.arch.synchronise()
    assert cpu.arch.guest_system_regs["SCTLR_EL1"] == at_reset
    assert core.pstates == [EL1H_MASKED]
    assert not cpu.arch.interrupt_pending


def test_one_that_was_suspended_begins_where_it_wanted(pair: tuple[Machine, FakeCore]) -> None:
    made, _ = pair
    cpu = made.cpus[0]
    made.power.suspend(cpu.affinity, Start(SECOND, 3))
    cpu.starts = True
    cpu.enter()
    assert (cpu.arch.ctx.elr, cpu.arch.ctx.gpr(0)) == (SECOND, 3)


def test_nobody_begins_anew_without_a_reason(pair: tuple[Machine, FakeCore]) -> None:
    cpu = pair[0].cpus[0]
    cpu.arch.set_gpr(5, 1)
    cpu.starts = True
    cpu.enter()
    assert (cpu.arch.ctx.gpr(5), cpu.starts) == (1, False)


def test_a_timer_without_power_counts_to_nothing(pair: tuple[Machine, FakeCore]) -> None:
    made, _ = pair
    cpu = made.cpus[0]
    for reg, (_, write) in cpu.timer.handlers.items():
        if write is not None and reg.name in ("CNTV_CVAL_EL0", "CNTV_CTL_EL0"):
            write(1000 if "CVAL" in reg.name else 1)
    assert made.timeline.due(0) == 1000 * 16
    cpu.switch_off()
    assert made.timeline.next_deadline() is None


def test_a_guest_starts_the_second_cpu_and_it_switches_all_off() -> None:
    """Both play one script, in the order in which they have their turns."""
    core = FakeCore([cpu_on(1, SECOND, 9), wfi(), OFF])
    with fake_machine(description(cpus=2), [core]) as (made, _):
        made.start()
        result = run_machine(made, Watchdog(core.stop))
        assert result.ending is Ending.POWERED_OFF
        assert core.started_at[-1] == SECOND
        assert [cpu.arch.exits for cpu in made.cpus] == [2, 1]
        assert result.exits == 3


def test_a_cpu_that_is_off_can_be_started_again() -> None:
    core = FakeCore([cpu_on(1, SECOND, 1), wfi(), CPU_OFF])
    with fake_machine(description(cpus=2), [core]) as (made, _):
        made.start()
        result = run_machine(made, Watchdog(core.stop))
        assert "waits for an interrupt" in result.message
        assert made.power.state(made.cpus[1].affinity) is CpuPower.OFF
        assert made.power.cpu_on(made.cpus[1].affinity, SECOND, 2) is PsciStatus.SUCCESS
