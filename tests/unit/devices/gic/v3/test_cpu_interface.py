"""The CPU interface: ICC_*_EL1, masking, grouping, preemption, end of interrupt (IHI 0069H, 4.8 and 12.2)."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.gicregs import IccCtlr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.devices.gic.v3 import ICC_REGISTERS

from .bench import DISK, IDLE, SPURIOUS, TIMER, UART, Bench

ONES = (1 << 64) - 1
READ_ONLY = ("IAR0", "IAR1", "HPPIR0", "HPPIR1", "RPR")
WRITE_ONLY = ("EOIR0", "EOIR1", "DIR", "SGI0R", "SGI1R", "ASGI1R")
READ_WRITE = ("PMR", "BPR0", "BPR1", "AP0R0", "AP1R0", "CTLR", "SRE", "IGRPEN0", "IGRPEN1")
CTLR_FIXED = 0x4_8400
EOI_MODE, CBPR = 2, 1


def reg(name: str) -> SysReg:
    return lookup(f"ICC_{name}_EL1")


def test_the_registers_are_those_of_a_gic_with_32_priorities() -> None:
    assert frozenset(reg(name) for name in (*READ_ONLY, *WRITE_ONLY, *READ_WRITE)) == ICC_REGISTERS


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_read_only_register_cannot_be_written(name: str) -> None:
    assert Bench().gic.cpu_interface(0).write(reg(name), 0) is False


@pytest.mark.parametrize("name", WRITE_ONLY)
def test_a_write_only_register_cannot_be_read(name: str) -> None:
    assert Bench().gic.cpu_interface(0).read(reg(name)) is None


@pytest.mark.parametrize("name", ["AP0R1", "AP0R3", "AP1R1", "AP1R3", "NMIAR1"])
def test_registers_of_more_priorities_and_of_nmis_do_not_exist(name: str) -> None:
    interface = Bench().gic.cpu_interface(0)
    assert interface.read(reg(name)) is None
    assert interface.write(reg(name), 0) is False


@pytest.mark.parametrize(
    ("name", "reset", "ones", "zeros"),
    [
        ("PMR", 0, 0xF8, 0),
        ("BPR0", 2, 7, 2),
        ("BPR1", 3, 7, 3),
        ("AP0R0", 0, 0xFFFF_FFFF, 0),
        ("AP1R0", 0, 0xFFFF_FFFF, 0),
        ("CTLR", CTLR_FIXED, CTLR_FIXED | EOI_MODE | CBPR, CTLR_FIXED),
        ("SRE", 7, 7, 7),
        ("IGRPEN0", 0, 1, 0),
        ("IGRPEN1", 0, 1, 0),
    ],
)
def test_register(name: str, reset: int, ones: int, zeros: int) -> None:
    bench = Bench()
    assert bench.icc_read(name) == reset
    bench.icc(name, ONES)
    assert bench.icc_read(name) == ones
    bench.icc(name, 0)
    assert bench.icc_read(name) == zeros


@pytest.mark.parametrize("name", ["CTLR", "IGRPEN0", "IGRPEN1", "BPR0", "BPR1"])
def test_the_other_bits_of_a_register_set_nothing(name: str) -> None:
    bench = Bench()
    reset = bench.icc_read(name)
    bench.icc(name, ONES & ~0b111)
    assert bench.icc_read(name) == reset


@pytest.mark.parametrize("value", [EOI_MODE, CBPR])
def test_the_modes_of_ctlr_are_independent(value: int) -> None:
    bench = Bench()
    bench.icc("CTLR", value)
    assert bench.icc_read("CTLR") == CTLR_FIXED | value


def test_ctlr_tells_what_there_is() -> None:
    assert IccCtlr(Bench().icc_read("CTLR")).as_dict() == {
        "ExtRange": 0, "RSS": 1, "A3V": 1, "SEIS": 0, "IDbits": 0, "PRIbits": 4, "PMHE": 0, "EOImode": 0, "CBPR": 0,
    }  # fmt: skip


def test_an_idle_interface_reads_as_spurious_and_idle() -> None:
    bench = Bench().start()
    for name in ("IAR0", "IAR1", "HPPIR0", "HPPIR1"):
        assert bench.icc_read(name) == SPURIOUS
    assert bench.icc_read("RPR") == IDLE


def test_registers_are_those_of_one_pe() -> None:
    bench = Bench((0, 1))
    bench.icc("PMR", 0xF0, cpu=1)
    assert (bench.icc_read("PMR", 0), bench.icc_read("PMR", 1)) == (0, 0xF0)


# Masking -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mask", "heard"), [(0xA8, True), (0xA0, False), (0x98, False), (0, False)])
def test_only_priorities_higher_than_the_mask_are_signalled(mask: int, heard: bool) -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    bench.icc("PMR", mask)
    assert bench.irq == [heard]
    assert bench.icc_read("HPPIR1") == TIMER
    assert bench.acknowledge() == (TIMER if heard else SPURIOUS)


def test_the_lowest_priority_is_never_signalled() -> None:
    bench = Bench().start()
    bench.priority(TIMER, 0xFF)
    bench.icc("PMR", 0xFF)
    bench.line(TIMER, True)
    assert bench.irq == [False]


def test_a_group_that_is_disabled_at_the_interface_is_neither_signalled_nor_shown() -> None:
    bench = Bench().start()
    bench.icc("IGRPEN1", 0)
    bench.line(TIMER, True)
    assert (bench.irq, bench.acknowledge(), bench.icc_read("HPPIR1")) == ([False], SPURIOUS, SPURIOUS)
    bench.icc("IGRPEN1", 1)
    assert (bench.irq, bench.icc_read("HPPIR1")) == ([True], TIMER)


def test_an_interrupt_of_a_disabled_group_hides_those_below_it() -> None:
    """The best pending interrupt is chosen before the interface's group enables (12.2, ICC_HPPIR1_EL1)."""
    bench = Bench().start()
    bench.group(UART, 0)
    bench.priority(UART, 0x10)
    bench.icc("IGRPEN0", 0)
    bench.line(UART, True)
    bench.line(TIMER, True)
    assert bench.irq == [False]
    assert bench.icc_read("HPPIR1") == SPURIOUS


