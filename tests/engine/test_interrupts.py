"""Interrupts of a whole machine, on the real engine: devices and timers, the GIC, the vector that the guest takes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.gicregs import IccCtlr, IccSgi1r
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.arm_vcpu.recorder import RecentExit
from arm_vcpu_cli.axvcpu.exit import ExternalInterrupt, Halt, MmioRead, MmioWrite, SysRegRead, SysRegWrite
from arm_vcpu_cli.board.loading import machine_from_document
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.machine import Machine as Parts
from arm_vcpu_cli.vm.outcome import Result
from tests.support.observer import Observer

from .harness import DATA, GUARD_SECONDS, GUESTS, RAM

LOG, STORES = DATA, DATA + 0x1_0000
ENTRY_SIZE = 32

GICD, GICR = 0x0800_0000, 0x080A_0000
GICR_SGI = GICR + 0x1_0000
CTLR, WAKER, IGROUPR, ISENABLER, ISPENDR, IPRIORITYR = 0, 0x14, 0x80, 0x100, 0x200, 0x400
BOTH_GROUPS = 3

VIRTUAL, PHYSICAL, RTC = 27, 30, 34
CURRENT_IRQ, CURRENT_FIQ, LOWER_IRQ, LOWER_FIQ = 5, 6, 9, 10
"""Slots of the vector table (D1.3.1): from the current EL with SP_ELx, from a lower one in AArch64 state."""
SPSR_I, SPSR_F = 1 << 7, 1 << 6
ISR_I = 1 << 7
TICKS_PER_SECOND = 62_500_000
CLOCKS = ("instructions", "host")
TIMERS = {"virtual": VIRTUAL, "physical": PHYSICAL}


def sgi(intid: int) -> int:
    """What to write to send an SGI to the one CPU that there is."""
    return int(IccSgi1r.of(INTID=intid, TargetList=1))


def priority(intid: int, value: int) -> tuple[int, int]:
    """The store that gives a private interrupt, whose number is a multiple of 4, and the three behind it a priority."""
    assert intid % 4 == 0
    return GICR_SGI + IPRIORITYR + intid, value * 0x0101_0101


@dataclass(frozen=True)
class Entry:
    """One interrupt that the guest took."""

    intid: int
    slot: int
    count: int
    spsr: int


@dataclass(frozen=True)
class Outcome:
    """What a guest left."""

    result: Result
    log: tuple[Entry, ...]
    compare: int
    found: int
    count: int
    exits: tuple[ExitRecord, ...]
    recent: tuple[RecentExit, ...]

    @property
    def intids(self) -> list[int]:
        """The numbers of the interrupts, in order."""
        return [entry.intid for entry in self.log]

    def exits_of(self, kind: type) -> list[Any]:
        """The reasons of one kind."""
        return [record.reason for record in self.exits if isinstance(record.reason, kind)]


def run(
    arm: str,
    wait: str,
    *,
    enable: tuple[int, ...] = (),
    stores: tuple[tuple[int, int], ...] = (),
    group0: int = 0,
    registers: Mapping[int, int] | None = None,
    clock: str = "instructions",
    document: Mapping[str, Any] | None = None,
    prepare: Callable[[Parts], object] | None = None,
) -> Outcome:
    """Run the guest ``interrupts``: ``enable`` are INTIDs, ``group0`` the private ones of Group 0 as a bit set,
    ``stores`` further (address, value) and ``registers`` further parameters. ``prepare`` may put an observer into the
    machine; without it there is one that keeps the exits.
    """
    private = sum(1 << intid for intid in enable if intid < 32)
    shared = sum(1 << intid - 32 for intid in enable if intid >= 32)
    setup = (
        (GICD + CTLR, BOTH_GROUPS),
        (GICR + WAKER, 0),
        (GICR_SGI + IGROUPR, ~group0 & 0xFFFF_FFFF),
        (GICR_SGI + ISENABLER, private),
        (GICD + IGROUPR + 4, 0xFFFF_FFFF),
        (GICD + ISENABLER + 4, shared),
        *stores,
        (0, 0),
    )
    description = machine_from_document({"clock": {"source": clock}, **(document or {})}, memory_size=4 << 20)
    image = load_guest(GUESTS / "interrupts.elf", ram_base=RAM)

    def label(name: str) -> int:
        address = image.symbols.lookup(name)
        assert address is not None, name
        return address

    recorder = Observer()
    with Machine.open(image, description) as opened:
        machine = opened.parts
        if prepare is None:
            machine.current.arch.add_observer(recorder)
        else:
            prepare(machine)
        opened.start()
        view = machine.ram.view(STORES, 16 * len(setup))
        assert view is not None
        view[:] = b"".join(struct.pack("<QQ", *store) for store in setup)
        ctx = machine.current.arch.ctx
        parameters = {
            11: 0xFF,
            12: 1,
            13: 1,
            16: 1 << 24,
            18: 0,
            21: label(arm),
            22: label(wait),
            23: STORES,
            24: LOG,
            25: 0,
            26: 1,
            27: 0,
            **(registers or {}),
        }
        for number, value in parameters.items():
            ctx.set_gpr(number, value)
        result = opened.run(timeout=GUARD_SECONDS)
        log = machine.ram.view(LOG, ENTRY_SIZE * ctx.gpr(25))
        assert log is not None
        entries = tuple(Entry(*fields) for fields in struct.iter_unpack("<QQQQ", bytes(log)))
        recent = machine.current.arch.recent_exits()
        return Outcome(result, entries, ctx.gpr(20), ctx.gpr(15), ctx.gpr(14), tuple(recorder.records), recent)


def assert_took(outcome: Outcome, *intids: int, slot: int = CURRENT_IRQ) -> None:
    """The guest took these, in this order and by this vector, and powered itself off."""
    assert outcome.intids == list(intids)
    assert {entry.slot for entry in outcome.log} <= {slot}
    assert outcome.result.ending is Ending.POWERED_OFF, outcome.result


# Timers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("passthrough", [True, False], ids=["passed through", "trapped"])
@pytest.mark.parametrize("wait", ["wait_wfi", "wait_spin", "wait_el0"])
@pytest.mark.parametrize("timer", TIMERS)
def test_a_timer_interrupts(timer: str, wait: str, passthrough: bool, clock: str) -> None:
    outcome = run(
        f"arm_{timer}_timer",
        wait,
        enable=(VIRTUAL, PHYSICAL),
        registers={10: 20_000},
        clock=clock,
        document={"el2": {"passthrough_timer": passthrough}},
    )
    assert_took(outcome, TIMERS[timer], slot=LOWER_IRQ if wait == "wait_el0" else CURRENT_IRQ)
    assert outcome.log[0].count >= outcome.compare, "not before its time"
    assert not outcome.log[0].spsr & SPSR_I


@pytest.mark.parametrize("wait", ["wait_wfi", "wait_spin", "wait_el0"])
@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize("ticks", [0, 1, 1000, 60_000])
def test_a_timer_is_in_time_by_the_instruction_clock(timer: str, wait: str, ticks: int) -> None:
    """To within what the handler has executed before it looks, and one look at the counter."""
    outcome = run(f"arm_{timer}_timer", wait, enable=(VIRTUAL, PHYSICAL), registers={10: ticks})
    assert_took(outcome, TIMERS[timer], slot=LOWER_IRQ if wait == "wait_el0" else CURRENT_IRQ)
    assert 0 <= outcome.log[0].count - outcome.compare < 400


def test_waiting_takes_no_instructions_and_is_one_exit() -> None:
    outcome = run("arm_virtual_timer", "wait_wfi", enable=(VIRTUAL,), registers={10: 10 * TICKS_PER_SECOND})
    assert_took(outcome, VIRTUAL)
    assert 0 <= outcome.log[0].count - outcome.compare < 400
    assert len(outcome.exits_of(Halt)) == 1
    assert outcome.exits_of(ExternalInterrupt) == []


def test_a_timer_that_ends_a_computation_is_an_exit_by_an_interrupt() -> None:
    outcome = run("arm_virtual_timer", "wait_spin", enable=(VIRTUAL,), registers={10: 20_000})
    assert_took(outcome, VIRTUAL)
    assert len(outcome.exits_of(ExternalInterrupt)) == 1


@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize("wait", ["wait_wfi", "wait_spin"])
def test_a_timer_that_is_set_again_ticks(timer: str, wait: str) -> None:
    period = 5000
    outcome = run(f"arm_{timer}_timer", wait, enable=(VIRTUAL, PHYSICAL), registers={10: period, 26: 50, 27: period})
    assert_took(outcome, *[TIMERS[timer]] * 50)
    for number, entry in enumerate(outcome.log):
        assert 0 <= entry.count - (outcome.compare + number * period) < 400


@pytest.mark.parametrize("passthrough", [True, False], ids=["passed through", "trapped"])
def test_trapping_the_physical_timer_is_seen_in_exits_only(passthrough: bool) -> None:
    outcome = run(
        "arm_physical_timer",
        "wait_wfi",
        enable=(PHYSICAL,),
        registers={10: 20_000},
        document={"el2": {"passthrough_timer": passthrough}},
    )
    assert_took(outcome, PHYSICAL)
    moves = [exit_.addr for exit_ in outcome.exits_of(SysRegRead) + outcome.exits_of(SysRegWrite)]
    # ISS of CNTP_*_EL0: op0 3, op1 3, CRn 14, CRm 2.
    trapped = [addr for addr in moves if addr >> 10 & 0xF == 14]
    assert bool(trapped) is not passthrough


def test_a_masked_timer_does_not_interrupt() -> None:
    outcome = run("arm_masked_timer", "wait_spin", enable=(VIRTUAL,), registers={10: 100, 16: 100_000})
    assert_took(outcome)


def test_a_disabled_interrupt_is_not_taken() -> None:
    outcome = run("arm_virtual_timer", "wait_spin", enable=(PHYSICAL,), registers={10: 100, 16: 100_000})
    assert_took(outcome)


def test_a_masked_pstate_keeps_an_interrupt_pending_and_isr_shows_it() -> None:
    outcome = run("arm_virtual_timer", "wait_masked_spin", enable=(VIRTUAL,), registers={10: 100, 16: 100_000})
    assert_took(outcome)
    assert outcome.found == ISR_I


def test_nothing_pending_shows_nothing() -> None:
    outcome = run("arm_nothing", "wait_masked_spin", enable=(VIRTUAL,), registers={16: 100_000})
    assert_took(outcome)
    assert outcome.found == 0


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("compare", [1 << 58, 1 << 60, (1 << 63) - 1, 1 << 63, MASK64])
def test_a_timer_in_a_thousand_years_does_not_disturb_today(compare: int, clock: str) -> None:
    outcome = run(
        "arm_absolute_timer", "wait_spin", enable=(VIRTUAL,), registers={10: compare, 16: 100_000}, clock=clock
    )
    assert_took(outcome)
    assert outcome.count < TICKS_PER_SECOND


def test_a_timer_in_a_thousand_years_can_be_waited_for() -> None:
    outcome = run("arm_absolute_timer", "wait_wfi", enable=(VIRTUAL,), registers={10: 1 << 61})
    assert_took(outcome, VIRTUAL)
    assert 0 <= outcome.log[0].count - (1 << 61) < 400


# WFI ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", CLOCKS)
def test_wfi_ends_for_an_interrupt_that_pstate_masks(clock: str) -> None:
    outcome = run("arm_virtual_timer", "wait_masked", enable=(VIRTUAL,), registers={10: 20_000}, clock=clock)
    assert_took(outcome)
    assert outcome.found == ISR_I
    assert len(outcome.exits_of(Halt)) == 1


def test_wfi_with_an_interrupt_pending_does_not_wait() -> None:
    outcome = run("arm_sgis", "wait_masked", enable=(1,), registers={10: sgi(1), 9: sgi(1)})
    assert_took(outcome)
    assert outcome.found == ISR_I


@pytest.mark.parametrize("clock", CLOCKS)
def test_wfi_that_nothing_will_end_ends_the_run(clock: str) -> None:
    outcome = run("arm_nothing", "wait_wfi", enable=(VIRTUAL,), clock=clock)
    assert outcome.result.ending is Ending.NO_PROGRESS
    assert outcome.intids == []


def test_wfi_is_not_ended_by_an_interrupt_that_the_gic_holds_back() -> None:
    outcome = run("arm_virtual_timer", "wait_wfi", enable=(VIRTUAL,), registers={10: 100, 11: 0})
    assert outcome.result.ending is Ending.NO_PROGRESS


def test_wfi_is_not_ended_through_a_redistributor_that_sleeps() -> None:
    outcome = run("arm_virtual_timer", "wait_wfi", enable=(VIRTUAL,), stores=((GICR + WAKER, 2),), registers={10: 100})
    assert outcome.result.ending is Ending.NO_PROGRESS


# Software-generated interrupts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("intid", [0, 7, 15])
@pytest.mark.parametrize("wait", ["wait_wfi", "wait_spin"])
def test_a_cpu_interrupts_itself(intid: int, wait: str) -> None:
    outcome = run("arm_sgis", wait, enable=(intid,), registers={10: sgi(intid), 9: sgi(intid)})
    assert_took(outcome, intid)


def test_the_higher_priority_is_taken_first() -> None:
    stores = (priority(4, 0xA0), priority(8, 0x20))
    outcome = run("arm_sgis", "wait_spin", enable=(4, 8), stores=stores, registers={10: sgi(4), 9: sgi(8), 26: 2})
    assert_took(outcome, 8, 4)


def test_the_lower_number_is_taken_first_among_equals() -> None:
    outcome = run("arm_sgis", "wait_spin", enable=(4, 8), registers={10: sgi(8), 9: sgi(4), 26: 2})
    assert_took(outcome, 4, 8)


@pytest.mark.parametrize(("mask", "taken_at_once"), [(0x80, False), (0xA0, False), (0xB0, True), (0xFF, True)])
def test_the_priority_mask_holds_back_what_is_not_higher(mask: int, taken_at_once: bool) -> None:
    outcome = run(
        "arm_virtual_timer",
        "wait_unmask_priority",
        enable=(VIRTUAL,),
        stores=(priority(24, 0xA0),),
        registers={10: 100, 11: mask, 16: 50_000, 17: 50_000, 26: 2},
    )
    assert_took(outcome, VIRTUAL)
    assert outcome.found == taken_at_once


@pytest.mark.parametrize("group", [0, 1])
def test_a_group_that_the_interface_has_disabled_is_not_taken(group: int) -> None:
    outcome = run(
        ("arm_group0_sgi", "arm_sgis")[group],
        "wait_spin",
        enable=(2,),
        group0=0 if group else 1 << 2,
        registers={10: sgi(2), 9: sgi(2), 12 + group: 0, 16: 50_000},
    )
    assert_took(outcome)


def test_an_interrupt_that_is_active_is_not_taken_again() -> None:
    """With EOImode the handler only drops the priority; nobody deactivates."""
    outcome = run(
        "arm_virtual_timer",
        "wait_spin",
        enable=(VIRTUAL,),
        registers={10: 100, 16: 50_000, 18: int(IccCtlr.of(EOImode=1)), 26: 9, 27: 100},
    )
    assert_took(outcome, VIRTUAL)


# Group 0 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "slot"), [("wait_spin", CURRENT_FIQ), ("wait_wfi", CURRENT_FIQ), ("wait_el0", LOWER_FIQ)]
)
def test_group_0_is_an_fiq(wait: str, slot: int) -> None:
    outcome = run("arm_virtual_timer", wait, enable=(VIRTUAL,), group0=1 << VIRTUAL, registers={10: 20_000})
    assert_took(outcome, VIRTUAL, slot=slot)
    assert not outcome.log[0].spsr & SPSR_F


def test_an_sgi_of_group_0_is_an_fiq() -> None:
    outcome = run("arm_group0_sgi", "wait_spin", enable=(5,), group0=1 << 5, registers={10: sgi(5)})
    assert_took(outcome, 5, slot=CURRENT_FIQ)


# Shared interrupts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passthrough", [False, True], ids=["trapped", "passed through"])
@pytest.mark.parametrize("seconds", [0, 1, 3600])
def test_the_alarm_of_the_real_time_clock_interrupts(seconds: int, passthrough: bool) -> None:
    outcome = run(
        "arm_rtc",
        "wait_wfi",
        enable=(RTC,),
        registers={10: seconds},
        document={"device": {"rtc": {"passthrough": passthrough}}},
    )
    assert_took(outcome, RTC)
    late = outcome.log[0].count - seconds * TICKS_PER_SECOND
    assert -TICKS_PER_SECOND < late < 10_000
    at_device = [
        exit_ for exit_ in outcome.exits_of(MmioRead) + outcome.exits_of(MmioWrite) if exit_.addr >> 12 == 0x9010
    ]
    assert bool(at_device) is not passthrough


@pytest.mark.parametrize("passthrough", [False, True], ids=["trapped", "passed through"])
def test_a_device_interrupts_a_computation(passthrough: bool) -> None:
    """Its match is equal at once: the store alone has to make the guest take it."""
    outcome = run(
        "arm_rtc",
        "wait_spin",
        enable=(RTC,),
        registers={10: 0, 16: 1 << 20},
        document={"device": {"rtc": {"passthrough": passthrough}}},
    )
    assert_took(outcome, RTC)


def test_an_interrupt_that_is_set_pending_by_software_is_taken() -> None:
    stores = ((GICD + ISPENDR + 4, 1 << (RTC - 32)),)
    outcome = run("arm_nothing", "wait_spin", enable=(RTC,), stores=stores)
    assert_took(outcome, RTC)


# Runs alike --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", ["wait_wfi", "wait_spin", "wait_el0"])
def test_interrupts_come_at_the_same_instruction_in_every_run(wait: str) -> None:
    def once() -> tuple[Outcome, list[object]]:
        outcome = run("arm_virtual_timer", wait, enable=(VIRTUAL,), registers={10: 3001, 26: 20, 27: 3001})
        return outcome, [(record.reason, record.pc) for record in outcome.exits]

    (first, first_exits), (second, second_exits) = once(), once()
    assert len(first.log) == 20
    assert first.log == second.log
    assert first_exits == second_exits
    assert first.result.exits == second.result.exits


def test_the_reserved_bits_of_what_is_sent_do_not_matter() -> None:
    outcome = run("arm_sgis", "wait_spin", enable=(3,), registers={10: sgi(3) | 0xFF << 56, 9: MASK64 & ~0xFFFF})
    assert_took(outcome, 3)
