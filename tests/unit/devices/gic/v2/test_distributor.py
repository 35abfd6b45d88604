"""The Distributor's registers, as each PE sees them (IHI 0048B, 4.3)."""

from __future__ import annotations

import pytest

from .bench import (
    CPENDSGIR,
    GICD_CTLR,
    GICD_IIDR,
    GICD_TYPER,
    ICACTIVER,
    ICENABLER,
    ICFGR,
    ICPENDR,
    IGROUPR,
    IPRIORITYR,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    ITARGETSR,
    ONES,
    SGIR,
    SPENDSGIR,
    TIMER,
    UART,
    Bench,
    sgi,
)


def test_a_gic_has_one_to_eight_pes_and_no_more_spis_than_there_are_intids() -> None:
    for cpus, spis in ((0, 32), (9, 32), (1, -1), (1, 989)):
        with pytest.raises(ValueError, match="expected"):
            Bench(cpus, spis=spis)
    Bench(8, spis=988)
    Bench(1, spis=0)


def test_at_reset_everything_is_off_but_the_sgis() -> None:
    bench = Bench(2)
    for cpu in bench.cpus:
        assert bench.gicd_read(GICD_CTLR, cpu) == 0
        assert bench.gicd_read(ISENABLER, cpu) == bench.gicd_read(ICENABLER, cpu) == 0xFFFF
        assert bench.gicd_read(ICFGR, cpu) == 0xAAAA_AAAA
        assert bench.gicd_read(ICFGR + 4, cpu) == bench.gicd_read(ICFGR + 8, cpu) == 0
        for register in (IGROUPR, ISPENDR, ISACTIVER, IPRIORITYR, CPENDSGIR, SPENDSGIR):
            assert bench.gicd_read(register, cpu) == 0
        for register in (IGROUPR + 4, ISENABLER + 4, ISPENDR + 4, ISACTIVER + 4, IPRIORITYR + 32, ITARGETSR + 32):
            assert bench.gicd_read(register, cpu) == 0
    assert bench.edges == []


@pytest.mark.parametrize(("cpus", "spis", "typer"), [(1, 256, 0x08), (4, 256, 0x68), (8, 988, 0xFF), (2, 1, 0x21)])
def test_typer_says_how_many_there_are(cpus: int, spis: int, typer: int) -> None:
    assert Bench(cpus, spis=spis).gicd_read(GICD_TYPER) == typer


def test_identification_is_that_of_a_gic_400() -> None:
    bench = Bench()
    assert bench.gicd_read(GICD_IIDR) == 0x43B
    ids = [bench.gicd_read(offset) for offset in range(0xFD0, 0x1000, 4)]
    assert ids == [0x04, 0, 0, 0, 0x90, 0xB4, 0x2B, 0, 0x0D, 0xF0, 0x05, 0xB1]


def test_control_has_the_two_group_enables_for_all_pes() -> None:
    bench = Bench(2)
    bench.gicd(GICD_CTLR, ONES, cpu=1)
    assert bench.gicd_read(GICD_CTLR, cpu=0) == 3


def test_identification_ignores_writes() -> None:
    bench = Bench()
    for offset in (GICD_TYPER, GICD_IIDR, 0xFE8):
        before = bench.gicd_read(offset)
        bench.gicd(offset, ONES)
        assert bench.gicd_read(offset) == before


# Banking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("register", [IGROUPR, ISENABLER, ISPENDR, ISACTIVER, IPRIORITYR + 28, ICFGR + 4])
def test_private_interrupts_are_each_pes_own(register: int) -> None:
    bench = Bench(2)
    before = bench.gicd_read(register, cpu=0)
    bench.gicd(register, ONES, cpu=1)
    assert bench.gicd_read(register, cpu=0) == before
    assert bench.gicd_read(register, cpu=1) != before


@pytest.mark.parametrize(
    "register", [IGROUPR + 4, ISENABLER + 4, ISPENDR + 4, ISACTIVER + 4, IPRIORITYR + 32, ITARGETSR + 32, ICFGR + 8]
)
def test_spis_are_common_to_all_pes(register: int) -> None:
    bench = Bench(2)
    bench.gicd(register, ONES, cpu=1)
    assert bench.gicd_read(register, cpu=0) == bench.gicd_read(register, cpu=1) != 0


def test_interrupts_that_do_not_exist_are_reserved() -> None:
    bench = Bench(2, spis=40)
    assert bench.gicd_read(IPRIORITYR + 72) == 0
    for register in (IGROUPR, ISENABLER, ISPENDR, ISACTIVER):
        bench.gicd(register + 8, ONES)
        bench.gicd(register + 12, ONES)
        assert bench.gicd_read(register + 8) == 0xFF
        assert bench.gicd_read(register + 12) == 0
    for register in (IPRIORITYR, ITARGETSR):
        bench.gicd(register + 68, ONES)
        bench.gicd(register + 72, ONES)
        assert bench.gicd_read(register + 68) != 0
        assert bench.gicd_read(register + 72) == 0


# SGIs in the registers of all interrupts ---------------------------------------------------------------------------


def test_sgis_stay_enabled() -> None:
    bench = Bench()
    bench.gicd(ISENABLER, ONES)
    assert bench.gicd_read(ISENABLER) == ONES
    bench.gicd(ICENABLER, ONES)
    assert bench.gicd_read(ISENABLER) == 0xFFFF


def test_sgis_cannot_be_made_pending_without_a_sender() -> None:
    bench = Bench()
    bench.gicd(ISPENDR, ONES)
    assert bench.gicd_read(ISPENDR) == 0xFFFF_0000
    bench.gicd(SGIR, sgi(5, mode=2))
    bench.gicd(ICPENDR, ONES)
    assert bench.gicd_read(ISPENDR) == 1 << 5