# Groups --------------------------------------------------------------------------------------------------------


def test_group_0_is_fiq_and_group_1_is_irq() -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    assert (bench.irq, bench.fiq) == ([True], [False])
    bench.group(TIMER, 0)
    assert (bench.irq, bench.fiq) == ([False], [True])


def test_an_interrupt_is_seen_through_the_registers_of_its_group_only() -> None:
    bench = Bench().start(group=0)
    bench.line(TIMER, True)
    assert (bench.icc_read("HPPIR1"), bench.acknowledge(group=1)) == (SPURIOUS, SPURIOUS)
    assert (bench.icc_read("HPPIR0"), bench.acknowledge(group=0)) == (TIMER, TIMER)
    assert (bench.icc_read("AP0R0"), bench.icc_read("AP1R0")) == (1 << 20, 0)


def test_an_end_through_the_other_group_is_ignored() -> None:
    bench = Bench().start(group=0)
    bench.line(TIMER, True)
    bench.acknowledge(group=0)
    bench.end(TIMER, group=1)
    assert (bench.icc_read("RPR"), bench.state(TIMER)) == (0xA0, "active and pending")
    bench.end(TIMER, group=0)
    assert (bench.icc_read("RPR"), bench.state(TIMER)) == (IDLE, "pending")


def test_interrupts_of_two_groups_nest() -> None:
    bench = Bench().start()
    for intid, group, priority in ((TIMER, 0, 0xC0), (UART, 1, 0x80), (DISK, 0, 0x40)):
        bench.group(intid, group)
        bench.priority(intid, priority)
        bench.line(intid, True)
        assert bench.acknowledge(group=group) == intid
    assert (bench.icc_read("AP0R0"), bench.icc_read("AP1R0")) == (1 << 24 | 1 << 8, 1 << 16)
    for intid, group, running in ((DISK, 0, 0x80), (UART, 1, 0xC0), (TIMER, 0, IDLE)):
        bench.line(intid, False)
        bench.end(intid, group=1 - group)
        assert bench.state(intid) == "active"
        bench.end(intid, group=group)
        assert (bench.icc_read("RPR"), bench.state(intid)) == (running, "inactive")


