"""The state of a GICv3 as plain data: another one that loads it continues like the first."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.gicregs import ICC_REGISTERS

from .bench import IGROUPR, IPRIORITYR, IRM, IROUTER, ISENABLER, ISPENDR, PE_SIZE, SGI_FRAME, UART, Bench

AFFINITIES, SPIS = (0, 1, 0x100), 10
ONES = (1 << 32) - 1
Step = tuple[str, int, int, int]

values = st.integers(0, ONES) | st.sampled_from([0, ONES, 3, 0xF8, 33, 0xA0A0_A0A0, IRM, 0x100, 0x0100_0001])
bases = st.sampled_from([0, IGROUPR, ISENABLER, ISPENDR, 0x280, 0x300, 0x380, IPRIORITYR, 0xC00])
offsets = st.builds(lambda base, word: base + 4 * word, bases, st.integers(0, 10))
routers = st.builds(lambda number: IROUTER + 8 * number, st.integers(32, 31 + SPIS))
pes = st.integers(0, len(AFFINITIES) - 1)
steps = (
    st.tuples(st.sampled_from(["gicd", "read"]), pes, offsets | routers, values)
    | st.tuples(st.sampled_from(["gicr", "sgi"]), pes, offsets | st.just(0x14), values)
    | st.tuples(st.sampled_from(["icc", "mrs"]), pes, st.integers(0, len(ICC_REGISTERS) - 1), values)
    | st.tuples(st.just("line"), pes, st.sampled_from([16, 27, 32, 33, 41]), st.integers(0, 1))
)
ICC = sorted(ICC_REGISTERS)


def perform(bench: Bench, todo: list[Step]) -> list[object]:
    """Do it, and give all that can be seen of it."""
    seen: list[object] = []
    gic = bench.gic
    for kind, cpu, number, value in todo:
        if kind == "line":
            (gic.spi(number) if number >= 32 else gic.ppi(cpu, number))(bool(value))
        elif kind == "gicd":
            gic.distributor.write(number, 4, value)
        elif kind == "read":
            seen.append(gic.distributor.read(number, 4))
        elif kind == "icc":
            gic.cpu_interface(cpu).write(ICC[number], value)
        elif kind == "mrs":
            seen.append(gic.cpu_interface(cpu).read(ICC[number]))
        else:
            frame = cpu * PE_SIZE + (SGI_FRAME if kind == "sgi" else 0)
            gic.redistributors.write(frame + number, 4, value)
            seen.append(gic.redistributors.read(frame + number, 4))
        seen.append((list(bench.irq), list(bench.fiq), [gic.signalled(each) for each in bench.cpus]))
    return seen


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(steps, max_size=40), st.lists(steps, max_size=40))
def test_a_gic_that_loads_a_state_goes_on_like_the_one_that_saved_it(
    started: bool, before: list[Step], after: list[Step]
) -> None:
    first, second = (Bench(AFFINITIES, spis=SPIS) for _ in range(2))
    if started:
        first.start()
    perform(first, before)
    state = first.gic.save()
    second.gic.load(json.loads(json.dumps(state)))
    assert second.gic.save() == state
    assert (second.irq, second.fiq) == (first.irq, first.fiq)
    assert perform(second, after) == perform(first, after)
    assert second.gic.save() == first.gic.save()


def busy() -> Bench:
    bench = Bench((0, 1)).start()
    bench.gic.spi(UART)(True)
    bench.gic.ppi(1, 27)(True)
    return bench


def test_outputs_that_differ_are_signalled_once_and_no_others() -> None:
    state = busy().gic.save()
    other = Bench((0, 1))
    other.gic.load(state)
    assert [(cpu, irq) for cpu, irq, _ in other.edges] == [(0, True), (1, True)]
    other.gic.load(state)
    assert len(other.edges) == 2


def test_a_watcher_goes_on_from_there() -> None:
    told: list[tuple[str, int, int]] = []
    bench = Bench((0, 1))
    bench.gic.watch(lambda action, cpu, intid: told.append((action, cpu, intid)))
    bench.gic.load(busy().gic.save())
    assert told == []
    bench.gic.ppi(1, 27)(False)
    assert told == [("withdrawn", 1, 27)]


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"interrupts": None},
        {"interfaces": []},
        {"interfaces": [{}, {}]},
        {"interrupts": {"enable0": 1}},
    ],
)
def test_what_is_no_state_is_refused_and_changes_nothing(changes: dict[str, Any]) -> None:
    bench = busy()
    state, edges = bench.gic.save(), list(bench.edges)
    with pytest.raises(ValueError, match=r"GICv3"):
        bench.gic.load({**state, **changes})
    assert (bench.gic.save(), bench.edges) == (state, edges)
    with pytest.raises(ValueError, match=r"GICv3"):
        Bench((0,)).gic.load(state)
