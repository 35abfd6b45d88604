"""The registers of the CPU interface, groups, priorities and preemption (IHI 0048B, 3.3 and 4.4)."""

from __future__ import annotations

import pytest

from .bench import (
    ABPR,
    ACK_CTL,
    AEOIR,
    AHPPIR,
    AIAR,
    APR0,
    BPR,
    CBPR,
    CTLR,
    DIR,
    DISK,
    EOI_MODE,
    EOIR,
    FIQ_EN,
    GICC_IIDR,
    GICD_CTLR,
    GROUP1,
    GRP0,
    GRP1,
    HPPIR,
    IAR,
    IDLE,
    NSAPR0,
    ONES,
    PMR,
    PRIORITY,
    RPR,
    SPURIOUS,
    TIMER,
    UART,
    Bench,
)


def test_the_reset_values() -> None:
    bench = Bench()
    values = {offset: bench.gicc_read(offset) for offset in (CTLR, PMR, BPR, IAR, RPR, HPPIR, ABPR, AIAR, AHPPIR)}
    assert values == {CTLR: 0, PMR: 0, BPR: 2, IAR: 1023, RPR: 255, HPPIR: 1023, ABPR: 3, AIAR: 1023, AHPPIR: 1023}
    assert bench.gicc_read(GICC_IIDR) == 0x0002_043B
    for offset in (APR0, APR0 + 4, NSAPR0, NSAPR0 + 12, EOIR, AEOIR, DIR):
        assert bench.gicc_read(offset) == 0


def test_what_can_be_written() -> None:
    bench = Bench()
    for offset, value in ((CTLR, 0x21F), (PMR, 0xF8), (BPR, 7), (ABPR, 7), (APR0, ONES), (NSAPR0, ONES)):
        bench.gicc(offset, ONES)
        assert bench.gicc_read(offset) == value
    for offset in (APR0 + 4, NSAPR0 + 4, RPR, GICC_IIDR, 0x40, 0x1004):
        before = bench.gicc_read(offset)
        bench.gicc(offset, ONES)
        assert bench.gicc_read(offset) == before
    bench.gicc(BPR, 0)
    bench.gicc(ABPR, 0)
    assert (bench.gicc_read(BPR), bench.gicc_read(ABPR)) == (2, 3)


def test_accesses_of_another_size_acknowledge_and_end_nothing() -> None:
    bench = Bench().start()
    bench.line(UART, True)
    interface = bench.gic.cpu_interface(0)
    for width in (1, 2, 8):
        assert interface.read(IAR, width) == 0
    assert interface.read(IAR + 1, 4) == 0
    assert bench.acknowledge() == UART
    for width in (1, 2, 8):
        interface.write(EOIR, width, UART)
    interface.write(EOIR + 2, 4, UART)
    assert bench.state(UART) == "active and pending"


# Groups ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "control", "irq", "fiq"),
    [
        (0, 0, False, False),
        (0, GRP0, True, False),
        (0, GRP0 | FIQ_EN, False, True),
        (0, GRP1 | FIQ_EN, False, False),
        (1, GRP1, True, False),
        (1, GRP1 | FIQ_EN, True, False),
        (1, GRP0 | FIQ_EN, False, False),
    ],
)
def test_groups_are_signalled_as_control_says(group: int, control: int, irq: bool, fiq: bool) -> None:
    bench = Bench().start(control=control)
    bench.group(UART, group)
    bench.line(UART, True)
    assert (bench.irq[0], bench.fiq[0]) == (irq, fiq)
    assert bench.gic.signalled(0) == (UART if irq or fiq else None)


@pytest.mark.parametrize(
    ("control", "enabled"),
    [
        (0, (False, False)),
        (GRP0, (True, False)),
        (GRP0 | FIQ_EN, (False, True)),
        (GRP1, (True, False)),
        (GRP0 | GRP1 | FIQ_EN, (True, True)),
        (FIQ_EN, (False, False)),
    ],
)
def test_which_outputs_are_enabled(control: int, enabled: tuple[bool, bool]) -> None:
    assert Bench().start(control=control).gic.enabled_groups(0) == enabled


