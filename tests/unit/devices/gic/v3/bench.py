"""A GIC on the bench: its registers by name, its outputs recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.devices.gic.v3 import GicV3

GICD_CTLR, SETSPI, CLRSPI = 0x0000, 0x0040, 0x0048
IGROUPR, ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER = 0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380
IPRIORITYR, ICFGR, IROUTER = 0x400, 0xC00, 0x6000
WAKER = 0x14
SGI_FRAME, PE_SIZE = 0x1_0000, 0x2_0000
SPURIOUS = 1023
IDLE = 0xFF
IRM = 1 << 31
PRIORITY: Final = 0xA0
"""What every interrupt has after :meth:`Bench.start`."""
TIMER, UART, DISK = 30, 33, 40


class Bench:
    """A GIC with some PEs; ``irq`` and ``fiq`` are the levels of its outputs, ``edges`` each change of them."""

    def __init__(self, affinities: Sequence[int] = (0,), *, spis: int = 224) -> None:
        self.cpus = range(len(affinities))
        self.irq = [False for _ in affinities]
        self.fiq = [False for _ in affinities]
        self.edges: list[tuple[int, bool, bool]] = []
        self.last = 31 + spis
        self.gic = GicV3(affinities, spis=spis, signal=self._signal)

    def _signal(self, cpu: int, irq: bool, fiq: bool) -> None:
        assert (irq, fiq) != (self.irq[cpu], self.fiq[cpu])
        self.irq[cpu], self.fiq[cpu] = irq, fiq
        self.edges.append((cpu, irq, fiq))

    def start(self, *, group: int = 1) -> Bench:
        """Do what an operating system does: all interrupts of one group, at one priority, enabled, everywhere."""
        self.gicd(GICD_CTLR, 3)
        ones = 0xFFFF_FFFF
        for word in range(1, self.last // 32 + 1):
            self.gicd(IGROUPR + 4 * word, ones * group)
            self.gicd(ISENABLER + 4 * word, ones)
        for intid in range(32, self.last + 1):
            self.gicd(IPRIORITYR + intid, PRIORITY, 1)
        for cpu in self.cpus:
            self.gicr(cpu, WAKER, 0)
            self.sgi(cpu, IGROUPR, ones * group)
            self.sgi(cpu, ISENABLER, ones)
            for intid in range(32):
                self.priority(intid, PRIORITY, cpu)
            self.icc("PMR", 0xF8, cpu)
            self.icc("IGRPEN0", 1, cpu)
            self.icc("IGRPEN1", 1, cpu)
        return self

    # Registers

    def gicd(self, offset: int, value: int, width: int = 4) -> None:
        self.gic.distributor.write(offset, width, value)

    def gicd_read(self, offset: int, width: int = 4) -> int:
        return self.gic.distributor.read(offset, width)

    def gicr(self, cpu: int, offset: int, value: int, width: int = 4) -> None:
        self.gic.redistributors.write(PE_SIZE * cpu + offset, width, value)

    def gicr_read(self, cpu: int, offset: int, width: int = 4) -> int:
        return self.gic.redistributors.read(PE_SIZE * cpu + offset, width)

    def sgi(self, cpu: int, offset: int, value: int, width: int = 4) -> None:
        self.gicr(cpu, SGI_FRAME + offset, value, width)

    def sgi_read(self, cpu: int, offset: int, width: int = 4) -> int:
        return self.gicr_read(cpu, SGI_FRAME + offset, width)

    def icc(self, name: str, value: int, cpu: int = 0) -> None:
        assert self.gic.cpu_interface(cpu).write(lookup(f"ICC_{name}_EL1"), value)

    def icc_read(self, name: str, cpu: int = 0) -> int:
        value = self.gic.cpu_interface(cpu).read(lookup(f"ICC_{name}_EL1"))
        assert value is not None
        return value

    # What registers do to one interrupt, private or shared

    def bit(self, register: int, intid: int, cpu: int = 0) -> None:
        """Write one bit of a bitmap register."""
        offset = register + 4 * (intid // 32)
        if intid < 32:
            self.sgi(cpu, offset, 1 << intid)
        else:
            self.gicd(offset, 1 << intid % 32)

    def test(self, register: int, intid: int, cpu: int = 0) -> bool:
        """Read one bit of a bitmap register."""
        offset = register + 4 * (intid // 32)
        word = self.sgi_read(cpu, offset) if intid < 32 else self.gicd_read(offset)
        return bool(word >> intid % 32 & 1)

    def group(self, intid: int, group: int, cpu: int = 0) -> None:
        """Put an interrupt into a group and leave the others."""
        offset = IGROUPR + 4 * (intid // 32)
        word = self.sgi_read(cpu, offset) if intid < 32 else self.gicd_read(offset)
        word = word & ~(1 << intid % 32) | group << intid % 32
        if intid < 32:
            self.sgi(cpu, offset, word)
        else:
            self.gicd(offset, word)

    def priority(self, intid: int, value: int, cpu: int = 0) -> None:
        if intid < 32:
            self.sgi(cpu, IPRIORITYR + intid, value, 1)
        else:
            self.gicd(IPRIORITYR + intid, value, 1)

    def edge(self, intid: int, edge: bool = True, cpu: int = 0) -> None:
        """Configure the trigger of an interrupt and leave the others."""
        offset = ICFGR + 4 * (intid // 16)
        word = self.sgi_read(cpu, offset) if intid < 32 else self.gicd_read(offset)
        shift = 2 * (intid % 16)
        word = word & ~(3 << shift) | (2 << shift if edge else 0)
        if intid < 32:
            self.sgi(cpu, offset, word)
        else:
            self.gicd(offset, word)

    def route(self, intid: int, value: int) -> None:
        self.gicd(IROUTER + 8 * intid, value, 8)

    def line(self, intid: int, level: bool, cpu: int = 0) -> None:
        line = self.gic.ppi(cpu, intid) if intid < 32 else self.gic.spi(intid)
        line(level)

    def pulse(self, intid: int, cpu: int = 0) -> None:
        self.line(intid, True, cpu)
        self.line(intid, False, cpu)

    def acknowledge(self, cpu: int = 0, group: int = 1) -> int:
        return self.icc_read(f"IAR{group}", cpu)

    def end(self, intid: int, cpu: int = 0, group: int = 1) -> None:
        self.icc(f"EOIR{group}", intid, cpu)

    def state(self, intid: int, cpu: int = 0) -> str:
        """inactive, pending, active, or active and pending (IHI 0069H, 4.1.2)."""
        pending = "pending" if self.test(ISPENDR, intid, cpu) else ""
        active = "active" if self.test(ISACTIVER, intid, cpu) else ""
        return " and ".join(filter(None, (active, pending))) or "inactive"
