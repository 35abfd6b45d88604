"""The first closed gate on an interrupt's way through a GICv2, compared with the model in any state."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.gic.gates.view_v2 import GicV2View
from arm_vcpu_cli.devices.gic.gates.way import follow, pending_interrupts
from tests.unit.devices.gic.v2.bench import (
    ABPR,
    ACK_CTL,
    APR0,
    BPR,
    CTLR,
    DIR,
    EOI_MODE,
    EOIR,
    FIQ_EN,
    GICD_CTLR,
    GRP0,
    GRP1,
    IAR,
    ICACTIVER,
    ICENABLER,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    NSAPR0,
    PMR,
    Bench,
    sgi,
)

from .register_writes import MOST_GATES, apply, histories

CPUS = 3
SPIS = 32

_intids = st.sampled_from([0, 1, 15, 16, 17, 31, 32, 33, 34])
_cpus = st.sampled_from(range(CPUS))
_controls = st.sets(st.sampled_from([GRP0, GRP1, ACK_CTL, FIQ_EN, EOI_MODE, 0x10])).map(sum)
_steps = histories(
    CPUS,
    _intids,
    st.tuples(st.just("targets"), st.sampled_from([32, 33, 34]), st.integers(0, 7)),
    st.tuples(st.just("point"), st.sampled_from([BPR, ABPR]), st.integers(0, 7), _cpus),
    st.tuples(st.just("interface control"), _controls, _cpus),
    st.tuples(st.just("active priorities"), st.sampled_from([APR0, NSAPR0]), st.sampled_from([0, 1, 0x100]), _cpus),
    st.tuples(st.just("sgi"), st.integers(0, 3), st.integers(0, 7), _cpus),
)


def do(bench: Bench, step: tuple[Any, ...]) -> None:
    match step:
        case "line", intid, level, cpu:
            bench.line(intid, level, cpu)
        case "pend", intid, cpu:
            pend(bench, intid, cpu)
        case "enable", intid, on, cpu:
            bench.bit(ISENABLER if on else ICENABLER, intid, cpu)
        case "group", intid, group, cpu:
            bench.group(intid, group, cpu)
        case "active", intid, on, cpu:
            bench.bit(ISACTIVER if on else ICACTIVER, intid, cpu)
        case "priority", intid, value, cpu:
            bench.priority(intid, value, cpu)
        case "edge", intid, on, cpu:
            bench.edge(intid, on, cpu)
        case "control", value:
            bench.gicd(GICD_CTLR, value)
        case "mask", value, cpu:
            bench.gicc(PMR, value, cpu)
        case "acknowledge", cpu:
            bench.gicc_read(IAR, cpu)
        case "end", intid, cpu:
            bench.gicc(EOIR, intid, cpu)
        case "deactivate", intid, cpu:
            bench.gicc(DIR, intid, cpu)
        case "targets", intid, mask:
            bench.target(intid, mask)
        case "point", register, value, cpu:
            bench.gicc(register, value, cpu)
        case "interface control", value, cpu:
            bench.gicc(CTLR, value, cpu)
        case "active priorities", register, value, cpu:
            bench.gicc(register, value, cpu)
        case "sgi", intid, mask, cpu:
            bench.gicd(0xF00, sgi(intid, to=mask), cpu)
        case _:
            raise AssertionError(step)


def pend(bench: Bench, intid: int, cpu: int) -> None:
    """By the register for it; an SGI is sent by its own PE."""
    if intid < 16:
        bench.gicd(0xF00, sgi(intid, to=1 << cpu), cpu)
    else:
        bench.bit(ISPENDR, intid, cpu)


@given(_steps, st.booleans(), _intids, _cpus)
def test_opening_the_named_gates_one_after_the_other_lets_any_interrupt_through(
    steps: list[tuple[Any, ...]], started: bool, intid: int, cpu: int
) -> None:
    bench = Bench(CPUS, spis=SPIS)
    if started:
        bench.start()
    for step in steps:
        do(bench, step)
    pend(bench, intid, cpu)
    for _ in range(MOST_GATES):
        view = GicV2View(bench.gic)
        way = follow(view, intid, cpu)
        if not way.closed:
            break
        assert way.cpu is None or bench.gic.signalled(way.cpu) != intid
        apply(bench.gic, way.closed[0])
        assert way.closed[0] not in follow(view, intid, cpu).closed
    assert not way.closed
    assert way.cpu is not None
    signalled = bench.gic.signalled(way.cpu)
    # Another one may be signalled in its place, and then it is a better one.
    assert signalled is not None
    ranks = [(view.priority(way.cpu, each), each) for each in (signalled, intid)]
    assert ranks == sorted(ranks)
    assert (bench.fiq if follow(view, signalled, way.cpu).fiq else bench.irq)[way.cpu]


@given(_steps)
def test_an_interrupt_is_signalled_only_if_no_gate_is_closed(steps: list[tuple[Any, ...]]) -> None:
    bench = Bench(CPUS, spis=SPIS).start()
    for step in steps:
        do(bench, step)
    signalled = {(cpu, intid) for cpu in bench.cpus if (intid := bench.gic.signalled(cpu)) is not None}
    for cpu, intid in signalled:
        assert not follow(GicV2View(bench.gic), intid, cpu).closed
    for each in pending_interrupts(GicV2View(bench.gic)):
        assert each.closed or bench.gic.signalled(each.cpu or 0) is not None