def test_the_output_changes_with_fiq_enable() -> None:
    bench = Bench().start(control=GRP0)
    bench.line(UART, True)
    bench.gicc(CTLR, GRP0 | FIQ_EN)
    assert bench.edges == [(0, True, False), (0, False, True)]


@pytest.mark.parametrize(("enables", "group", "signalled"), [(1, 0, True), (1, 1, False), (2, 0, False), (2, 1, True)])
def test_the_distributor_forwards_enabled_groups(enables: int, group: int, signalled: bool) -> None:
    bench = Bench().start()
    bench.gicd(GICD_CTLR, enables)
    bench.group(UART, group)
    bench.line(UART, True)
    assert bench.irq[0] == signalled


def test_group_1_is_acknowledged_by_its_alias_or_with_ack_ctl() -> None:
    bench = Bench().start(control=GRP0 | GRP1)
    bench.group(UART, 1)
    bench.line(UART, True)
    assert bench.gicc_read(HPPIR) == bench.acknowledge() == GROUP1
    assert bench.gicc_read(AHPPIR) == bench.gicc_read(AIAR) == UART
    bench.gicc(AEOIR, UART)
    bench.gicc(CTLR, GRP0 | GRP1 | ACK_CTL)
    assert bench.gicc_read(HPPIR) == bench.acknowledge() == UART


def test_group_0_is_not_acknowledged_by_the_alias() -> None:
    bench = Bench().start(control=GRP0 | GRP1)
    bench.line(UART, True)
    assert bench.gicc_read(AHPPIR) == bench.gicc_read(AIAR) == SPURIOUS
    assert bench.gicc_read(HPPIR) == bench.acknowledge() == UART


def test_nothing_of_group_1_is_said_that_is_not_signalled() -> None:
    bench = Bench().start(control=GRP0 | GRP1)
    bench.group(UART, 1)
    bench.line(UART, True)
    bench.gicc(PMR, PRIORITY)
    assert bench.acknowledge() == SPURIOUS
    assert bench.gicc_read(HPPIR) == GROUP1
    bench.gicc(CTLR, GRP0)
    assert bench.gicc_read(HPPIR) == SPURIOUS


def test_the_alias_ends_group_1_only() -> None:
    bench = Bench().start()
    bench.group(DISK, 1)
    bench.line(UART, True)
    bench.acknowledge()
    bench.gicc(AEOIR, UART)
    bench.gicc(AEOIR, DISK)
    assert bench.gicc_read(RPR) == PRIORITY
    bench.end(UART)
    assert bench.gicc_read(RPR) == IDLE


def test_a_running_group_1_is_not_ended_by_the_alias_with_an_intid_of_group_0() -> None:
    bench = Bench().start()
    bench.group(DISK, 1)
    bench.line(DISK, True)
    bench.acknowledge()
    bench.gicc(AEOIR, UART)
    assert bench.gicc_read(RPR) == PRIORITY
    bench.gicc(AEOIR, DISK)
    assert bench.gicc_read(RPR) == IDLE


def test_group_1_is_ended_without_ack_ctl_too() -> None:
    bench = Bench().start(control=GRP0 | GRP1)
    bench.group(UART, 1)
    bench.pulse(UART)
    bench.edge(UART)
    bench.pulse(UART)
    assert bench.gicc_read(AIAR) == UART
    bench.end(UART)
    assert bench.gicc_read(RPR) == IDLE
    assert bench.state(UART) == "inactive"


# Priorities --------------------------------------------------------------------------------------------------------


def test_the_mask_lets_higher_priorities_pass() -> None:
    bench = Bench().start()
    bench.line(UART, True)
    bench.gicc(PMR, PRIORITY)
    assert not bench.irq[0]
    bench.gicc(PMR, PRIORITY + 8)
    assert bench.irq[0]


def test_a_higher_group_priority_preempts() -> None:
    bench = Bench().start()
    bench.line(UART, True)
    bench.acknowledge()
    bench.priority(TIMER, 0x80)
    bench.line(TIMER, True)
    assert bench.acknowledge() == TIMER
    assert bench.gicc_read(RPR) == 0x80
    assert bench.gicc_read(APR0) == 1 << 0x80 // 8 | 1 << PRIORITY // 8
    bench.end(TIMER)
    assert bench.gicc_read(RPR) == PRIORITY
    bench.end(UART)
    assert bench.gicc_read(RPR) == IDLE


