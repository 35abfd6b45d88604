"""Watching a GIC: every step in the life of an interrupt is reported once, in order, whatever the guest does."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from .bench import (
    DISK,
    GICD_CTLR,
    ICACTIVER,
    ICENABLER,
    IRM,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    SETSPI,
    TIMER,
    UART,
    WAKER,
    Bench,
)
from .model import Interrupt
from .test_model import GicMachine, cpus, groups, inputs

Event = tuple[str, int, int]


class Watched(Bench):
    """A started GIC with a watcher; :meth:`told` gives what it was told since the last time."""

    def __init__(self, affinities: tuple[int, ...] = (0,)) -> None:
        super().__init__(affinities)
        self.start()
        self.events: list[Event] = []
        self.gic.watch(self.watcher)

    def watcher(self, action: str, cpu: int, intid: int) -> None:
        self.events.append((action, cpu, intid))

    def told(self) -> list[Event]:
        events, self.events = self.events, []
        return events


def test_a_device_interrupt_is_raised_injected_acknowledged_and_ended() -> None:
    bench = Watched()
    bench.line(UART, True)
    assert bench.told() == [("raised", 0, UART), ("injected", 0, UART)]
    assert bench.acknowledge() == UART
    assert bench.told() == [("acknowledged", 0, UART)]
    bench.line(UART, False)
    assert bench.told() == []
    bench.end(UART)
    assert bench.told() == [("ended", 0, UART)]


def test_a_level_that_stays_up_is_raised_again_when_its_interrupt_ends() -> None:
    bench = Watched()
    bench.line(UART, True)
    bench.acknowledge()
    bench.told()
    bench.end(UART)
    assert bench.told() == [("ended", 0, UART), ("raised", 0, UART), ("injected", 0, UART)]


def test_a_level_that_stays_up_is_not_raised_again_before() -> None:
    bench = Watched()
    bench.line(UART, True)
    bench.acknowledge()
    bench.told()
    bench.line(DISK, True)
    bench.bit(ISPENDR, UART)
    assert bench.told() == [("raised", 0, DISK)]


def test_a_level_that_goes_up_again_while_its_interrupt_is_active_is_raised_then_and_not_once_more() -> None:
    bench = Watched()
    bench.line(UART, True)
    bench.acknowledge()
    bench.line(UART, False)
    bench.told()
    bench.line(UART, True)
    assert bench.told() == [("raised", 0, UART)]
    bench.end(UART)
    assert bench.told() == [("ended", 0, UART), ("injected", 0, UART)]


def test_an_edge_during_the_handler_is_a_second_interrupt() -> None:
    bench = Watched()
    bench.edge(DISK)
    bench.pulse(DISK)
    bench.acknowledge()
    bench.told()
    bench.pulse(DISK)
    bench.pulse(DISK)
    bench.end(DISK)
    assert bench.told() == [("raised", 0, DISK), ("ended", 0, DISK), ("injected", 0, DISK)]


def test_what_is_pending_already_is_not_raised() -> None:
    bench = Watched()
    bench.line(UART, True)
    bench.told()
    bench.bit(ISPENDR, UART)
    bench.line(UART, True)
    bench.gicd(SETSPI, UART)
    assert bench.told() == []


def test_a_line_that_is_withdrawn_is_raised_and_injected_anew() -> None:
    bench = Watched()
    bench.line(UART, True)
    bench.line(UART, False)
    assert bench.told() == [("raised", 0, UART), ("injected", 0, UART), ("withdrawn", 0, UART)]
    assert bench.acknowledge() == 1023
    assert bench.told() == []
    bench.line(UART, True)
    assert bench.told() == [("raised", 0, UART), ("injected", 0, UART)]


def test_disabled_interrupts_are_raised_and_injected_once_they_are_enabled() -> None:
    bench = Watched()
    bench.bit(ICENABLER, UART)
    bench.line(UART, True)
    assert bench.told() == [("raised", 0, UART)]
    bench.bit(ISENABLER, UART)
    assert bench.told() == [("injected", 0, UART)]


def test_the_priority_mask_holds_the_injection_back() -> None:
    bench = Watched()
    bench.icc("PMR", 0)
    bench.line(UART, True)
    assert bench.told() == [("raised", 0, UART)]
    bench.icc("PMR", 0xF8)
    assert bench.told() == [("injected", 0, UART)]
    bench.icc("PMR", 0)
    bench.icc("PMR", 0xF8)
    assert bench.told() == [("injected", 0, UART)]


def test_a_sleeping_pe_and_a_disabled_distributor_hear_of_nothing() -> None:
    bench = Watched()
    bench.gicr(0, WAKER, 2)
    bench.gicd(GICD_CTLR, 0)
    bench.line(TIMER, True)
    assert bench.told() == [("raised", 0, TIMER)]
    bench.gicr(0, WAKER, 0)
    assert bench.told() == []
    bench.gicd(GICD_CTLR, 2)
    assert bench.told() == [("injected", 0, TIMER)]


def test_a_better_interrupt_takes_the_place_of_the_one_that_is_signalled() -> None:
    bench = Watched()
    bench.priority(DISK, 0x40)
    bench.line(UART, True)
    bench.told()
    bench.line(DISK, True)
    assert bench.edges == [(0, True, False)]
    assert bench.told() == [("raised", 0, DISK), ("injected", 0, DISK)]
    bench.line(DISK, False)
    assert bench.told() == [("withdrawn", 0, DISK), ("injected", 0, UART)]


def test_preemption() -> None:
    bench = Watched()
    bench.priority(DISK, 0x40)
    bench.line(UART, True)
    bench.acknowledge()
    bench.line(UART, False)
    bench.told()
    bench.line(DISK, True)
    assert bench.acknowledge() == DISK
    bench.line(DISK, False)
    bench.end(DISK)
    bench.end(UART)
    assert bench.told() == [
        ("raised", 0, DISK),
        ("injected", 0, DISK),
        ("acknowledged", 0, DISK),
        ("ended", 0, DISK),
        ("ended", 0, UART),
    ]


def test_an_interrupt_of_group_0_is_injected_as_well() -> None:
    bench = Watched()
    bench.group(UART, 0)
    bench.line(UART, True)
    assert bench.fiq == [True]
    assert bench.acknowledge(group=0) == UART
    assert bench.told() == [("raised", 0, UART), ("injected", 0, UART), ("acknowledged", 0, UART)]


def test_a_change_of_group_moves_the_signal_to_the_other_output() -> None:
    bench = Watched()
    bench.line(UART, True)
    bench.told()
    bench.group(UART, 0)
    assert (bench.irq, bench.fiq) == ([False], [True])
    assert bench.told() == [("injected", 0, UART)]


def test_an_acknowledge_of_the_wrong_group_takes_nothing() -> None:
    bench = Watched()
    bench.line(UART, True)
    bench.told()
    assert bench.acknowledge(group=0) == 1023
    assert bench.told() == []


def test_with_split_eoi_the_interrupt_ends_when_it_is_deactivated() -> None:
    bench = Watched()
    bench.icc("CTLR", 2)
    bench.edge(DISK)
    bench.pulse(DISK)
    bench.acknowledge()
    bench.told()
    bench.end(DISK)
    assert bench.told() == []
    bench.icc("DIR", DISK)
    assert bench.told() == [("ended", 0, DISK)]


def test_icactiver_ends_what_was_acknowledged_and_only_that() -> None:
    bench = Watched()
    bench.bit(ISACTIVER, DISK)
    bench.bit(ICACTIVER, DISK)
    assert bench.told() == []
    bench.edge(DISK)
    bench.pulse(DISK)
    bench.acknowledge()
    bench.told()
    bench.bit(ICACTIVER, DISK)
    bench.bit(ICACTIVER, DISK)
    assert bench.told() == [("ended", 0, DISK)]


def test_an_sgi_is_raised_at_each_target_and_told_with_its_pe() -> None:
    bench = Watched((0, 1, 2))
    bench.icc("SGI1R", 5 << 24 | 1 << 40, 1)
    assert bench.told() == [("raised", 0, 5), ("injected", 0, 5), ("raised", 2, 5), ("injected", 2, 5)]
    assert bench.acknowledge(2) == 5
    bench.end(5, 2)
    assert bench.told() == [("acknowledged", 2, 5), ("ended", 2, 5)]


def test_private_interrupts_of_two_pes_are_two() -> None:
    bench = Watched((0, 1))
    bench.line(TIMER, True, 1)
    bench.line(TIMER, True, 0)
    assert bench.told() == [("raised", 1, TIMER), ("injected", 1, TIMER), ("raised", 0, TIMER), ("injected", 0, TIMER)]


def test_a_shared_interrupt_is_raised_at_the_pe_that_it_is_routed_to() -> None:
    bench = Watched((0, 1))
    bench.route(UART, 1)
    bench.line(UART, True)
    assert bench.told() == [("raised", 1, UART), ("injected", 1, UART)]
    assert bench.acknowledge(1) == UART
    bench.line(UART, False)
    bench.route(UART, 0)
    bench.end(UART, 1)
    assert bench.told() == [("acknowledged", 1, UART), ("ended", 1, UART)]


def test_an_interrupt_that_moves_is_injected_elsewhere_but_not_raised_again() -> None:
    bench = Watched((0, 1))
    bench.line(UART, True)
    bench.told()
    bench.route(UART, 1)
    assert bench.told() == [("injected", 1, UART)]


def test_an_interrupt_that_goes_nowhere_is_raised() -> None:
    bench = Watched((0, 1))
    bench.route(UART, 7)
    bench.line(UART, True)
    assert bench.told() == [("raised", -1, UART)]
    bench.line(UART, False)
    bench.line(UART, True)
    assert bench.told() == [("withdrawn", -1, UART), ("raised", -1, UART)]
    bench.route(UART, IRM)
    assert bench.told() == [("injected", 0, UART)]


def test_messages_and_software_raise_interrupts() -> None:
    bench = Watched()
    bench.gicd(SETSPI, DISK)
    bench.bit(ISPENDR, UART)
    bench.bit(ISPENDR, TIMER)
    assert [event for event in bench.told() if event[0] == "raised"] == [
        ("raised", 0, DISK),
        ("raised", 0, UART),
        ("raised", 0, TIMER),
    ]


def test_nothing_is_told_any_longer_once_the_watcher_is_gone() -> None:
    bench = Watched((0, 1))
    bench.route(DISK, 7)
    bench.gic.watch(None)
    bench.line(UART, True)
    bench.line(DISK, True)
    assert bench.acknowledge() == UART
    bench.line(UART, False)
    bench.end(UART)
    assert bench.told() == []
    assert (bench.irq, bench.state(UART)) == ([False, False], "inactive")


def test_watching_again_tells_nothing_of_what_happened_meanwhile() -> None:
    bench = Watched()
    bench.gic.watch(None)
    bench.line(UART, True)
    bench.gic.watch(bench.watcher)
    bench.icc("PMR", 0xF0)
    bench.bit(ISENABLER, UART)
    assert bench.told() == []
    bench.acknowledge()
    assert bench.told() == [("acknowledged", 0, UART)]


def test_what_is_active_when_watching_begins_ends() -> None:
    bench = Watched((0, 1))
    bench.gic.watch(None)
    bench.route(UART, 1)
    bench.line(UART, True)
    bench.acknowledge(1)
    bench.gic.watch(bench.watcher)
    bench.end(UART, 1)
    assert bench.told() == [("ended", 1, UART), ("raised", 1, UART), ("injected", 1, UART)]


def test_of_two_watchers_the_last_is_told() -> None:
    bench = Watched()
    events: list[Event] = []
    bench.gic.watch(lambda *event: events.append(event))
    bench.line(UART, True)
    assert bench.told() == []
    assert events == [("raised", 0, UART), ("injected", 0, UART)]


def test_the_interrupt_that_a_pe_is_signalled() -> None:
    bench = Watched((0, 1))
    assert [bench.gic.signalled(cpu) for cpu in bench.cpus] == [None, None]
    bench.line(UART, True)
    bench.line(TIMER, True, 1)
    assert [bench.gic.signalled(cpu) for cpu in bench.cpus] == [UART, TIMER]
    bench.icc("PMR", 0, 1)
    assert [bench.gic.signalled(cpu) for cpu in bench.cpus] == [UART, None]
    bench.acknowledge()
    assert bench.gic.signalled(0) is None
    bench.group(TIMER, 0, 1)
    bench.icc("PMR", 0xF8, 1)
    assert bench.gic.signalled(1) == TIMER == bench.acknowledge(1, group=0)


class BusyMachine(GicMachine):
    """A GIC whose PEs take and end interrupts more often than they reconfigure them."""

    @initialize(started=st.sampled_from([True, True, True, False]))
    def build(self, started: bool) -> None:
        super().build(started)
        self.taken: list[tuple[int, int, int]] = []

    @rule(cpu=cpus, group=groups)
    def acknowledge(self, cpu: int, group: int) -> None:
        intid = self.device.acknowledge(cpu, group)
        assert intid == self.model.acknowledge(cpu, group)
        if intid != 1023:
            self.taken.append((cpu, group, intid))
            self.on_acknowledged(cpu, intid)

    def on_acknowledged(self, cpu: int, intid: int) -> None:
        """Told by the rule that acknowledges."""

    @rule(intid=inputs, cpu=cpus)
    def interrupt(self, intid: int, cpu: int) -> None:
        self.line(intid=intid, cpu=cpu, level=True)

    @rule()
    def take(self) -> None:
        for cpu in range(len(self.model.pes)):
            for group in (0, 1):
                if self.model.signalled(cpu, group):
                    self.acknowledge(cpu=cpu, group=group)

    @precondition(lambda self: self.taken)
    @rule()
    def finish(self) -> None:
        cpu, group, intid = self.taken.pop()
        self.end(cpu=cpu, group=group, intid=intid)


class WatchedMachine(BusyMachine):
    """What the model says that must be told of each step, against what is told."""

    @initialize(started=st.sampled_from([True, True, True, False]))
    def build(self, started: bool) -> None:
        super().build(started)
        self.events: list[Event] = []
        self.device.gic.watch(lambda action, cpu, intid: self.events.append((action, cpu, intid)))
        self.acknowledged: list[Event] = []
        self.takers: dict[tuple[int, int], int] = {}
        self.held: set[tuple[int, int]] = set()
        self.requests: set[tuple[int, int]] = set()
        self.outputs: list[tuple[int, int] | None] = [None for _ in self.model.pes]

    def on_acknowledged(self, cpu: int, intid: int) -> None:
        self.acknowledged.append(("acknowledged", cpu, intid))

    def interrupts(self) -> dict[tuple[int, int], Interrupt]:
        """All by the PE they belong to, -1 for shared ones, and INTID."""
        private = {(cpu, each.intid): each for cpu, pe in enumerate(self.model.pes) for each in pe.private}
        return private | {(-1, each.intid): each for each in self.model.shared}

    def place(self, key: tuple[int, int]) -> int:
        if key[0] >= 0:
            return key[0]
        target = self.model.target(self.interrupts()[key])
        return -1 if target is None else target

    @invariant()
    def everything_is_told_once(self) -> None:
        expected: list[Event] = []
        interrupts = self.interrupts()
        pending = {key for key, each in interrupts.items() if each.pending}
        active = {key for key, each in interrupts.items() if each.active}
        for action, cpu, intid in self.acknowledged:
            key = (cpu if intid < 32 else -1, intid)
            self.takers[key] = cpu
            self.held.add(key)
            self.requests.discard(key)
            expected.append((action, cpu, intid))
        self.acknowledged.clear()
        expected += [("ended", self.takers.pop(key), key[1]) for key in set(self.takers) - active]
        self.held &= pending & active
        requests = pending - self.held
        expected += (("raised", self.place(key), key[1]) for key in requests - self.requests)
        expected += (("withdrawn", self.place(key), key[1]) for key in self.requests - requests)
        self.requests = requests
        for cpu in range(len(self.model.pes)):
            output = self.output(cpu)
            if output is not None and output != self.outputs[cpu]:
                expected.append(("injected", cpu, output[0]))
            self.outputs[cpu] = output
            assert self.device.gic.signalled(cpu) == (None if output is None else output[0])
        assert sorted(self.events) == sorted(expected)
        self.in_order()
        self.events.clear()

    def output(self, cpu: int) -> tuple[int, int] | None:
        for group in (0, 1):
            if self.model.signalled(cpu, group):
                best = self.model.best(cpu)
                assert best is not None
                return best.intid, group
        return None

    def in_order(self) -> None:
        """Of one step: what ended before what was raised, and that before it is injected."""
        rank = {"ended": 0, "acknowledged": 0, "withdrawn": 0, "raised": 1, "injected": 2}
        for intid in {intid for _, _, intid in self.events}:
            order = [rank[action] for action, _, each in self.events if each == intid and each >= 32]
            assert order == sorted(order)


TestWatched = WatchedMachine.TestCase
TestWatched.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


class LifeMachine(BusyMachine):
    """No interrupt skips a step of its life: the watcher sees each raised, injected, acknowledged, ended in turn."""

    @initialize(started=st.sampled_from([True, True, True, False]))
    def build(self, started: bool) -> None:
        super().build(started)
        self.raised: set[tuple[int, int]] = set()
        self.running: set[tuple[int, int]] = set()
        self.injected: dict[int, int] = {}
        self.device.gic.watch(self.live)

    def live(self, action: str, cpu: int, intid: int) -> None:
        key = (cpu if intid < 32 else -1, intid)
        if action == "raised":
            self.raised.add(key)
        elif action == "injected":
            assert key in self.raised
            self.injected[cpu] = intid
        elif action == "acknowledged":
            assert self.injected.pop(cpu) == intid
            assert key not in self.running
            self.raised.remove(key)
            self.running.add(key)
        elif action == "withdrawn":
            self.raised.remove(key)
        else:
            assert action == "ended"
            self.running.remove(key)


TestLife = LifeMachine.TestCase
TestLife.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
