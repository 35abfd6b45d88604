"""The state of a GICv2 as plain data: another one that loads it continues like the first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .bench import CTLR, FIQ_EN, GRP0, ONES, SGIR, SPURIOUS, TIMER, UART, Bench, sgi
from .test_robustness import BASES

CPUS, SPIS = 2, 10

registers = st.one_of(
    st.builds(lambda base, word: base + 4 * word, st.sampled_from(BASES), st.integers(0, 12)),
    st.sampled_from([0x00, 0x04, 0x08, 0x0C, 0x10, 0x1C, 0x20, 0x24, 0xD0, 0xE0, 0x1000]),
)
values = st.integers(0, ONES) | st.sampled_from([0, ONES, 0x21F, 0x7, 0x0203_0001, 0x0101_0101])
pes = st.integers(0, CPUS - 1)
frames = st.sampled_from(["gicd", "gicc"])
inputs = st.sampled_from([16, 27, 32, 33, 41])
accesses = st.tuples(frames, pes, registers, st.booleans(), st.sampled_from([1, 4]), values)
lines = st.tuples(st.just("line"), pes, inputs, st.booleans(), st.just(0), st.just(0))
Step = tuple[str, int, int, bool, int, int]


def perform(bench: Bench, steps: list[Step]) -> list[object]:
    """Do it, and give all that can be seen of it."""
    seen: list[object] = []
    for kind, cpu, number, flag, width, value in steps:
        if kind == "line":
            bench.line(number, flag, cpu)
        else:
            device = bench.gic.distributor(cpu) if kind == "gicd" else bench.gic.cpu_interface(cpu)
            if flag:
                device.write(number, width, value)
            else:
                seen.append(device.read(number, width))
        seen.append((list(bench.irq), list(bench.fiq), [bench.gic.signalled(each) for each in bench.cpus]))
    return seen


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(accesses | lines, max_size=40), st.lists(accesses | lines, max_size=40))
def test_a_gic_that_loads_a_state_goes_on_like_the_one_that_saved_it(
    started: bool, before: list[Step], after: list[Step]
) -> None:
    first, second = Bench(CPUS, spis=SPIS), Bench(CPUS, spis=SPIS)
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
    bench = Bench(2).start(control=GRP0 | FIQ_EN)
    bench.gicd(SGIR, sgi(3, to=3), cpu=1)
    bench.acknowledge(0)
    bench.priority(TIMER, 0x40)
    bench.line(TIMER, True)
    bench.target(UART, 2)
    bench.line(UART, True)
    return bench


def test_the_state_has_a_version() -> None:
    assert busy().gic.save()["version"] == 1


def test_a_saved_state_does_not_change_any_more() -> None:
    bench = busy()
    state = bench.gic.save()
    text = json.dumps(state)
    bench.gicd(SGIR, sgi(4, to=3))
    bench.gicc(CTLR, 0)
    assert json.dumps(state) == text


def test_outputs_that_differ_are_signalled_once() -> None:
    first = busy()
    second = Bench(2)
    second.gic.load(first.gic.save())
    assert second.edges == [(0, False, True), (1, False, True)]
    second.gic.load(first.gic.save())
    assert len(second.edges) == 2
    second.gic.load(Bench(2).gic.save())
    assert second.edges[2:] == [(0, False, False), (1, False, False)]


def test_levels_of_lines_are_loaded() -> None:
    first, second = busy(), Bench(2)
    second.gic.load(first.gic.save())
    second.line(TIMER, True)
    assert second.acknowledge() == TIMER
    second.line(TIMER, False)
    second.end(TIMER)
    assert second.acknowledge() == SPURIOUS


def test_the_sender_of_an_active_sgi_is_loaded() -> None:
    first, second = busy(), Bench(2)
    second.gic.load(first.gic.save())
    second.end(3)
    assert second.state(3) == "active"
    first.end(1 << 10 | 3)
    assert first.state(3) == "inactive"


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.pop(key)


def _with(*path: object) -> Callable[[dict[str, Any]], None]:
    """Puts the last of ``path`` where the others lead."""

    def change(state: Any) -> None:
        *where, key, value = path
        for each in where:
            state = state[each]
        state[key] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _without("version"),
        _without("interrupts"),
        _without("interfaces"),
        _with("version", 0),
        _with("version", 2),
        _with("version", "1"),
        _with("interfaces", []),
        _with("interfaces", None),
        _with("interfaces", 1, 7),
        _with("interfaces", 1, "pmr", 256),
        _with("interfaces", 1, "bpr1", -1),
        _with("interfaces", 1, "apr0", 1 << 32),
        _with("interfaces", 1, "control", 0x400),
        _with("interrupts", "enable1", 2),
        _with("interrupts", "targets", [0]),
        _with("interrupts", "private", 1, "sources", [4] * 16),
        _with("interrupts", "private", 1, "takens", [2] * 16),
        _with("interrupts", "private", 1, "bank", "wires", 1 << 40),
        _with("interrupts", "spis", "priorities", 0, 0.5),
        _with("interrupts", "spis", "enabled", "all"),
    ],
)
def test_what_is_no_such_state_is_refused_and_changes_nothing(change: Callable[[dict[str, Any]], None]) -> None:
    bench = busy()
    before = bench.gic.save()
    edges = list(bench.edges)
    state = Bench(2).gic.save()
    change(state)
    with pytest.raises(ValueError, match=r"^GICv2\b"):
        bench.gic.load(state)
    assert bench.gic.save() == before
    assert bench.edges == edges


def test_a_state_of_another_shape_is_refused() -> None:
    for cpus, spis in ((1, 256), (3, 256), (2, 255)):
        with pytest.raises(ValueError, match=r"^GICv2\b"):
            Bench(2).gic.load(Bench(cpus, spis=spis).gic.save())


def test_a_state_cannot_say_what_a_gic_never_does() -> None:
    state: Any = busy().gic.save()
    bank = state["interrupts"]["private"][0]["bank"]
    bank["enabled"], bank["edge"], bank["latch"] = 0, 0, ONES
    bank["priorities"] = [0xFF] * 32
    second = Bench(2)
    second.gic.load(state)
    assert second.gicd_read(0x100) == 0xFFFF
    assert second.gicd_read(0x200) == 0xFFFF_0000
    assert second.gicd_read(0xC00) == 0xAAAA_AAAA
    assert second.gicd_read(0x400) == 0xF8F8_F8F8
