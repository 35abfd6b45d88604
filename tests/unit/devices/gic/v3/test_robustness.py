"""Whatever a guest does to a GIC has a defined result: nothing raises, and no value is too wide."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.sysreg import SysReg, sysregs
from arm_vcpu_cli.devices.gic.v3 import ICC_REGISTERS

from .bench import IGROUPR, PE_SIZE, SGI_FRAME, Bench

WIDTHS = (1, 2, 4, 8)
REGISTERS = sorted(ICC_REGISTERS)
BASES = (0, 0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x800, 0xC00, 0xD00, 0xE00, 0xF00, 0x6000, 0xFFD0)

offsets = st.one_of(
    st.integers(0, 0xFFFF),
    st.builds(lambda base, more: (base + more) & 0xFFFF, st.sampled_from(BASES), st.integers(0, 0x90)),
)
words = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1, 0xFF, 0xFFFF_FFFF, (1 << 64) - 1])
frames = st.sampled_from(["distributor", "pe 0", "pe 1", "sgi 0", "sgi 1", "behind"])
FRAME_BASES = {"pe 0": 0, "sgi 0": SGI_FRAME, "pe 1": PE_SIZE, "sgi 1": PE_SIZE + SGI_FRAME, "behind": 2 * PE_SIZE}

accesses = st.tuples(frames, offsets, st.sampled_from(WIDTHS), words)
moves = st.tuples(st.sampled_from(REGISTERS), st.integers(0, 1), words)
lines = st.tuples(st.sampled_from([16, 31, 32, 33, 41]), st.integers(0, 1), st.booleans())


def perform(bench: Bench, access: tuple[str, int, int, int]) -> None:
    frame, offset, width, value = access
    device = bench.gic.distributor if frame == "distributor" else bench.gic.redistributors
    offset += FRAME_BASES.get(frame, 0)
    device.write(offset, width, value & (1 << 8 * width) - 1)
    assert 0 <= device.read(offset, width) < 1 << 8 * width


def move(bench: Bench, reg: SysReg, cpu: int, value: int) -> None:
    interface = bench.gic.cpu_interface(cpu)
    written = interface.write(reg, value)
    result = interface.read(reg)
    assert written or result is not None
    assert result is None or 0 <= result < 1 << 32


@settings(max_examples=150)
@given(st.booleans(), st.lists(accesses | moves | lines, max_size=40))
def test_any_history_of_accesses_is_survived(
    started: bool, history: list[tuple[str, int, int, int] | tuple[SysReg, int, int] | tuple[int, int, bool]]
) -> None:
    bench = Bench((0, 0x100), spis=10)
    if started:
        bench.start()
    for step in history:
        if len(step) == 4:
            perform(bench, step)
        elif isinstance(step[0], SysReg):
            move(bench, step[0], step[1], step[2])
        else:
            bench.line(step[0], bool(step[2]), step[1])
    for cpu in bench.cpus:
        for group in (0, 1):
            intid = bench.acknowledge(cpu, group)
            assert intid == 1023 or intid < 42
            assert bench.icc_read("RPR", cpu) in (*range(0, 0x100, 8), 0xFF)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("value", [0, (1 << 64) - 1])
def test_every_offset_of_every_frame_answers_every_width(width: int, value: int) -> None:
    bench = Bench((0, 1), spis=40)
    value &= (1 << 8 * width) - 1
    distributor, redistributors = bench.gic.distributor, bench.gic.redistributors
    for offset in (*range(0x1100), *range(0x6000, 0x6280), *range(0x7F00, 0x8100), *range(0xFF00, 0x1_0000)):
        distributor.write(offset, width, value)
        assert 0 <= distributor.read(offset, width) < 1 << 8 * width
    for base in (*FRAME_BASES.values(), 3 * PE_SIZE):
        for offset in (*range(0x1100), *range(0xFF00, 0x1_0000)):
            redistributors.write(base + offset, width, value)
            assert 0 <= redistributors.read(base + offset, width) < 1 << 8 * width


def test_system_registers_of_others_are_refused() -> None:
    interface = Bench().gic.cpu_interface(0)
    for reg in set(sysregs().values()) - ICC_REGISTERS:
        assert interface.read(reg) is None
        assert interface.write(reg, 1) is False


def test_every_register_of_the_interface_can_be_read_or_written() -> None:
    bench = Bench()
    for reg in REGISTERS:
        move(bench, reg, 0, (1 << 64) - 1)


def test_a_guest_that_makes_everything_pending_takes_everything_once() -> None:
    bench = Bench(spis=988).start()
    for intid in range(32, 1020):
        bench.priority(intid, intid * 8 % 0xF8)
        bench.edge(intid)
    for word in range(1, 32):
        bench.gicd(0x200 + 4 * word, 0xFFFF_FFFF)
        bench.gicd(IGROUPR + 4 * word, 0xFFFF_FFFF)
    taken = []
    while (intid := bench.acknowledge()) != 1023:
        taken.append(intid)
        bench.end(intid)
    assert sorted(taken) == list(range(32, 1020))
    assert taken == sorted(taken, key=lambda intid: (intid * 8 % 0xF8, intid))
