"""The GIC compared with a simple model: any history leads to the same outputs."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from arm_vcpu_cli.arch.registers.gicregs import IccSgi1r

from .bench import CLRSPI, GICD_CTLR, ICACTIVER, ICENABLER, ICPENDR, IRM, ISACTIVER, ISENABLER, ISPENDR, SETSPI, WAKER
from .bench import Bench as Device
from .model import Gic as Model

AFFINITIES = (0x00, 0x01, 0x11)
SPIS = 3
NOBODY = 0x02

cpus = st.sampled_from(range(len(AFFINITIES)))
private = st.sampled_from([0, 1, 15, 16, 17, 31])
shared = st.sampled_from(range(32, 32 + SPIS))
intids = private | shared
inputs = st.sampled_from([16, 17, 31]) | shared
groups = st.sampled_from([0, 1])
levels = st.sampled_from([0x00, 0x08, 0x40, 0x48, 0x50, 0x80, 0xA0, 0xF0, 0xF8])


class GicMachine(RuleBasedStateMachine):
    """A device and a model that are told the same."""

    @initialize(started=st.booleans())
    def build(self, started: bool) -> None:
        self.device = Device(AFFINITIES, spis=SPIS)
        self.model = Model(AFFINITIES, SPIS)
        if started:
            self.device.start()
            self.model.groups = [True, True]
            for pe in self.model.pes:
                pe.asleep = False
                pe.pmr = 0xF8
                pe.enabled = [True, True]
            for interrupt in [*self.model.shared, *(each for pe in self.model.pes for each in pe.private)]:
                interrupt.group, interrupt.enabled, interrupt.priority = 1, True, 0xA0

    @rule(intid=inputs, cpu=cpus, level=st.booleans())
    def line(self, intid: int, cpu: int, level: bool) -> None:
        self.device.line(intid, level, cpu)
        self.model.interrupt(intid, cpu).set_wire(level)

    @rule(intid=shared, level=st.booleans())
    def message(self, intid: int, level: bool) -> None:
        self.device.gicd(SETSPI if level else CLRSPI, intid)
        interrupt = self.model.interrupt(intid, 0)
        if not level:
            interrupt.latch = interrupt.message = False
        elif interrupt.edge:
            interrupt.latch = True
        else:
            interrupt.message = True

    @rule(sender=cpus, intid=st.sampled_from([0, 1, 15]), receivers=st.sets(cpus), register=st.sampled_from("01A"))
    def send(self, sender: int, intid: int, receivers: set[int], register: str) -> None:
        name = {"0": "SGI0R", "1": "SGI1R", "A": "ASGI1R"}[register]
        for cpu in receivers:
            affinity = AFFINITIES[cpu]
            word = IccSgi1r.of(INTID=intid, RS=affinity >> 4, TargetList=1 << affinity % 16)
            self.device.icc(name, word, sender)
        self.model.send(sender, intid, sorted(receivers), register == "1")

    @rule(sender=cpus, intid=st.sampled_from([0, 1, 15]))
    def send_to_others(self, sender: int, intid: int) -> None:
        self.device.icc("SGI1R", IccSgi1r.of(INTID=intid, IRM=1), sender)
        self.model.send(sender, intid, [cpu for cpu in range(len(AFFINITIES)) if cpu != sender], True)

    @rule(intid=intids, cpu=cpus, value=st.booleans())
    def latch(self, intid: int, cpu: int, value: bool) -> None:
        self.device.bit(ISPENDR if value else ICPENDR, intid, cpu)
        self.model.interrupt(intid, cpu).latch = value

    @rule(intid=intids, cpu=cpus, value=st.booleans())
    def enable(self, intid: int, cpu: int, value: bool) -> None:
        self.device.bit(ISENABLER if value else ICENABLER, intid, cpu)
        self.model.interrupt(intid, cpu).enabled = value

    @rule(intid=intids, cpu=cpus, value=st.booleans())
    def activate(self, intid: int, cpu: int, value: bool) -> None:
        self.device.bit(ISACTIVER if value else ICACTIVER, intid, cpu)
        self.model.interrupt(intid, cpu).active = value

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

    @rule(intid=shared, router=st.sampled_from([*AFFINITIES, NOBODY, IRM, IRM | 0x01]))
    def route(self, intid: int, router: int) -> None:
        self.device.route(intid, router)
        self.model.interrupt(intid, 0).router = router

    @rule(enables=st.sampled_from(range(4)))
    def enable_groups(self, enables: int) -> None:
        self.device.gicd(GICD_CTLR, enables)
        self.model.groups = [bool(enables & 1), bool(enables & 2)]

    @rule(cpu=cpus, asleep=st.booleans())
    def sleep(self, cpu: int, asleep: bool) -> None:
        self.device.gicr(cpu, WAKER, 2 * asleep)
        self.model.pes[cpu].asleep = asleep

    @rule(cpu=cpus, mask=levels)
    def mask(self, cpu: int, mask: int) -> None:
        self.device.icc("PMR", mask, cpu)
        self.model.pes[cpu].pmr = mask

    @rule(cpu=cpus, group=groups, value=st.booleans())
    def participate(self, cpu: int, group: int, value: bool) -> None:
        self.device.icc(f"IGRPEN{group}", value, cpu)
        self.model.pes[cpu].enabled[group] = value

    @rule(cpu=cpus, group=groups, value=st.sampled_from(range(8)))
    def binary_point(self, cpu: int, group: int, value: int) -> None:
        self.device.icc(f"BPR{group}", value, cpu)
        pe = self.model.pes[cpu]
        if not (group and pe.common):
            pe.bpr[group] = max(value, 2 + group)

    @rule(cpu=cpus, split=st.booleans(), common=st.booleans())
    def control(self, cpu: int, split: bool, common: bool) -> None:
        self.device.icc("CTLR", 2 * split + common, cpu)
        self.model.pes[cpu].split, self.model.pes[cpu].common = split, common

    @rule(cpu=cpus, group=groups)
    def acknowledge(self, cpu: int, group: int) -> None:
        assert self.device.acknowledge(cpu, group) == self.model.acknowledge(cpu, group)

    @rule(cpu=cpus, group=groups, intid=intids | st.sampled_from([35, 1020, 1023, 8192]))
    def end(self, cpu: int, group: int, intid: int) -> None:
        self.device.end(intid, cpu, group)
        self.model.end(cpu, group, intid)

    @rule(cpu=cpus, intid=intids | st.sampled_from([35, 1023]))
    def deactivate(self, cpu: int, intid: int) -> None:
        self.device.icc("DIR", intid, cpu)
        self.model.deactivate(cpu, intid)

    @rule(cpu=cpus, group=groups, priorities=st.sets(levels, max_size=2))
    def restore(self, cpu: int, group: int, priorities: set[int]) -> None:
        self.device.icc(f"AP{group}R0", sum(1 << priority // 8 for priority in priorities), cpu)
        self.model.pes[cpu].active[group] = set(priorities)

    @invariant()
    def outputs_are_the_same(self) -> None:
        for cpu, pe in enumerate(self.model.pes):
            assert self.device.fiq[cpu] == self.model.signalled(cpu, 0)
            assert self.device.irq[cpu] == self.model.signalled(cpu, 1)
            assert self.device.icc_read("HPPIR0", cpu) == self.model.shown(cpu, 0)
            assert self.device.icc_read("HPPIR1", cpu) == self.model.shown(cpu, 1)
            assert self.device.icc_read("RPR", cpu) == pe.running()

    @invariant()
    def states_are_the_same(self) -> None:
        for register, name in ((ISPENDR, "pending"), (ISACTIVER, "active"), (ISENABLER, "enabled")):
            for cpu, pe in enumerate(self.model.pes):
                word = sum(getattr(each, name) << each.intid for each in pe.private)
                assert self.device.sgi_read(cpu, register) == word
            word = sum(getattr(each, name) << each.intid - 32 for each in self.model.shared)
            assert self.device.gicd_read(register + 4) == word


TestGic = GicMachine.TestCase
TestGic.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
