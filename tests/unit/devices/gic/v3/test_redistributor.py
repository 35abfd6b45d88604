"""The Redistributors' registers (IHI 0069H, 12.11) with one Security state and without LPIs."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.gicregs import GicrTyper

from .bench import (
    ICFGR,
    IGROUPR,
    IPRIORITYR,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    PE_SIZE,
    SGI_FRAME,
    TIMER,
    WAKER,
    Bench,
)

WORD = 0xFFFF_FFFF
ASLEEP = 0b110
ID_REGISTERS = {
    0xFFD0: 0x44, 0xFFD4: 0, 0xFFD8: 0, 0xFFDC: 0,
    0xFFE0: 0x93, 0xFFE4: 0xB4, 0xFFE8: 0x3B, 0xFFEC: 0,
    0xFFF0: 0x0D, 0xFFF4: 0xF0, 0xFFF8: 0x05, 0xFFFC: 0xB1,
}  # fmt: skip
AFFINITIES = (0x00_0000_0000, 0x00_0000_0001, 0x12_0034_5678)


@pytest.mark.parametrize(
    ("offset", "reset", "writable"),
    [
        (0x0000, 0, 0),
        (0x0004, 0x0000_043B, 0),
        (0x0008, 0x0000_0100, 0),
        (0x000C, 0x0000_0001, 0),
        (0x0010, 0, 0),
        (WAKER, 0, ASLEEP),
        (0x0070, 0, 0),
        (0x0078, 0, 0),
        (SGI_FRAME + IGROUPR, 0, WORD),
        (SGI_FRAME + IGROUPR + 4, 0, 0),
        (SGI_FRAME + ISENABLER + 4, 0, 0),
        (SGI_FRAME + IPRIORITYR, 0, 0xF8F8_F8F8),
        (SGI_FRAME + IPRIORITYR + 28, 0, 0xF8F8_F8F8),
        (SGI_FRAME + IPRIORITYR + 32, 0, 0),
        (SGI_FRAME + ICFGR, 0xAAAA_AAAA, 0),
        (SGI_FRAME + ICFGR + 4, 0, 0xAAAA_AAAA),
        (SGI_FRAME + ICFGR + 8, 0, 0),
        (SGI_FRAME + 0xD00, 0, 0),
        (SGI_FRAME + 0xE00, 0, 0),
        (SGI_FRAME + 0xFFE8, 0, 0),
        *((offset, value, 0) for offset, value in ID_REGISTERS.items()),
    ],
)
def test_register(offset: int, reset: int, writable: int) -> None:
    bench = Bench(AFFINITIES)
    assert bench.gicr_read(1, offset) == reset
    bench.gicr(1, offset, WORD)
    assert bench.gicr_read(1, offset) == reset | writable
    bench.gicr(1, offset, 0)
    assert bench.gicr_read(1, offset) == reset & ~writable


@pytest.mark.parametrize(("cpu", "last"), [(0, 0), (1, 0), (2, 1)])
def test_typer_places_a_pe(cpu: int, last: int) -> None:
    bench = Bench(AFFINITIES)
    typer = GicrTyper(bench.gicr_read(cpu, 8, 8))
    affinity = AFFINITIES[cpu]
    assert (typer.Aff3, typer.Aff2, typer.Aff1, typer.Aff0) == (
        affinity >> 32,
        affinity >> 16 & 0xFF,
        affinity >> 8 & 0xFF,
        affinity & 0xFF,
    )
    assert (typer.Processor_Number, typer.Last, typer.PLPIS, typer.VLPIS) == (cpu, last, 0, 0)
    assert bench.gicr_read(cpu, 12) << 32 | bench.gicr_read(cpu, 8) == typer


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("offset", [0, 0x14, 0xFFE8, SGI_FRAME + ISENABLER, 40 * PE_SIZE])
def test_behind_the_last_pe_there_is_nothing(offset: int, width: int) -> None:
    bench = Bench(AFFINITIES)
    bench.gicr(3, offset, (1 << 8 * width) - 1, width)
    assert bench.gicr_read(3, offset, width) == 0


@pytest.mark.parametrize("base", [ISENABLER, ISPENDR, ISACTIVER, IGROUPR])
def test_private_interrupts_are_those_of_one_pe(base: int) -> None:
    bench = Bench((0, 1))
    bench.sgi(1, base, 0x8000_0001)
    assert bench.sgi_read(1, base) == 0x8000_0001
    assert bench.sgi_read(0, base) == 0


def test_sgis_stay_edge_triggered() -> None:
    bench = Bench()
    bench.sgi(0, ICFGR, 0)
    assert bench.sgi_read(0, ICFGR) == 0xAAAA_AAAA


@pytest.mark.parametrize(
    ("offset", "width"),
    [
        (WAKER, 1),
        (WAKER, 2),
        (WAKER, 8),
        (WAKER + 2, 4),
        (0x8, 1),
        (0x8, 2),
        (0xFFE8, 1),
        (0x10, 8),
        (SGI_FRAME + ISENABLER, 1),
        (SGI_FRAME + ISENABLER, 8),
        (SGI_FRAME + IPRIORITYR, 2),
        (SGI_FRAME + IPRIORITYR, 8),
        (SGI_FRAME + IPRIORITYR + 1, 4),
    ],
)
def test_accesses_of_another_size_or_unaligned_read_zero_and_write_nothing(offset: int, width: int) -> None:
    bench = Bench().start()
    whole = offset & ~7
    before = [bench.gicr_read(0, whole + 4 * n) for n in range(4)]
    bench.gicr(0, offset, (1 << 8 * width) - 1, width)
    assert bench.gicr_read(0, offset, width) == 0
    assert [bench.gicr_read(0, whole + 4 * n) for n in range(4)] == before


def test_a_pe_that_is_sent_to_sleep_hears_nothing_until_it_is_woken() -> None:
    bench = Bench().start()
    bench.gicr(0, WAKER, 0b010)
    assert bench.gicr_read(0, WAKER) == ASLEEP
    bench.line(TIMER, True)
    assert (bench.irq, bench.icc_read("HPPIR1"), bench.state(TIMER)) == ([False], 1023, "pending")
    bench.gicr(0, WAKER, 0)
    assert bench.gicr_read(0, WAKER) == 0
    assert (bench.irq, bench.icc_read("HPPIR1")) == ([True], TIMER)


def test_only_processor_sleep_sends_a_pe_to_sleep() -> None:
    bench = Bench().start()
    bench.gicr(0, WAKER, ~0b010 & WORD)
    assert bench.gicr_read(0, WAKER) == 0


def test_going_to_sleep_takes_the_interrupt_back_from_the_cpu_interface() -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    bench.gicr(0, WAKER, 0b010)
    assert bench.irq == [False]
    assert bench.acknowledge() == 1023
