"""Watching a GICv2: every step in the life of an interrupt is reported once, in order, whatever the guest does."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from .bench import CTLR, DISK, FIQ_EN, GRP0, ICACTIVER, ISPENDR, PMR, SGIR, SPENDSGIR, TIMER, UART, Bench, sgi
from .model import Interrupt
from .test_model import GicMachine, cpus, inputs

Event = tuple[str, int, int]


class Watched(Bench):
    """A started GIC with a watcher; :meth:`told` gives what it was told since the last time."""

    def __init__(self, cpus: int = 1) -> None:
        super().__init__(cpus)
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


def test_a_line_that_goes_down_is_withdrawn() -> None:
    bench = Watched()
    bench.pulse(TIMER)
    assert bench.told() == [("raised", 0, TIMER), ("injected", 0, TIMER), ("withdrawn", 0, TIMER)]


def test_a_shared_interrupt_is_raised_once_and_injected_to_all_its_targets() -> None:
    bench = Watched(3)
    bench.target(UART, 0b110)
    bench.line(UART, True)
    events = bench.told()
    assert events[0] == ("raised", 1, UART)
    assert sorted(events[1:]) == [("injected", 1, UART), ("injected", 2, UART)]
    assert bench.acknowledge(2) == UART
    assert bench.told() == [("acknowledged", 2, UART)]
    bench.line(UART, False)
    bench.end(UART, 2)
    assert bench.told() == [("ended", 2, UART)]


def test_an_interrupt_without_targets_is_raised_nowhere() -> None:
    bench = Watched(2)
    bench.target(UART, 0)
    bench.pulse(UART)
    assert bench.told() == [("raised", -1, UART), ("withdrawn", -1, UART)]


def test_an_sgi_of_a_second_sender_is_raised_when_the_first_ends() -> None:
    bench = Watched(2)
    bench.gicd(SGIR, sgi(1, to=1), cpu=0)
    assert bench.told() == [("raised", 0, 1), ("injected", 0, 1)]
    bench.gicd(SGIR, sgi(1, to=1), cpu=1)
    assert bench.told() == []
    assert bench.acknowledge() == 1
    assert bench.told() == [("acknowledged", 0, 1)]
    bench.end(1)
    assert bench.told() == [("ended", 0, 1), ("raised", 0, 1), ("injected", 0, 1)]
    assert bench.acknowledge() == 1 << 10 | 1
    assert bench.told() == [("acknowledged", 0, 1)]


def test_sgis_that_are_made_pending_by_hand_are_told() -> None:
    bench = Watched(2)
    bench.gicd(SPENDSGIR + 3, 2, width=1)
    assert bench.told() == [("raised", 0, 3), ("injected", 0, 3)]


def test_a_refused_acknowledge_is_not_told() -> None:
    bench = Watched()
    bench.gicc(CTLR, 3)
    bench.group(UART, 1)
    bench.line(UART, True)
    bench.told()
    assert bench.acknowledge() == 1022
    assert bench.told() == []


def test_another_output_is_another_injection() -> None:
    bench = Watched()
    bench.line(UART, True)
    bench.told()
    bench.gicc(CTLR, GRP0 | FIQ_EN)
    assert bench.told() == [("injected", 0, UART)]
    bench.gicc(PMR, 0)
    bench.gicc(PMR, 0xF8)
    assert bench.told() == [("injected", 0, UART)]


def test_what_ends_by_the_distributor_is_told() -> None:
    bench = Watched()
    bench.edge(DISK)
    bench.pulse(DISK)
    bench.acknowledge()
    bench.told()
    bench.bit(ICACTIVER, DISK)
    assert bench.told() == [("ended", 0, DISK)]


def test_a_reset_interface_is_injected_anew() -> None:
    bench = Watched()
    bench.line(UART, True)
    bench.told()
    bench.gic.reset_interface(0)
    assert bench.told() == []
    bench.gicc(PMR, 0xF8)
    bench.gicc(CTLR, GRP0)
    assert bench.told() == [("injected", 0, UART)]


def test_nobody_is_told_any_longer() -> None:
    bench = Watched(2)
    bench.gic.watch(None)
    bench.target(UART, 0)
    bench.line(UART, True)
    bench.bit(ISPENDR, DISK)
    bench.acknowledge()
    assert bench.told() == []


def test_a_loaded_state_is_not_told_but_what_follows_is() -> None:
    bench = Watched()
    other = Watched()
    bench.line(UART, True)
    bench.acknowledge()
    other.gic.load(bench.gic.save())
    assert other.told() == []
    other.end(UART)
    assert other.told() == [("ended", 0, UART), ("raised", 0, UART), ("injected", 0, UART)]


class BusyMachine(GicMachine):
    """A GIC with one watcher whose PEs take and end interrupts more often than they reconfigure them."""

    @initialize(started=st.sampled_from([True, True, True, False]))
    def build(self, started: bool) -> None:
        super().build(started)
        self.taken: list[tuple[int, int]] = []

    def watch(self, watched: bool) -> None:
        """No rule here: the watcher stays."""

    def move(self) -> None:
        """No rule here: a watcher is told nothing of a load."""

    @rule(cpu=cpus, alias=st.booleans())
    def acknowledge(self, cpu: int, alias: bool) -> None:
        found = self.device.gicc_read(0x20 if alias else 0x0C, cpu)
        assert found == self.model.acknowledge(cpu, alias)
        if found < 1022 or found > 1023:
            self.taken.append((cpu, found))
            self.on_acknowledged(cpu, found & 0x3FF)

    def on_acknowledged(self, cpu: int, intid: int) -> None:
        """Told by the rule that acknowledges."""

    @rule(intid=inputs, cpu=cpus)
    def interrupt(self, intid: int, cpu: int) -> None:
        self.line(intid=intid, cpu=cpu, level=True)

    @rule()
    def take(self) -> None:
        for cpu in range(len(self.model.pes)):
            for alias in (False, True):
                self.acknowledge(cpu=cpu, alias=alias)

    @precondition(lambda self: self.taken)
    @rule()
    def finish(self) -> None:
        cpu, value = self.taken.pop()
        self.end(cpu=cpu, alias=False, intid=value & 0x3FF, sender=value >> 10)


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
        self.outputs: list[tuple[int, bool] | None] = [None for _ in self.model.pes]

    @rule()
    def take(self) -> None:
        """Each PE once: in a rule of several steps an interrupt may end up where it began."""
        for cpu in range(len(self.model.pes)):
            self.acknowledge(cpu=cpu, alias=False)

    def on_acknowledged(self, cpu: int, intid: int) -> None:
        self.acknowledged.append(("acknowledged", cpu, intid))

    def interrupts(self) -> dict[tuple[int, int], Interrupt]:
        """All by the PE they belong to, -1 for shared ones, and INTID."""
        private = {(cpu, each.intid): each for cpu, pe in enumerate(self.model.pes) for each in pe.private}
        return private | {(-1, each.intid): each for each in self.model.shared}

    def place(self, key: tuple[int, int]) -> int:
        return key[0] if key[0] >= 0 else min(self.interrupts()[key].targets, default=-1)

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
        told = [event for event in self.events if event[0] != "injected"]
        assert sorted(told) == sorted(expected)
        # While one PE takes an interrupt of several, others may be signalled another one for a moment.
        for cpu in range(len(self.model.pes)):
            output = self.output(cpu)
            injected = [intid for action, each, intid in self.events if action == "injected" and each == cpu]
            if output is not None and output != self.outputs[cpu]:
                assert injected[-1:] == [output[0]]
            self.outputs[cpu] = output
        self.in_order()
        self.events.clear()

    def output(self, cpu: int) -> tuple[int, bool] | None:
        irq, fiq = self.model.signalled(cpu)
        best = self.model.best(cpu)
        return None if best is None or not (irq or fiq) else (best.intid, fiq)

    def in_order(self) -> None:
        """Of one step: what ended before what was raised, and that before it is injected.

        Where several PEs take interrupts one after another, what one leaves may be injected into the next and taken.
        """
        rank = {"ended": 0, "withdrawn": 0, "raised": 1, "injected": 2}
        for key in {(cpu, intid) for _, cpu, intid in self.events if intid >= 32}:
            order = [rank[action] for action, cpu, each in self.events if (cpu, each) == key and action in rank]
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
