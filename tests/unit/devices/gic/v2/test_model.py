"""The GICv2 compared with a simple model: any history leads to the same outputs."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from . import bench
from .bench import CPENDSGIR, GICD_CTLR, ICACTIVER, ICENABLER, ICPENDR, ISACTIVER, ISENABLER, ISPENDR, SGIR, SPENDSGIR
from .bench import Bench as Device
from .model import Gic as Model

CPUS = 3
SPIS = 3

cpus = st.sampled_from(range(CPUS))
sgis = st.sampled_from([0, 1, 15])
inputs = st.sampled_from([16, 17, 31]) | st.sampled_from(range(32, 32 + SPIS))
intids = sgis | inputs
groups = st.sampled_from([0, 1])
levels = st.sampled_from([0x00, 0x08, 0x40, 0x48, 0x50, 0x80, 0xA0, 0xF0, 0xF8])
masks = st.sets(cpus)


def bits(numbers: set[int]) -> int:
    return sum(1 << number for number in numbers)


class GicMachine(RuleBasedStateMachine):
    """A device and a model that are told the same."""

    @initialize(started=st.booleans())
    def build(self, started: bool) -> None:
        self.device = Device(CPUS, spis=SPIS)
        self.model = Model(CPUS, SPIS)
        if started:
            self.device.start()
            self.model.groups = [True, True]
            for pe in self.model.pes:
                pe.pmr = 0xF8
                pe.enabled = [True, True]
                pe.ack_ctl = True
            for interrupt in [*self.model.shared, *(each for pe in self.model.pes for each in pe.private)]:
                interrupt.enabled, interrupt.priority, interrupt.targets = True, 0xA0, {0}

    @rule(intid=inputs, cpu=cpus, level=st.booleans())
    def line(self, intid: int, cpu: int, level: bool) -> None:
        self.device.line(intid, level, cpu)
        self.model.interrupt(intid, cpu).set_wire(level)

    @rule(sender=cpus, intid=sgis, receivers=st.sets(st.sampled_from(range(8))), mode=st.sampled_from(range(4)))
    def send(self, sender: int, intid: int, receivers: set[int], mode: int) -> None:
        self.device.gicd(SGIR, bench.sgi(intid, to=bits(receivers), mode=mode), sender)
        everybody = set(range(CPUS))
        for cpu in (receivers & everybody, everybody - {sender}, {sender}, set[int]())[mode]:
            self.model.interrupt(intid, cpu).sources.add(sender)

    @rule(cpu=cpus, intid=sgis, senders=masks, pending=st.booleans())
    def sources(self, cpu: int, intid: int, senders: set[int], pending: bool) -> None:
        self.device.gicd((SPENDSGIR if pending else CPENDSGIR) + intid, bits(senders), cpu, width=1)
        interrupt = self.model.interrupt(intid, cpu)
        interrupt.sources = interrupt.sources | senders if pending else interrupt.sources - senders

    @rule(intid=intids, cpu=cpus, value=st.booleans())
    def latch(self, intid: int, cpu: int, value: bool) -> None:
        self.device.bit(ISPENDR if value else ICPENDR, intid, cpu)
        if intid >= 16:
            self.model.interrupt(intid, cpu).latch = value

    @rule(intid=intids, cpu=cpus, value=st.booleans())
    def enable(self, intid: int, cpu: int, value: bool) -> None:
        self.device.bit(ISENABLER if value else ICENABLER, intid, cpu)
        if intid >= 16:
            self.model.interrupt(intid, cpu).enabled = value

    @rule(intid=intids, cpu=cpus, value=st.booleans())
    def activate(self, intid: int, cpu: int, value: bool) -> None:
        self.device.bit(ISACTIVER if value else ICACTIVER, intid, cpu)
        interrupt = self.model.interrupt(intid, cpu)
        if value and not interrupt.active:
            interrupt.taken = cpu
        interrupt.active = value

    @rule(intid=intids, cpu=cpus, priority=levels)
    def prioritise(self, intid: int, cpu: int, priority: int) -> None:
        self.device.priority(intid, priority, cpu)
        self.model.interrupt(intid, cpu).priority = priority

    @rule(intid=intids, cpu=cpus, group=groups)
    def regroup(self, intid: int, cpu: int, group: int) -> None:
        self.device.group(intid, group, cpu)
        self.model.interrupt(intid, cpu).group = group

    @rule(intid=inputs, cpu=cpus, edge=st.booleans())
    def trigger(self, intid: int, cpu: int, edge: bool) -> None:
        self.device.edge(intid, edge, cpu)
        self.model.interrupt(intid, cpu).edge = edge

    @rule(intid=st.sampled_from(range(32, 32 + SPIS)), receivers=masks)
    def route(self, intid: int, receivers: set[int]) -> None:
        self.device.target(intid, bits(receivers))
        self.model.interrupt(intid, 0).targets = receivers

    @rule(enables=st.sampled_from(range(4)))
    def enable_groups(self, enables: int) -> None:
        self.device.gicd(GICD_CTLR, enables)
        self.model.groups = [bool(enables & 1), bool(enables & 2)]

    @rule(cpu=cpus, mask=levels)
    def mask(self, cpu: int, mask: int) -> None:
        self.device.gicc(bench.PMR, mask, cpu)
        self.model.pes[cpu].pmr = mask

    @rule(cpu=cpus, group=groups, value=st.sampled_from(range(8)))
    def binary_point(self, cpu: int, group: int, value: int) -> None:
        self.device.gicc(bench.ABPR if group else bench.BPR, value, cpu)
        self.model.pes[cpu].bpr[group] = max(value, 2 + group)

    @rule(cpu=cpus, flags=st.sets(st.sampled_from([0x1, 0x2, 0x4, 0x8, 0x10, 0x200])))
    def control(self, cpu: int, flags: set[int]) -> None:
        self.device.gicc(bench.CTLR, sum(flags), cpu)
        pe = self.model.pes[cpu]
        pe.enabled = [bench.GRP0 in flags, bench.GRP1 in flags]
        pe.ack_ctl, pe.fiq_en = bench.ACK_CTL in flags, bench.FIQ_EN in flags
        pe.common, pe.split = bench.CBPR in flags, bench.EOI_MODE in flags

    @rule(cpu=cpus, alias=st.booleans())
    def acknowledge(self, cpu: int, alias: bool) -> None:
        found = self.device.gicc_read(bench.AIAR if alias else bench.IAR, cpu)
        assert found == self.model.acknowledge(cpu, alias)

    @rule(cpu=cpus, alias=st.booleans(), intid=intids | st.sampled_from([35, 1020, 1023]), sender=cpus)
    def end(self, cpu: int, alias: bool, intid: int, sender: int) -> None:
        self.device.gicc(bench.AEOIR if alias else bench.EOIR, sender << 10 | intid, cpu)
        self.model.end(cpu, sender << 10 | intid, alias)

    @rule(cpu=cpus, intid=intids | st.sampled_from([35, 1023]), sender=cpus)
    def deactivate(self, cpu: int, intid: int, sender: int) -> None:
        self.device.gicc(bench.DIR, sender << 10 | intid, cpu)
        self.model.deactivate(cpu, sender << 10 | intid)

    @rule(cpu=cpus, group=groups, priorities=st.sets(levels, max_size=2))
    def restore(self, cpu: int, group: int, priorities: set[int]) -> None:
        self.device.gicc(bench.NSAPR0 if group else bench.APR0, sum(1 << each // 8 for each in priorities), cpu)
        self.model.pes[cpu].active[group] = set(priorities)

    @rule(cpu=cpus)
    def reset_interface(self, cpu: int) -> None:
        self.device.gic.reset_interface(cpu)
        pe = self.model.pes[cpu]
        self.model.pes[cpu] = type(pe)(pe.private)

    @rule(watched=st.booleans())
    def watch(self, watched: bool) -> None:
        self.device.gic.watch((lambda _action, _cpu, _intid: None) if watched else None)

    @rule()
    def move(self) -> None:
        """Go on with another GIC that has the state of this one."""
        moved = Device(CPUS, spis=SPIS)
        moved.gic.load(self.device.gic.save())
        self.device = moved

    @invariant()
    def outputs_are_the_same(self) -> None:
        for cpu, pe in enumerate(self.model.pes):
            irq, fiq = self.model.signalled(cpu)
            assert (self.device.irq[cpu], self.device.fiq[cpu]) == (irq, fiq)
            best = self.model.best(cpu)
            assert self.device.gic.signalled(cpu) == (best.intid if best and (irq or fiq) else None)
            assert self.device.gicc_read(bench.HPPIR, cpu) == self.model.shown(cpu, alias=False)
            assert self.device.gicc_read(bench.AHPPIR, cpu) == self.model.shown(cpu, alias=True)
            assert self.device.gicc_read(bench.RPR, cpu) == pe.running()
            assert self.device.gic.enabled_groups(cpu) == (
                pe.enabled[1] or (pe.enabled[0] and not pe.fiq_en),
                pe.enabled[0] and pe.fiq_en,
            )

    @invariant()
    def states_are_the_same(self) -> None:
        for register, name in ((ISPENDR, "pending"), (ISACTIVER, "active"), (ISENABLER, "enabled")):
            shared = sum(getattr(each, name) << each.intid - 32 for each in self.model.shared)
            for cpu, pe in enumerate(self.model.pes):
                word = sum(getattr(each, name) << each.intid for each in pe.private)
                assert self.device.gicd_read(register, cpu) == word
                assert self.device.gicd_read(register + 4, cpu) == shared
        for cpu, pe in enumerate(self.model.pes):
            for interrupt in pe.private[:16]:
                assert self.device.gicd_read(SPENDSGIR + interrupt.intid, cpu, width=1) == bits(interrupt.sources)


TestGic = GicMachine.TestCase
TestGic.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