def test_sgis_are_edge_triggered_for_good() -> None:
    bench = Bench()
    bench.gicd(ICFGR, 0)
    assert bench.gicd_read(ICFGR) == 0xAAAA_AAAA
    bench.gicd(ICFGR + 4, ONES)
    assert bench.gicd_read(ICFGR + 4) == 0xAAAA_AAAA


# Targets -----------------------------------------------------------------------------------------------------------


def test_the_first_targets_say_who_is_reading() -> None:
    bench = Bench(4)
    for cpu in bench.cpus:
        for offset in range(0, 32, 4):
            bench.gicd(ITARGETSR + offset, ONES, cpu)
            assert bench.gicd_read(ITARGETSR + offset, cpu) == 0x0101_0101 << cpu
            assert bench.gicd_read(ITARGETSR + offset + 3, cpu, width=1) == 1 << cpu


def test_targets_are_pes_that_exist() -> None:
    bench = Bench(3)
    bench.gicd(ITARGETSR + 32, 0xFF02_01F0)
    assert bench.gicd_read(ITARGETSR + 32) == 0x0702_0100
    bench.gicd(ITARGETSR + 33, 4, width=1)
    assert bench.gicd_read(ITARGETSR + 32) == 0x0702_0400


def test_a_single_pe_has_all_interrupts_and_no_targets() -> None:
    bench = Bench()
    for offset in range(0, 288, 4):
        bench.gicd(ITARGETSR + offset, ONES)
        assert bench.gicd_read(ITARGETSR + offset) == 0
    bench.start()
    bench.line(UART, True)
    assert bench.acknowledge() == UART


# Priorities and states ---------------------------------------------------------------------------------------------


def test_priorities_have_five_bits_and_are_bytes() -> None:
    bench = Bench()
    bench.gicd(IPRIORITYR + 32, ONES)
    assert bench.gicd_read(IPRIORITYR + 32) == 0xF8F8_F8F8
    bench.gicd(IPRIORITYR + 33, 0x47, width=1)
    assert bench.gicd_read(IPRIORITYR + 32) == 0xF8F8_40F8
    assert bench.gicd_read(IPRIORITYR + 33, width=1) == 0x40


def test_a_level_stays_pending_whatever_is_written() -> None:
    bench = Bench()
    for intid in (TIMER, UART):
        bench.line(intid, True)
        bench.bit(ICPENDR, intid)
        assert bench.test(ISPENDR, intid)
        bench.line(intid, False)
        assert not bench.test(ISPENDR, intid)


def test_what_is_written_stays_pending_without_the_level() -> None:
    bench = Bench()
    bench.bit(ISPENDR, UART)
    bench.pulse(UART)
    assert bench.test(ISPENDR, UART)
    bench.bit(ICPENDR, UART)
    assert not bench.test(ISPENDR, UART)


def test_an_edge_is_remembered_once() -> None:
    bench = Bench().start()
    bench.edge(UART)
    bench.pulse(UART)
    bench.pulse(UART)
    assert bench.acknowledge() == UART
    bench.end(UART)
    assert bench.state(UART) == "inactive"


def test_active_interrupts_can_be_made_and_unmade() -> None:
    bench = Bench(2)
    bench.bit(ISACTIVER, UART)
    bench.bit(ISACTIVER, TIMER, cpu=1)
    assert (bench.state(UART), bench.state(TIMER), bench.state(TIMER, 1)) == ("active", "inactive", "active")
    bench.bit(ICACTIVER, UART)
    bench.bit(ICACTIVER, TIMER, cpu=1)
    assert (bench.state(UART), bench.state(TIMER, 1)) == ("inactive", "inactive")


# Accesses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "width"),
    [
        (GICD_CTLR, 1),
        (GICD_CTLR, 2),
        (GICD_CTLR, 8),
        (ISENABLER, 1),
        (ISENABLER + 4, 8),
        (ISENABLER + 2, 4),
        (IPRIORITYR + 32, 2),
        (IPRIORITYR + 33, 4),
        (ITARGETSR + 32, 2),
        (ITARGETSR, 8),
        (SGIR, 1),
        (SPENDSGIR, 2),
        (SPENDSGIR + 1, 4),
        (0xFE8, 1),
    ],
)
def test_accesses_of_another_size_or_place_are_ignored(offset: int, width: int) -> None:
    bench = Bench(2)
    before = bench.gic.save()
    bench.gicd(offset, (1 << 8 * width) - 1, width=width)
    assert bench.gic.save() == before
    assert bench.gicd_read(offset, width=width) == 0


@pytest.mark.parametrize(
    "offset", [0x00C, 0x010, 0x07C, 0xD00, 0xE00, 0xF04, 0xF30, 0xF80, 0xFCC, 0x1000, 0xFFD0, 1 << 40]
)
def test_what_is_reserved_reads_as_zero(offset: int) -> None:
    bench = Bench(2)
    before = bench.gic.save()
    bench.gicd(offset, ONES)
    assert bench.gic.save() == before
    assert bench.gicd_read(offset) == 0


def test_lines_are_of_interrupts_that_exist() -> None:
    gic = Bench(2, spis=40).gic
    for intid in (0, 31, 72, 1023):
        with pytest.raises(ValueError, match="not an SPI"):
            gic.spi(intid)
    for intid in (15, 32):
        with pytest.raises(ValueError, match="not a PPI"):
            gic.ppi(0, intid)
