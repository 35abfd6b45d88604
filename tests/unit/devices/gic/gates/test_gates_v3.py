"""The first closed gate on an interrupt's way through a GICv3, compared with the model in any state."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.gic.gates.view_v3 import GicV3View
from arm_vcpu_cli.devices.gic.gates.way import follow, pending_interrupts
from tests.unit.devices.gic.v3.bench import (
    GICD_CTLR,
    ICACTIVER,
    ICENABLER,
    IRM,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    WAKER,
    Bench,
)

from .register_writes import MOST_GATES, apply, histories

AFFINITIES = (0x00, 0x01, 0x11)
SPIS = 3
NOBODY = 0x02

_intids = st.sampled_from([0, 1, 15, 16, 17, 31, 32, 33, 34])
_cpus = st.sampled_from(range(len(AFFINITIES)))
_steps = histories(
    len(AFFINITIES),
    _intids,
    st.tuples(st.just("asleep"), st.booleans(), _cpus),
    st.tuples(st.just("route"), st.sampled_from([32, 33, 34]), st.sampled_from([*AFFINITIES, NOBODY, IRM])),
    st.tuples(st.just("signal"), st.integers(0, 1), st.booleans(), _cpus),
    st.tuples(st.just("point"), st.integers(0, 1), st.integers(0, 7), _cpus),
    st.tuples(st.just("interface control"), st.integers(0, 3), _cpus),
    st.tuples(st.just("active priorities"), st.integers(0, 1), st.sampled_from([0, 1, 0x100, 0x100100]), _cpus),
)


def do(bench: Bench, step: tuple[Any, ...]) -> None:
    match step:
        case "line", intid, level, cpu:
            bench.line(intid, level, cpu)
        case "pend", intid, cpu:
            bench.bit(ISPENDR, intid, cpu)
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
            bench.icc("PMR", value, cpu)
        case "acknowledge", cpu:
            bench.acknowledge(cpu, 0)
            bench.acknowledge(cpu, 1)
        case "end", intid, cpu:
            bench.end(intid, cpu, 0)
            bench.end(intid, cpu, 1)
        case "deactivate", intid, cpu:
            bench.icc("DIR", intid, cpu)
        case "asleep", on, cpu:
            bench.gicr(cpu, WAKER, 2 if on else 0)
        case "route", intid, value:
            bench.route(intid, value)
        case "signal", group, on, cpu:
            bench.icc(f"IGRPEN{group}", on, cpu)
        case "point", group, value, cpu:
            bench.icc(f"BPR{group}", value, cpu)
        case "interface control", value, cpu:
            bench.icc("CTLR", value, cpu)
        case "active priorities", group, value, cpu:
            bench.icc(f"AP{group}R0", value, cpu)
        case _:
            raise AssertionError(step)


@given(_steps, st.booleans(), _intids, _cpus)
def test_opening_the_named_gates_one_after_the_other_lets_any_interrupt_through(
    steps: list[tuple[Any, ...]], started: bool, intid: int, cpu: int
) -> None:
    bench = Bench(AFFINITIES, spis=SPIS)
    if started:
        bench.start()
    for step in steps:
        do(bench, step)
    bench.bit(ISPENDR, intid, cpu)
    for _ in range(MOST_GATES):
        way = follow(GicV3View(bench.gic), intid, cpu)
        if not way.closed:
            break
        assert way.cpu is None or bench.gic.signalled(way.cpu) != intid
        apply(bench.gic, way.closed[0])
        after = follow(GicV3View(bench.gic), intid, cpu)
        assert way.closed[0] not in after.closed
    assert not way.closed
    assert way.cpu is not None
    signalled = bench.gic.signalled(way.cpu)
    # Another one may be signalled in its place, and then it is a better one.
    assert signalled is not None
    assert signalled == intid or bench_rank(bench, signalled, way.cpu) < bench_rank(bench, intid, way.cpu)
    assert (bench.fiq if follow(GicV3View(bench.gic), signalled, way.cpu).fiq else bench.irq)[way.cpu]


def bench_rank(bench: Bench, intid: int, cpu: int) -> tuple[int, int]:
    return GicV3View(bench.gic).priority(cpu, intid), intid


@given(_steps)
def test_an_interrupt_is_signalled_only_if_no_gate_is_closed(steps: list[tuple[Any, ...]]) -> None:
    bench = Bench(AFFINITIES, spis=SPIS).start()
    for step in steps:
        do(bench, step)
    open_ones = {(each.cpu, each.intid) for each in pending_interrupts(GicV3View(bench.gic)) if not each.closed}
    signalled = {(cpu, intid) for cpu in bench.cpus if (intid := bench.gic.signalled(cpu)) is not None}
    assert signalled <= open_ones
    assert {cpu for cpu, _ in open_ones} == {cpu for cpu, _ in signalled}