def test_of_two_groups_active_at_one_priority_group_0_ends_first() -> None:
    bench = Bench().start()
    for name in ("AP0R0", "AP1R0"):
        bench.icc(name, 1 << 5)
    bench.end(TIMER, group=1)
    assert (bench.icc_read("AP0R0"), bench.icc_read("AP1R0")) == (1 << 5, 1 << 5)
    bench.end(TIMER, group=0)
    assert (bench.icc_read("AP0R0"), bench.icc_read("AP1R0")) == (0, 1 << 5)
    bench.end(TIMER, group=1)
    assert bench.icc_read("RPR") == IDLE


# Preemption ----------------------------------------------------------------------------------------------------


def test_three_interrupts_preempt_each_other_and_end_in_reverse_order() -> None:
    bench = Bench().start()
    nested = [(TIMER, 0xC0), (UART, 0x80), (DISK, 0x40)]
    for intid, priority in nested:
        bench.priority(intid, priority)
    for intid, priority in nested:
        bench.pulse(intid)
        assert bench.irq == [False]
        bench.line(intid, True)
        assert bench.irq == [True]
        assert bench.acknowledge() == intid
        assert bench.icc_read("RPR") == priority
        bench.line(intid, False)
    assert bench.icc_read("AP1R0") == 1 << 24 | 1 << 16 | 1 << 8
    for left in (2, 1, 0):
        bench.end(nested[left][0])
        assert bench.icc_read("RPR") == (nested[left - 1][1] if left else IDLE)
    assert bench.icc_read("AP1R0") == 0
    assert bench.irq == [False]


@pytest.mark.parametrize(("priority", "preempts"), [(0x98, True), (0xA0, False), (0xA8, False)])
def test_only_a_higher_priority_preempts(priority: int, preempts: bool) -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    bench.acknowledge()
    bench.priority(UART, priority)
    bench.line(UART, True)
    assert bench.irq == [preempts]
    assert bench.acknowledge() == (UART if preempts else SPURIOUS)
    assert bench.icc_read("HPPIR1") == (SPURIOUS if preempts else UART)


def test_what_could_not_preempt_is_signalled_after_the_end() -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    assert bench.acknowledge() == TIMER
    bench.line(TIMER, False)
    bench.line(UART, True)
    assert bench.irq == [False]
    bench.end(TIMER)
    assert bench.irq == [True]
    assert bench.acknowledge() == UART


@pytest.mark.parametrize(
    ("bpr", "running", "pending", "preempts", "active"),
    [
        (3, 0x48, 0x40, True, 9),
        (4, 0x48, 0x40, False, 8),
        (4, 0x58, 0x48, True, 10),
        (5, 0x58, 0x48, False, 8),
        (6, 0xB8, 0x80, False, 16),
        (6, 0xB8, 0x78, True, 16),
        (7, 0x78, 0x00, False, 0),
        (7, 0x80, 0x78, True, 16),
    ],
)
def test_group_1_preempts_by_the_priority_above_its_binary_point(
    bpr: int, running: int, pending: int, preempts: bool, active: int
) -> None:
    """Priority grouping (4.8): ICC_BPR1_EL1 = n takes bits [7:n] as group priority."""
    bench = Bench().start()
    bench.icc("BPR1", bpr)
    bench.priority(TIMER, running)
    bench.priority(UART, pending)
    bench.line(TIMER, True)
    bench.acknowledge()
    assert bench.icc_read("AP1R0") == 1 << active
    assert bench.icc_read("RPR") == 8 * active
    bench.line(UART, True)
    assert bench.irq == [preempts]


