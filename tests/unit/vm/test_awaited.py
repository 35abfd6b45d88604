"""The events that the CPUs of a machine may wait for: timers, pending interrupts of a GIC, and PSTATE, without an
engine."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.devices.device_clock import COUNTER_HZ
from arm_vcpu_cli.devices.gic.gates.gate import Gate
from arm_vcpu_cli.devices.gic.gates.view_v3 import GicV3View
from arm_vcpu_cli.vm.awaited import Awaited, CpuState, TimerState, find_awaited
from arm_vcpu_cli.vm.awaited_words import gate_words, held_shortly, held_words, span, subject
from tests.unit.devices.gic.gates.register_writes import MOST_GATES, apply
from tests.unit.devices.gic.v3.bench import GICD_CTLR, IGROUPR, ISENABLER, ISPENDR, UART, WAKER, Bench

VIRTUAL: Final = 27
NOW: Final = COUNTER_HZ
OPEN: Final = Spsr.of(M=5)
MASKED: Final = Spsr.of(M=5, D=1, A=1, I=1, F=1)
GIC: Final = load_machine(None).gic


def timer(control: int, compare: int = NOW, *, count: int = NOW) -> TimerState:
    return TimerState("virtual", VIRTUAL, control, compare, count)


def awaited(bench: Bench, *timers: TimerState, pstate: Spsr = OPEN) -> list[Awaited]:
    return find_awaited(GicV3View(bench.gic), [CpuState(pstate, timers)], sources={UART: "uart0"})


def fired(bench: Bench) -> Bench:
    bench.line(VIRTUAL, True)
    return bench


@pytest.mark.parametrize(
    ("state", "gates"),
    [
        (timer(0), [Gate.TIMER_OFF]),
        (timer(2), [Gate.TIMER_OFF]),
        (timer(3), [Gate.TIMER_MASKED]),
        (timer(3, 2 * NOW), [Gate.TIMER_MASKED]),
        (timer(3, 2**64 - 1), [Gate.TIMER_MASKED]),
        (timer(1, 2**64 - 1), [Gate.TIMER_ENDLESS]),
        (timer(1, 2 * NOW), []),
        (timer(1), []),
    ],
)
def test_the_timer_has_gates_of_its_own(state: TimerState, gates: list[Gate]) -> None:
    (found,) = awaited(Bench().start(), state)
    assert [each.gate for each in found.closed] == gates
    assert found.source == "virtual timer"


def test_the_gates_of_a_timer_that_has_not_fired_are_known_already() -> None:
    bench = Bench().start()
    bench.icc("PMR", 0)
    (found,) = awaited(bench, timer(1, 2 * NOW))
    assert not found.pending
    assert [each.gate for each in found.closed] == [Gate.MASK]
    assert subject(found) == "the virtual timer of cpu0 (INTID 27) fires 1 s from now"


def test_an_edge_that_is_past_is_told_from_a_line_that_is_up() -> None:
    bench = Bench().start()
    (level,) = awaited(fired(bench), timer(1))
    assert (level.pending, level.closed) == (True, ())
    bench = Bench().start()
    bench.edge(VIRTUAL)
    fired(bench)
    bench.end(bench.acknowledge())
    (edge,) = awaited(bench, timer(1))
    assert [each.gate for each in edge.closed] == [Gate.TRIGGER]
    apply(bench.gic, edge.closed[0])
    assert bench.gic.signalled(0) == VIRTUAL


@pytest.mark.parametrize(
    ("group", "pstate", "gates"),
    [
        (1, Spsr.of(M=5, I=1), [2]),
        (1, Spsr.of(M=5, F=1), []),
        (0, Spsr.of(M=5, F=1), [1]),
        (0, Spsr.of(M=5, I=1), []),
        (1, MASKED, [2]),
        (0, MASKED, [1]),
    ],
)
def test_pstate_comes_last_and_group_0_is_signalled_as_fiq(group: int, pstate: Spsr, gates: list[int]) -> None:
    (found,) = awaited(fired(Bench().start(group=group)), timer(1), pstate=pstate)
    assert [each.write for each in found.closed] == gates
    assert not found.is_held
    assert found.fiq is (group == 0)


def test_shared_interrupts_have_the_names_of_their_devices() -> None:
    bench = Bench()
    bench.line(UART, True)
    (found,) = awaited(bench)
    assert (found.intid, found.cpu, found.source) == (UART, 0, "uart0")
    assert subject(found) == "INTID 33 (uart0) is pending at cpu0"


def test_all_gates_are_named_with_what_opens_them() -> None:
    bench = Bench()
    bench.gicr(0, WAKER, 2)
    (found,) = awaited(fired(bench), timer(1), pstate=MASKED)
    words = held_words(found, GIC)
    assert words.meaning == (
        "INTID 27 (virtual timer) is pending at cpu0, but GICR_ISENABLER0 is 0x00000000: bit 27 is clear."
    )
    assert words.step == (
        "write 0x08000000 to GICR_ISENABLER0 (redistributor of cpu0, IPA 0x080b0100); then 0x00000052 to GICD_CTLR, "
        "0x08000000 to GICR_IGROUPR0, 0x00000000 to GICR_WAKER and 0x1 to ICC_IGRPEN1_EL1"
    )
    assert held_shortly(found) == "INTID 27 (virtual timer) is held back by GICR_ISENABLER0 = 0x00000000"


def test_without_a_controller_only_the_timer_can_be_told() -> None:
    (found,) = find_awaited(None, [CpuState(OPEN, (timer(3),))])
    assert [each.gate for each in found.closed] == [Gate.TIMER_MASKED]


_writes = st.lists(
    st.sampled_from(
        [
            ("gicd", GICD_CTLR, 1),
            ("gicd", GICD_CTLR, 2),
            ("gicd", GICD_CTLR, 3),
            ("sgi", ISENABLER, 1 << VIRTUAL),
            ("sgi", IGROUPR, 1 << VIRTUAL),
            ("gicr", WAKER, 2),
            ("gicr", WAKER, 0),
            ("PMR", 0xF0),
            ("PMR", 0x40),
            ("IGRPEN0", 1),
            ("IGRPEN1", 1),
            ("CTLR", 2),
            ("priority", 0xA0),
            ("priority", 0xFF),
            ("acknowledge",),
        ]
    ),
    max_size=12,
)


@given(_writes, st.sampled_from([1, 3, 0]), st.sampled_from([OPEN, MASKED]))
def test_with_all_gates_opened_one_after_the_other_pstate_is_the_only_rest(
    writes: list[tuple[str, int] | tuple[str, int, int]], control: int, pstate: Spsr
) -> None:
    bench = fired(Bench())
    for name, *values in writes:
        if name == "gicd":
            bench.gicd(*values)
        elif name == "gicr":
            bench.gicr(0, *values)
        elif name == "sgi":
            bench.sgi(0, *values)
        elif name == "priority":
            bench.priority(VIRTUAL, *values)
        elif name == "acknowledge":
            bench.acknowledge(0, 0)
            bench.acknowledge(0, 1)
        else:
            bench.icc(name, *values)
    for _ in range(MOST_GATES):
        (found,) = awaited(bench, timer(control), pstate=pstate)
        first = next((each for each in found.closed if each.gate is not Gate.MASKED), None)
        assert (bench.gic.signalled(0) == VIRTUAL) is all(
            each.gate in (Gate.TIMER_OFF, Gate.TIMER_MASKED, Gate.MASKED) for each in found.closed
        )
        if first is None:
            break
        # Each can be told.
        assert gate_words(found, first, GIC).step
        if first.gate in (Gate.TIMER_OFF, Gate.TIMER_MASKED):
            control = first.write
        else:
            apply(bench.gic, first)
    assert [each.gate for each in found.closed] == ([Gate.MASKED] if pstate == MASKED else [])
    assert bench.gic.signalled(0) == VIRTUAL


@pytest.mark.parametrize(
    ("seconds", "words"), [(2, "2 s"), (1.25, "1.25 s"), (0.0015, "1.5 ms"), (16e-9, "16 ns"), (0.0, "0 ns")]
)
def test_spans_of_time(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_timer_that_never_fires_says_so() -> None:
    bench = Bench()
    (found,) = awaited(bench, timer(1, 2**64 - 1))
    words = held_words(found, GIC)
    assert words.meaning == (
        "The virtual timer of cpu0 (INTID 27) is on, but CNTV_CVAL_EL0 is 0xffffffffffffffff, a time that will never "
        "come."
    )
    assert words.step.startswith("write a time to CNTV_CVAL_EL0 on cpu0, or 0xf424 to CNTV_TVAL_EL0, which is 1 ms")
    assert not found.may_be_meant
    bench.bit(ISPENDR, 5)
    assert [subject(each) for each in awaited(bench)] == ["INTID 5 (SGI) is pending at cpu0"]


@pytest.mark.parametrize(
    ("mine", "reason"),
    [
        (0x40, "with ICC_BPR1_EL1 = 0x7, priority 0x40 does not preempt that one."),
        (0x60, "priority 0x60 is not higher than the running priority (ICC_RPR_EL1 is 0x0)."),
    ],
)
def test_a_binary_point_that_keeps_a_higher_priority_back_is_named(mine: int, reason: str) -> None:
    bench = Bench().start()
    bench.icc("BPR1", 7)
    bench.priority(VIRTUAL, 0x60)
    bench.priority(UART, mine)
    bench.bit(ISPENDR, VIRTUAL)
    assert bench.acknowledge() == VIRTUAL
    bench.line(UART, True)
    (found,) = awaited(bench)
    assert held_words(found, GIC).meaning == (
        f"INTID 33 (uart0) is pending at cpu0, but cpu0 has acknowledged INTID 27 and not ended it: {reason}"
    )
