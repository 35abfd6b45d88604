"""A GIC in the simplest terms: lists, no caches, everything recomputed at each query."""

from __future__ import annotations

from dataclasses import dataclass, field

IDLE = 0xFF
SPURIOUS = 1023


@dataclass
class Interrupt:
    """One interrupt; a private one is an interrupt of its own on each PE."""

    intid: int
    edge: bool
    priority: int = 0
    group: int = 0
    enabled: bool = False
    latch: bool = False
    wire: bool = False
    message: bool = False
    active: bool = False
    router: int = 0

    @property
    def pending(self) -> bool:
        return self.latch or (not self.edge and (self.wire or self.message))

    def set_wire(self, level: bool) -> None:
        if level and not self.wire and self.edge:
            self.latch = True
        self.wire = level


@dataclass
class Pe:
    """One PE with its private interrupts and its CPU interface; ``active`` holds the active priorities by group."""

    affinity: int
    private: list[Interrupt]
    asleep: bool = False
    pmr: int = 0
    enabled: list[bool] = field(default_factory=lambda: [False, False])
    bpr: list[int] = field(default_factory=lambda: [2, 3])
    common: bool = False
    split: bool = False
    active: list[set[int]] = field(default_factory=lambda: [set(), set()])

    def running(self) -> int:
        return min(self.active[0] | self.active[1], default=IDLE)

    def group_bits(self, priority: int, group: int) -> int:
        dropped = self.bpr[0] + 1 if group == 0 or self.common else self.bpr[1]
        return priority >> dropped << dropped


class Gic:
    """PEs of the given affinities, private interrupts 0 to 31, and ``spis`` shared ones."""

    def __init__(self, affinities: tuple[int, ...], spis: int) -> None:
        self.pes = [Pe(affinity, [Interrupt(n, n < 16) for n in range(32)]) for affinity in affinities]
        self.shared = [Interrupt(32 + n, False) for n in range(spis)]
        self.groups = [False, False]

    def interrupt(self, intid: int, cpu: int) -> Interrupt:
        return self.pes[cpu].private[intid] if intid < 32 else self.shared[intid - 32]

    def target(self, interrupt: Interrupt) -> int | None:
        """The PE of a shared interrupt."""
        any_pe = interrupt.router >> 31 & 1
        for cpu, pe in enumerate(self.pes):
            if any_pe and not pe.asleep and pe.enabled[interrupt.group]:
                return cpu
            if not any_pe and pe.affinity == interrupt.router:
                return cpu
        return None

    def best(self, cpu: int) -> Interrupt | None:
        """The highest priority pending interrupt of a PE."""
        if self.pes[cpu].asleep:
            return None
        mine = self.pes[cpu].private + [each for each in self.shared if self.target(each) == cpu]
        able = [each for each in mine if each.pending and each.enabled and not each.active and self.groups[each.group]]
        return min(able, key=lambda each: (each.priority, each.intid), default=None)

    def shown(self, cpu: int, group: int) -> int:
        """What ICC_HPPIR<group>_EL1 reads as."""
        best = self.best(cpu)
        return best.intid if best and best.group == group and self.pes[cpu].enabled[group] else SPURIOUS

    def signalled(self, cpu: int, group: int) -> bool:
        """The level of FIQ (0) or IRQ (1)."""
        best = self.best(cpu)
        pe = self.pes[cpu]
        if best is None or best.group != group or not pe.enabled[group] or best.priority >= pe.pmr:
            return False
        running = pe.running()
        return running == IDLE or pe.group_bits(best.priority, group) < pe.group_bits(running, group)

    def acknowledge(self, cpu: int, group: int) -> int:
        best = self.best(cpu)
        if best is None or not self.signalled(cpu, group):
            return SPURIOUS
        best.active = True
        best.latch = False
        self.pes[cpu].active[group].add(self.pes[cpu].group_bits(best.priority, group))
        return best.intid

    def end(self, cpu: int, group: int, intid: int) -> None:
        pe = self.pes[cpu]
        running = pe.running()
        if running == IDLE or intid >= 32 + len(self.shared):
            return
        if group != (0 if running in pe.active[0] else 1):
            return
        pe.active[group].remove(running)
        if not pe.split:
            self.interrupt(intid, cpu).active = False

    def deactivate(self, cpu: int, intid: int) -> None:
        if self.pes[cpu].split and intid < 32 + len(self.shared):
            self.interrupt(intid, cpu).active = False

    def send(self, sender: int, intid: int, targets: list[int], group1: bool) -> None:
        for cpu in targets:
            interrupt = self.interrupt(intid, cpu)
            if group1 or interrupt.group == 0:
                interrupt.latch = True
