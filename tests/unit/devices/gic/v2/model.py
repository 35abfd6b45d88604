"""A GICv2 in the simplest terms: lists, no caches, everything recomputed at each query."""

from __future__ import annotations

from dataclasses import dataclass, field

IDLE = 0xFF
SPURIOUS = 1023
GROUP1 = 1022


@dataclass
class Interrupt:
    """One interrupt; a private one is an interrupt of its own on each PE. SGIs are pending from ``sources``."""

    intid: int
    edge: bool
    priority: int = 0
    group: int = 0
    enabled: bool = False
    latch: bool = False
    wire: bool = False
    active: bool = False
    targets: set[int] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)
    taken: int = 0

    @property
    def pending(self) -> bool:
        return self.latch or bool(self.sources) or (not self.edge and self.wire)

    def set_wire(self, level: bool) -> None:
        if level and not self.wire and self.edge:
            self.latch = True
        self.wire = level

    def activate(self) -> int:
        self.active = True
        self.latch = False
        if self.intid >= 16:
            return self.intid
        self.taken = min(self.sources)
        self.sources.remove(self.taken)
        return self.taken << 10 | self.intid


@dataclass
class Pe:
    """One PE with its private interrupts and its CPU interface; ``active`` holds the active priorities by group."""

    private: list[Interrupt]
    pmr: int = 0
    enabled: list[bool] = field(default_factory=lambda: [False, False])
    ack_ctl: bool = False
    fiq_en: bool = False
    common: bool = False
    split: bool = False
    bpr: list[int] = field(default_factory=lambda: [2, 3])
    active: list[set[int]] = field(default_factory=lambda: [set(), set()])

    def running(self) -> int:
        return min(self.active[0] | self.active[1], default=IDLE)

    def group_bits(self, priority: int, group: int) -> int:
        dropped = self.bpr[0] + 1 if group == 0 or self.common else self.bpr[1]
        return priority >> dropped << dropped


class Gic:
    """PEs with private interrupts 0 to 31, and ``spis`` shared ones."""

    def __init__(self, cpus: int, spis: int) -> None:
        self.pes = [Pe([Interrupt(n, n < 16, enabled=n < 16) for n in range(32)]) for _ in range(cpus)]
        self.shared = [Interrupt(32 + n, False) for n in range(spis)]
        self.groups = [False, False]

    def interrupt(self, intid: int, cpu: int) -> Interrupt:
        return self.pes[cpu].private[intid] if intid < 32 else self.shared[intid - 32]

    def best(self, cpu: int) -> Interrupt | None:
        """The highest priority pending interrupt of a PE."""
        mine = self.pes[cpu].private + [each for each in self.shared if cpu in each.targets]
        able = [each for each in mine if each.pending and each.enabled and not each.active and self.groups[each.group]]
        return min(able, key=lambda each: (each.priority, each.intid), default=None)

    def signalled(self, cpu: int) -> tuple[bool, bool]:
        """The levels of IRQ and FIQ."""
        best = self.best(cpu)
        pe = self.pes[cpu]
        if best is None or not pe.enabled[best.group] or best.priority >= pe.pmr:
            return False, False
        running = pe.running()
        if running != IDLE and pe.group_bits(best.priority, best.group) >= pe.group_bits(running, best.group):
            return False, False
        fiq = best.group == 0 and pe.fiq_en
        return not fiq, fiq

    def shown(self, cpu: int, alias: bool) -> int:
        """What GICC_HPPIR and GICC_AHPPIR read as."""
        best = self.best(cpu)
        pe = self.pes[cpu]
        if best is None or not pe.enabled[best.group]:
            return SPURIOUS
        if alias and best.group == 0:
            return SPURIOUS
        if not alias and best.group == 1 and not pe.ack_ctl:
            return GROUP1
        return min(best.sources, default=0) << 10 | best.intid

    def acknowledge(self, cpu: int, alias: bool) -> int:
        best = self.best(cpu)
        pe = self.pes[cpu]
        if best is None or not any(self.signalled(cpu)) or (alias and best.group == 0):
            return SPURIOUS
        if not alias and best.group == 1 and not pe.ack_ctl:
            return GROUP1
        pe.active[best.group].add(pe.group_bits(best.priority, best.group))
        return best.activate()

    def end(self, cpu: int, value: int, alias: bool) -> None:
        pe = self.pes[cpu]
        running = pe.running()
        intid = value & 0x3FF
        if running == IDLE or intid >= 32 + len(self.shared):
            return
        group = 0 if running in pe.active[0] else 1
        if alias and not (group and self.interrupt(intid, cpu).group):
            return
        pe.active[group].remove(running)
        if not pe.split:
            self._deactivate(cpu, value)

    def deactivate(self, cpu: int, value: int) -> None:
        if self.pes[cpu].split and value & 0x3FF < 32 + len(self.shared):
            self._deactivate(cpu, value)

    def _deactivate(self, cpu: int, value: int) -> None:
        interrupt = self.interrupt(value & 0x3FF, cpu)
        if interrupt.intid >= 16 or interrupt.taken == value >> 10 & 7:
            interrupt.active = False