@pytest.mark.parametrize(
    ("bpr", "running", "pending", "preempts", "active"),
    [
        (2, 0x48, 0x40, True, 9),
        (3, 0x48, 0x40, False, 8),
        (3, 0x58, 0x48, True, 10),
        (6, 0xB8, 0x78, True, 16),
        (7, 0xF0, 0x00, False, 0),
    ],
)
def test_group_0_preempts_by_the_priority_above_its_binary_point(
    bpr: int, running: int, pending: int, preempts: bool, active: int
) -> None:
    """Priority grouping (4.8): ICC_BPR0_EL1 = n takes bits [7:n+1]; 7 means no preemption at all."""
    bench = Bench().start(group=0)
    bench.icc("BPR0", bpr)
    bench.priority(TIMER, running)
    bench.priority(UART, pending)
    bench.line(TIMER, True)
    assert bench.acknowledge(group=0) == TIMER
    assert bench.icc_read("AP0R0") == 1 << active
    bench.line(UART, True)
    assert bench.fiq == [preempts]


@pytest.mark.parametrize(("group", "output", "bpr"), [(0, "fiq", 3), (1, "irq", 4)])
def test_both_priorities_are_cut_at_the_binary_point_of_the_pending_interrupt(
    group: int, output: str, bpr: int
) -> None:
    """0x40 and 0x48 have one group priority for it, although the running interrupt took 0x48 for its own."""
    bench = Bench().start(group=group)
    bench.icc(f"AP{1 - group}R0", 1 << 9)
    bench.priority(UART, 0x40)
    bench.line(UART, True)
    assert getattr(bench, output) == [True]
    bench.icc(f"BPR{group}", bpr)
    assert getattr(bench, output) == [False]
    bench.priority(UART, 0x38)
    assert getattr(bench, output) == [True]


def test_with_a_common_binary_point_group_1_follows_that_of_group_0() -> None:
    bench = Bench().start()
    bench.icc("BPR0", 4)
    bench.icc("BPR1", 6)
    bench.icc("CTLR", CBPR)
    assert bench.icc_read("BPR1") == 5
    bench.icc("BPR1", 7)
    bench.priority(TIMER, 0x58)
    bench.priority(UART, 0x38)
    bench.line(TIMER, True)
    bench.acknowledge()
    assert bench.icc_read("RPR") == 0x40
    bench.icc("BPR0", 7)
    assert bench.icc_read("BPR1") == 7
    bench.line(UART, True)
    assert bench.irq == [False]
    bench.icc("CTLR", 0)
    assert bench.icc_read("BPR1") == 6
    assert bench.irq == [True]


def test_the_priority_mask_is_compared_with_the_whole_priority() -> None:
    bench = Bench().start()
    bench.icc("BPR1", 7)
    bench.priority(TIMER, 0x90)
    bench.icc("PMR", 0x90)
    bench.line(TIMER, True)
    assert bench.irq == [False]
    bench.icc("PMR", 0x98)
    assert bench.irq == [True]


def test_writing_the_active_priorities_changes_the_running_priority() -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    bench.icc("AP1R0", 1 << 3 | 1 << 30)
    assert bench.icc_read("RPR") == 0x18
    assert bench.irq == [False]
    bench.icc("AP0R0", 1)
    assert bench.icc_read("RPR") == 0
    bench.icc("AP0R0", 0)
    bench.icc("AP1R0", 1 << 30)
    assert bench.icc_read("RPR") == 0xF0
    assert bench.irq == [True]


def test_priority_changes_reorder_what_is_pending() -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    bench.line(UART, True)
    assert bench.icc_read("HPPIR1") == TIMER
    bench.priority(UART, 0x20)
    assert bench.icc_read("HPPIR1") == UART
    bench.priority(UART, 0xA0)
    assert bench.icc_read("HPPIR1") == TIMER
    bench.priority(TIMER, 0xA8)
    assert bench.icc_read("HPPIR1") == UART


# End of interrupt ----------------------------------------------------------------------------------------------


def test_with_eoi_mode_0_an_end_drops_the_priority_and_deactivates() -> None:
    bench = Bench().start()
    bench.pulse(TIMER)
    bench.line(TIMER, True)
    bench.acknowledge()
    bench.line(TIMER, False)
    assert (bench.icc_read("RPR"), bench.state(TIMER)) == (0xA0, "active")
    bench.end(TIMER)
    assert (bench.icc_read("RPR"), bench.state(TIMER)) == (IDLE, "inactive")


