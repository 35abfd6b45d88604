"""Whatever a guest does to a GICv2 has a defined result: nothing raises, and no value is too wide."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .bench import Bench

WIDTHS = (1, 2, 3, 4, 8, 16)
BASES = (0, 0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x800, 0xC00, 0xE00, 0xF00, 0xF10, 0xF20, 0xFD0)

offsets = st.one_of(
    st.integers(-8, 0x2010),
    st.integers(),
    st.builds(lambda base, more: base + more, st.sampled_from(BASES), st.integers(0, 0x50)),
)
words = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1, 0xFF, 0xFFFF_FFFF, (1 << 64) - 1, -1])
accesses = st.tuples(st.booleans(), st.integers(0, 1), offsets, st.sampled_from(WIDTHS), words)
lines = st.tuples(st.sampled_from([16, 31, 32, 33, 41]), st.integers(0, 1), st.booleans())


def perform(bench: Bench, access: tuple[bool, int, int, int, int]) -> None:
    distributor, cpu, offset, width, value = access
    device = bench.gic.distributor(cpu) if distributor else bench.gic.cpu_interface(cpu)
    device.write(offset, width, value)
    assert 0 <= device.read(offset, width) < 1 << 32
    assert 0 <= device.read(offset, width) < 1 << 8 * width


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.lists(accesses | lines, max_size=40))
def test_any_history_of_accesses_is_survived(
    started: bool, history: list[tuple[bool, int, int, int, int] | tuple[int, int, bool]]
) -> None:
    bench = Bench(2, spis=10)
    if started:
        bench.start()
    for step in history:
        if len(step) == 5:
            perform(bench, step)
        else:
            bench.line(step[0], step[2], step[1])
    for cpu in bench.cpus:
        intid = bench.acknowledge(cpu) & 0x3FF
        assert intid >= 1022 or intid < 42
        assert bench.gicc_read(0x14, cpu) in (*range(0, 0x100, 8), 0xFF)
    Bench(2, spis=10).gic.load(bench.gic.save())


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("value", [0, (1 << 64) - 1])
def test_every_offset_answers_every_width(cpus: int, width: int, value: int) -> None:
    bench = Bench(cpus, spis=40)
    for device, size in ((bench.gic.distributor(0), 0x1100), (bench.gic.cpu_interface(0), 0x2100)):
        for offset in range(-4, size):
            device.write(offset, width, value)
            assert 0 <= device.read(offset, width) < 1 << 8 * width


def test_a_guest_that_makes_everything_pending_takes_everything_once() -> None:
    bench = Bench(spis=988).start()
    for intid in range(32, 1020):
        bench.priority(intid, intid * 8 % 0xF8)
        bench.edge(intid)
    for word in range(1, 32):
        bench.gicd(0x200 + 4 * word, 0xFFFF_FFFF)
    taken = []
    while (intid := bench.acknowledge()) != 1023:
        taken.append(intid)
        bench.end(intid)
    assert sorted(taken) == list(range(32, 1020))
    assert taken == sorted(taken, key=lambda intid: (intid * 8 % 0xF8, intid))
