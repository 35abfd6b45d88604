"""Routing of interrupts: private ones to their PE, shared ones to the PEs in their target list (IHI 0048B, 1.4.3)."""

from __future__ import annotations

from arm_vcpu_cli.devices.gic.controller import InterruptController

from .bench import CTLR, DISK, GRP0, ISENABLER, ISPENDR, SPURIOUS, TIMER, UART, Bench


def test_a_private_interrupt_is_the_pes_own() -> None:
    bench = Bench(2).start()
    bench.line(TIMER, True, cpu=1)
    assert bench.irq == [False, True]
    bench.line(TIMER, True, cpu=0)
    assert [bench.acknowledge(cpu) for cpu in bench.cpus] == [TIMER, TIMER]


def test_a_shared_interrupt_goes_to_all_its_targets_and_the_first_takes_it() -> None:
    bench = Bench(4).start()
    bench.target(UART, 0b1011)
    bench.line(UART, True)
    assert bench.irq == [True, True, False, True]
    assert bench.acknowledge(3) == UART
    assert bench.irq == [False, False, False, False]
    assert [bench.acknowledge(cpu) for cpu in bench.cpus] == [SPURIOUS] * 4
    bench.end(UART, 3)
    assert bench.irq == [True, True, False, True]


def test_a_shared_interrupt_without_targets_goes_nowhere() -> None:
    bench = Bench(2).start()
    bench.target(UART, 0)
    bench.line(UART, True)
    assert bench.irq == [False, False]
    bench.target(UART, 2)
    assert bench.irq == [False, True]
    bench.target(UART, 1)
    assert bench.irq == [True, False]


def test_a_shared_interrupt_can_be_ended_by_one_who_is_no_target_any_longer() -> None:
    bench = Bench(2).start()
    bench.line(UART, True)
    assert bench.acknowledge(0) == UART
    bench.target(UART, 2)
    assert bench.irq == [False, False]
    bench.end(UART, 0)
    assert bench.irq == [False, True]


def test_one_pe_is_busy_and_the_other_gets_it() -> None:
    bench = Bench(2).start()
    bench.target(UART, 3)
    bench.target(DISK, 3)
    bench.line(UART, True)
    assert bench.acknowledge(0) == UART
    bench.line(DISK, True)
    assert bench.irq == [False, True]
    assert bench.acknowledge(1) == DISK


def test_a_pe_with_its_interface_off_gets_nothing() -> None:
    bench = Bench(2).start()
    bench.target(UART, 3)
    bench.gicc(CTLR, 0, cpu=0)
    bench.line(UART, True)
    assert bench.irq == [False, True]
    bench.gicc(CTLR, GRP0, cpu=0)
    assert bench.irq == [True, True]


def test_an_interrupt_that_is_not_enabled_is_only_pending() -> None:
    bench = Bench(2)
    bench.start()
    bench.gicd(0x180 + 4, 1 << UART % 32)
    bench.line(UART, True)
    assert bench.test(ISPENDR, UART)
    assert bench.irq == [False, False]
    bench.bit(ISENABLER, UART)
    assert bench.irq == [True, False]


def test_the_best_of_private_and_shared_is_signalled() -> None:
    bench = Bench(2).start()
    bench.line(UART, True)
    bench.line(TIMER, True)
    assert bench.gic.signalled(0) == TIMER
    bench.priority(UART, 0x40)
    assert bench.gic.signalled(0) == UART
    assert bench.acknowledge() == UART


def test_a_level_is_signalled_again_when_it_has_ended() -> None:
    bench = Bench().start()
    bench.line(UART, True)
    assert bench.acknowledge() == UART
    assert not bench.irq[0]
    bench.end(UART)
    assert bench.irq[0]
    bench.line(UART, False)
    assert not bench.irq[0]
    assert bench.acknowledge() == SPURIOUS


def test_a_machine_can_have_it_as_any_other_interrupt_controller() -> None:
    bench = Bench(2).start()
    controller: InterruptController = bench.gic
    controller.spi(UART)(True)
    controller.ppi(1, TIMER)(True)
    assert [controller.signalled(cpu) for cpu in bench.cpus] == [UART, TIMER]
    controller.reset_interface(1)
    assert [controller.enabled_groups(cpu) for cpu in bench.cpus] == [(True, False), (False, False)]