def test_with_eoi_mode_1_an_end_drops_the_priority_and_dir_deactivates() -> None:
    bench = Bench().start()
    bench.icc("CTLR", EOI_MODE)
    bench.line(TIMER, True)
    bench.line(UART, True)
    assert bench.acknowledge() == TIMER
    bench.end(TIMER)
    assert (bench.icc_read("RPR"), bench.state(TIMER)) == (IDLE, "active and pending")
    assert bench.irq == [True]
    assert bench.acknowledge() == UART
    bench.icc("DIR", TIMER)
    assert (bench.icc_read("RPR"), bench.state(TIMER)) == (0xA0, "pending")
    bench.line(TIMER, False)
    bench.line(UART, False)
    bench.end(UART)
    bench.icc("DIR", UART)
    assert bench.state(UART) == "inactive"


def test_dir_is_ignored_with_eoi_mode_0() -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    bench.acknowledge()
    bench.icc("DIR", TIMER)
    assert bench.state(TIMER) == "active and pending"


@pytest.mark.parametrize("intid", [256, 1019, 1020, 1021, 1022, 1023, 8192, 0xFF_FFFF])
@pytest.mark.parametrize("mode", [0, EOI_MODE])
def test_ends_of_special_and_missing_interrupts_are_ignored(intid: int, mode: int) -> None:
    bench = Bench(spis=224).start()
    bench.icc("CTLR", mode)
    bench.line(TIMER, True)
    bench.acknowledge()
    bench.end(intid)
    bench.icc("DIR", intid)
    assert (bench.icc_read("RPR"), bench.state(TIMER)) == (0xA0, "active and pending")


def test_an_end_without_an_active_priority_is_ignored() -> None:
    bench = Bench().start()
    bench.bit(0x300, TIMER)
    bench.end(TIMER)
    assert (bench.state(TIMER), bench.icc_read("RPR")) == ("active", IDLE)


def test_an_end_of_another_interrupt_drops_the_highest_priority_and_deactivates_the_one_named() -> None:
    bench = Bench().start()
    bench.priority(UART, 0x40)
    for intid in (TIMER, UART):
        bench.line(intid, True)
        bench.acknowledge()
        bench.line(intid, False)
    bench.end(TIMER)
    assert (bench.icc_read("RPR"), bench.state(TIMER), bench.state(UART)) == (0xA0, "inactive", "active")
    bench.end(UART)
    assert (bench.icc_read("RPR"), bench.state(UART)) == (IDLE, "inactive")


def test_an_end_of_an_inactive_interrupt_leaves_its_state() -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    bench.acknowledge()
    bench.end(DISK)
    assert (bench.icc_read("RPR"), bench.state(DISK), bench.state(TIMER)) == (IDLE, "inactive", "active and pending")


def test_the_upper_bits_of_an_end_are_ignored() -> None:
    bench = Bench().start()
    bench.line(TIMER, True)
    bench.acknowledge()
    bench.icc("EOIR1", 0xFFFF_FFFF_FF00_0000 | TIMER)
    assert bench.state(TIMER) == "pending"
    bench.icc("CTLR", EOI_MODE)
    bench.acknowledge()
    bench.icc("DIR", 0xFFFF_FFFF_FF00_0000 | TIMER)
    assert bench.state(TIMER) == "pending"


def test_one_pe_can_deactivate_a_shared_interrupt_of_another() -> None:
    bench = Bench((0, 1)).start()
    bench.icc("CTLR", EOI_MODE, cpu=1)
    bench.line(UART, True)
    bench.acknowledge(0)
    bench.icc("EOIR1", UART, cpu=0)
    assert bench.irq == [True, False]
    bench.acknowledge(0)
    bench.icc("DIR", UART, cpu=1)
    assert bench.state(UART) == "pending"
    bench.icc("AP1R0", 0, cpu=0)
    assert bench.irq == [True, False]


def test_a_private_interrupt_of_another_pe_is_not_deactivated() -> None:
    bench = Bench((0, 1)).start()
    bench.icc("CTLR", EOI_MODE, cpu=1)
    bench.line(TIMER, True, cpu=0)
    bench.acknowledge(0)
    bench.icc("DIR", TIMER, cpu=1)
    assert bench.state(TIMER, cpu=0) == "active and pending"