@pytest.mark.parametrize(
    ("group", "register", "control", "point", "preempts"),
    [
        (0, BPR, 0, 4, True),
        (0, BPR, 0, 5, False),
        (0, ABPR, 0, 7, True),
        (1, ABPR, 0, 5, True),
        (1, ABPR, 0, 6, False),
        (1, BPR, 0, 7, True),
        (1, BPR, CBPR, 5, False),
        (1, ABPR, CBPR, 7, True),
    ],
)
def test_binary_points_say_which_bits_count(
    group: int, register: int, control: int, point: int, preempts: bool
) -> None:
    bench = Bench().start(control=GRP0 | GRP1 | ACK_CTL | control)
    bench.gicc(register, point)
    for intid in (UART, TIMER):
        bench.group(intid, group)
    bench.line(UART, True)
    bench.acknowledge()
    bench.priority(TIMER, 0x80)
    bench.line(TIMER, True)
    assert bench.irq[0] == preempts


def test_abpr_is_its_own_register_with_a_common_binary_point() -> None:
    bench = Bench()
    bench.gicc(CTLR, CBPR)
    bench.gicc(ABPR, 4)
    assert (bench.gicc_read(BPR), bench.gicc_read(ABPR)) == (2, 4)


def test_active_priorities_are_kept_by_group_and_can_be_restored() -> None:
    bench = Bench().start()
    bench.group(UART, 1)
    bench.line(UART, True)
    bench.acknowledge()
    assert (bench.gicc_read(APR0), bench.gicc_read(NSAPR0)) == (0, 1 << PRIORITY // 8)
    bench.gicc(APR0, 1 << 2)
    assert bench.gicc_read(RPR) == 0x10
    bench.end(UART)
    assert (bench.gicc_read(APR0), bench.gicc_read(NSAPR0)) == (0, 1 << PRIORITY // 8)


def test_a_priority_of_zero_is_the_highest_and_can_be_running() -> None:
    bench = Bench().start()
    bench.priority(UART, 0)
    bench.line(UART, True)
    assert bench.acknowledge() == UART
    assert bench.gicc_read(RPR) == 0
    assert bench.gicc_read(APR0) == 1


# Ending ------------------------------------------------------------------------------------------------------------


def test_ending_what_is_not_running_does_nothing() -> None:
    bench = Bench().start()
    bench.line(UART, True)
    bench.end(UART)
    assert bench.irq[0]
    bench.acknowledge()
    for intid in (SPURIOUS, GROUP1, 1020, 288):
        bench.end(intid)
    assert bench.gicc_read(RPR) == PRIORITY
    bench.gicc(DIR, UART)
    assert bench.state(UART) == "active and pending"


def test_priority_drop_and_deactivation_can_be_apart() -> None:
    bench = Bench().start(control=GRP0 | EOI_MODE)
    bench.line(UART, True)
    bench.acknowledge()
    bench.line(DISK, True)
    assert not bench.irq[0]
    bench.end(UART)
    assert bench.gicc_read(RPR) == IDLE
    assert bench.state(UART) == "active and pending"
    assert bench.acknowledge() == DISK
    bench.gicc(DIR, UART)
    assert bench.state(UART) == "pending"


def test_a_reset_of_the_interface_leaves_the_interrupts_alone() -> None:
    bench = Bench(2).start()
    bench.line(TIMER, True, cpu=1)
    bench.line(UART, True)
    bench.acknowledge(1)
    bench.line(TIMER, False, cpu=1)
    bench.gic.reset_interface(0)
    bench.gic.reset_interface(1)
    assert (bench.irq, bench.fiq) == ([False, False], [False, False])
    for cpu in bench.cpus:
        values = [bench.gicc_read(offset, cpu) for offset in (CTLR, PMR, BPR, RPR, ABPR, APR0, NSAPR0)]
        assert values == [0, 0, 2, IDLE, 3, 0, 0]
    assert (bench.state(UART), bench.state(TIMER, cpu=1)) == ("pending", "active")
    bench.gicc(PMR, 0xF8)
    bench.gicc(CTLR, GRP0)
    assert bench.acknowledge() == UART
