"""The life of an interrupt: lines, latches, enables, routes (IHI 0069H, 2.3, 4.1, 4.5 and 4.7)."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.devices.gic.v3 import GicV3

from .bench import (
    DISK,
    GICD_CTLR,
    ICACTIVER,
    ICENABLER,
    ICPENDR,
    IRM,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    SPURIOUS,
    TIMER,
    UART,
    WAKER,
    Bench,
)

BOTH = pytest.mark.parametrize("intid", [TIMER, UART], ids=["private", "shared"])
AFFINITIES = (0x00_0000_0000, 0x00_0000_0001, 0x00_0000_0100, 0x12_0034_0011)


# Level and edge ------------------------------------------------------------------------------------------------


@BOTH
def test_a_level_is_pending_as_long_as_it_is_asserted(intid: int) -> None:
    bench = Bench().start()
    bench.line(intid, True)
    assert (bench.irq, bench.state(intid)) == ([True], "pending")
    bench.line(intid, False)
    assert (bench.irq, bench.state(intid)) == ([False], "inactive")
    assert bench.acknowledge() == SPURIOUS


@BOTH
def test_a_level_that_stays_asserted_is_active_and_pending_and_comes_again(intid: int) -> None:
    bench = Bench().start()
    bench.line(intid, True)
    assert bench.acknowledge() == intid
    assert (bench.irq, bench.state(intid)) == ([False], "active and pending")
    bench.end(intid)
    assert (bench.irq, bench.state(intid)) == ([True], "pending")
    assert bench.acknowledge() == intid
    bench.line(intid, False)
    assert bench.state(intid) == "active"
    bench.end(intid)
    assert (bench.irq, bench.state(intid)) == ([False], "inactive")


@BOTH
def test_an_edge_is_latched(intid: int) -> None:
    bench = Bench().start()
    bench.edge(intid)
    bench.pulse(intid)
    assert (bench.irq, bench.state(intid)) == ([True], "pending")
    assert bench.acknowledge() == intid
    assert bench.state(intid) == "active"
    bench.end(intid)
    assert (bench.irq, bench.state(intid)) == ([False], "inactive")


@BOTH
def test_an_edge_comes_once_for_each_rise(intid: int) -> None:
    bench = Bench().start()
    bench.edge(intid)
    bench.line(intid, True)
    bench.line(intid, True)
    bench.acknowledge()
    bench.end(intid)
    assert bench.irq == [False]
    bench.line(intid, True)
    assert bench.irq == [False]
    bench.line(intid, False)
    bench.line(intid, True)
    assert bench.irq == [True]


@BOTH
def test_an_edge_while_active_is_delivered_after_the_end(intid: int) -> None:
    bench = Bench().start()
    bench.edge(intid)
    bench.pulse(intid)
    bench.acknowledge()
    bench.pulse(intid)
    assert (bench.irq, bench.state(intid)) == ([False], "active and pending")
    bench.end(intid)
    assert bench.irq == [True]
    assert bench.acknowledge() == intid


@BOTH
def test_the_trigger_decides_what_an_asserted_line_means(intid: int) -> None:
    bench = Bench().start()
    bench.line(intid, True)
    bench.edge(intid)
    assert (bench.irq, bench.state(intid)) == ([False], "inactive")
    bench.edge(intid, False)
    assert (bench.irq, bench.state(intid)) == ([True], "pending")


@BOTH
def test_lines_are_independent(intid: int) -> None:
    bench = Bench().start()
    bench.line(intid + 1, True)
    bench.line(intid, False)
    bench.line(intid + 1, True)
    assert (bench.state(intid), bench.state(intid + 1)) == ("inactive", "pending")
    bench.line(intid, True)
    bench.line(intid + 1, False)
    assert (bench.state(intid), bench.state(intid + 1)) == ("pending", "inactive")


@BOTH
@pytest.mark.parametrize("edge", [False, True])
def test_set_pending_latches_until_acknowledged(intid: int, edge: bool) -> None:
    bench = Bench().start()
    bench.edge(intid, edge)
    bench.bit(ISPENDR, intid)
    assert (bench.irq, bench.state(intid)) == ([True], "pending")
    bench.line(intid, True)
    bench.line(intid, False)
    assert bench.state(intid) == "pending"
    assert bench.acknowledge() == intid
    assert bench.state(intid) == "active"


@BOTH
def test_clear_pending_clears_the_latch_but_not_the_line(intid: int) -> None:
    bench = Bench().start()
    bench.bit(ISPENDR, intid)
    bench.line(intid, True)
    bench.bit(ICPENDR, intid)
    assert (bench.irq, bench.state(intid)) == ([True], "pending")
    bench.line(intid, False)
    assert (bench.irq, bench.state(intid)) == ([False], "inactive")


@BOTH
def test_clear_pending_takes_an_edge_back(intid: int) -> None:
    bench = Bench().start()
    bench.edge(intid)
    bench.line(intid, True)
    bench.bit(ICPENDR, intid)
    assert (bench.irq, bench.state(intid)) == ([False], "inactive")


@BOTH
def test_setting_active_withholds_and_clearing_it_releases(intid: int) -> None:
    bench = Bench().start()
    bench.bit(ISACTIVER, intid)
    bench.line(intid, True)
    assert (bench.irq, bench.state(intid)) == ([False], "active and pending")
    bench.bit(ICACTIVER, intid)
    assert (bench.irq, bench.state(intid)) == ([True], "pending")
    bench.bit(ISACTIVER, intid)
    assert (bench.irq, bench.state(intid)) == ([False], "active and pending")


# Enables -------------------------------------------------------------------------------------------------------


@BOTH
def test_a_disabled_interrupt_gets_pending_but_is_not_delivered(intid: int) -> None:
    bench = Bench().start()
    bench.bit(ICENABLER, intid)
    bench.line(intid, True)
    assert (bench.irq, bench.state(intid), bench.icc_read("HPPIR1")) == ([False], "pending", SPURIOUS)
    bench.bit(ISENABLER, intid)
    assert bench.irq == [True]
    bench.bit(ICENABLER, intid)
    assert bench.irq == [False]


@BOTH
@pytest.mark.parametrize(("group", "enabled"), [(0, 0b01), (1, 0b10)])
def test_a_group_that_the_distributor_disables_is_not_delivered(intid: int, group: int, enabled: int) -> None:
    bench = Bench().start(group=group)
    bench.line(intid, True)
    for control, heard in ((0b11, True), (0b11 & ~enabled, False), (enabled, True), (0, False)):
        bench.gicd(GICD_CTLR, control)
        assert (bench.irq if group else bench.fiq) == [heard]
        assert bench.icc_read(f"HPPIR{group}") == (intid if heard else SPURIOUS)


def test_an_interrupt_that_the_distributor_withholds_hides_no_other() -> None:
    bench = Bench().start()
    bench.group(UART, 0)
    bench.priority(UART, 0)
    bench.gicd(GICD_CTLR, 0b10)
    bench.line(UART, True)
    bench.line(DISK, True)
    assert bench.icc_read("HPPIR1") == DISK


# Choice --------------------------------------------------------------------------------------------------------


def test_the_highest_priority_comes_first_and_then_the_lowest_intid() -> None:
    bench = Bench().start()
    for intid, priority in ((TIMER, 0x80), (29, 0x80), (UART, 0x40), (DISK, 0x80), (200, 0x40), (100, 0x48)):
        bench.priority(intid, priority)
        bench.edge(intid)
        bench.pulse(intid)
    order = []
    while (intid := bench.acknowledge()) != SPURIOUS:
        order.append(intid)
        bench.end(intid)
    assert order == [UART, 200, 100, 29, TIMER, DISK]


def test_outputs_change_only_when_something_changes() -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    bench.line(UART, True)
    bench.line(TIMER, False)
    assert bench.edges == [(0, True, False)]
    bench.line(UART, False)
    assert bench.edges == [(0, True, False), (0, False, False)]


def test_nothing_is_signalled_at_reset() -> None:
    assert Bench((0, 1)).edges == []


# Routes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cpu", "affinity"), list(enumerate(AFFINITIES)))
def test_a_shared_interrupt_goes_to_the_pe_of_its_router(cpu: int, affinity: int) -> None:
    bench = Bench(AFFINITIES).start()
    bench.route(UART, affinity)
    bench.line(UART, True)
    assert bench.irq == [index == cpu for index in range(len(AFFINITIES))]
    assert [bench.acknowledge(other) for other in bench.cpus if other != cpu] == [SPURIOUS] * 3
    assert bench.acknowledge(cpu) == UART


def test_a_shared_interrupt_for_an_affinity_that_does_not_exist_goes_nowhere() -> None:
    bench = Bench(AFFINITIES).start()
    bench.route(UART, 0x02)
    bench.line(UART, True)
    assert bench.irq == [False] * 4
    assert bench.state(UART) == "pending"
    bench.bit(ICENABLER, UART)
    bench.bit(ISENABLER, UART)
    assert bench.edges == []


def test_a_pending_interrupt_follows_its_router() -> None:
    bench = Bench(AFFINITIES).start()
    bench.line(UART, True)
    bench.route(UART, AFFINITIES[3])
    assert bench.irq == [False, False, False, True]
    bench.route(UART, AFFINITIES[1])
    assert bench.irq == [False, True, False, False]


def test_an_interrupt_rerouted_while_active_ends_where_it_was_taken_and_comes_again_elsewhere() -> None:
    bench = Bench(AFFINITIES).start()
    bench.line(UART, True)
    bench.acknowledge(0)
    bench.route(UART, AFFINITIES[1])
    assert bench.irq == [False] * 4
    bench.end(UART, 0)
    assert bench.irq == [False, True, False, False]
    assert bench.icc_read("RPR", 0) == 0xFF


def test_a_1_of_n_interrupt_goes_to_the_first_pe_that_is_awake_and_has_its_group_enabled() -> None:
    bench = Bench(AFFINITIES).start()
    bench.route(UART, IRM)
    bench.line(UART, True)
    assert bench.irq == [True, False, False, False]
    bench.icc("IGRPEN1", 0, cpu=0)
    assert bench.irq == [False, True, False, False]
    bench.gicr(1, WAKER, 2)
    assert bench.irq == [False, False, True, False]
    bench.group(UART, 0)
    assert (bench.irq, bench.fiq) == ([False] * 4, [True, False, False, False])
    for cpu in bench.cpus:
        bench.icc("IGRPEN0", 0, cpu=cpu)
    assert bench.fiq == [False] * 4
    assert bench.state(UART) == "pending"
    bench.icc("IGRPEN0", 1, cpu=3)
    assert bench.fiq == [False, False, False, True]


def test_all_1_of_n_interrupts_move_together() -> None:
    bench = Bench(AFFINITIES).start()
    for intid in (UART, DISK):
        bench.route(intid, IRM)
        bench.edge(intid)
        bench.pulse(intid)
    bench.icc("IGRPEN1", 0, cpu=0)
    assert [bench.acknowledge(1), bench.acknowledge(0)] == [UART, SPURIOUS]
    bench.end(UART, 1)
    assert bench.acknowledge(1) == DISK


def test_the_affinity_of_a_1_of_n_interrupt_does_not_matter() -> None:
    bench = Bench(AFFINITIES).start()
    bench.route(UART, IRM | AFFINITIES[3])
    bench.line(UART, True)
    assert bench.irq == [True, False, False, False]
    bench.route(UART, AFFINITIES[3])
    assert bench.irq == [False, False, False, True]
    bench.icc("IGRPEN1", 0, cpu=0)
    assert bench.irq == [False, False, False, True]


def test_a_private_line_belongs_to_one_pe() -> None:
    bench = Bench(AFFINITIES).start()
    bench.line(TIMER, True, cpu=2)
    assert bench.irq == [False, False, True, False]
    assert bench.state(TIMER, cpu=1) == "inactive"


# Construction --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("affinities", "spis"),
    [
        ((), 32),
        ((0, 0), 32),
        ((1 << 24,), 32),
        ((1 << 31,), 32),
        ((1 << 40,), 32),
        ((-1,), 32),
        ((0,), -1),
        ((0,), 989),
    ],
)
def test_an_impossible_gic_is_refused(affinities: tuple[int, ...], spis: int) -> None:
    with pytest.raises(ValueError, match=r"PE|affinity|SPIs"):
        GicV3(affinities, spis=spis, signal=lambda cpu, irq, fiq: None)


@pytest.mark.parametrize("intid", [-1, 0, 31, 256, 1023])
def test_there_is_no_line_of_a_shared_interrupt_that_does_not_exist(intid: int) -> None:
    with pytest.raises(ValueError, match=str(intid)):
        Bench(spis=224).gic.spi(intid)


@pytest.mark.parametrize("intid", [0, 15, 32])
def test_only_ppis_have_private_lines(intid: int) -> None:
    with pytest.raises(ValueError, match=str(intid)):
        Bench().gic.ppi(0, intid)


def test_a_gic_may_have_no_shared_interrupts_and_up_to_988() -> None:
    assert Bench(spis=0).start().irq == [False]
    bench = Bench(spis=988).start()
    bench.line(1019, True)
    assert bench.acknowledge() == 1019
