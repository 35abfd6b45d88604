"""A GICv2 on the bench: its registers by name, its outputs recorded."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.devices.gic.v2 import GicV2

GICD_CTLR, GICD_TYPER, GICD_IIDR = 0x000, 0x004, 0x008
IGROUPR, ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER = 0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380
IPRIORITYR, ITARGETSR, ICFGR = 0x400, 0x800, 0xC00
SGIR, CPENDSGIR, SPENDSGIR = 0xF00, 0xF10, 0xF20
CTLR, PMR, BPR, IAR, EOIR, RPR, HPPIR, ABPR, AIAR, AEOIR, AHPPIR = range(0x00, 0x2C, 4)
APR0, NSAPR0, GICC_IIDR, DIR = 0xD0, 0xE0, 0xFC, 0x1000
GRP0, GRP1, ACK_CTL, FIQ_EN, CBPR, EOI_MODE = 0x1, 0x2, 0x4, 0x8, 0x10, 0x200
SPURIOUS, GROUP1 = 1023, 1022
IDLE = 0xFF
ONES = 0xFFFF_FFFF
PRIORITY: Final = 0xA0
"""What every interrupt has after :meth:`Bench.start`."""
TIMER, UART, DISK = 27, 33, 40


def sgi(intid: int, *, to: int = 0, mode: int = 0) -> int:
    """What GICD_SGIR is written with: ``to`` is a mask of PEs."""
    return mode << 24 | to << 16 | intid


class Bench:
    """A GIC with some PEs; ``irq`` and ``fiq`` are the levels of its outputs, ``edges`` each change of them."""

    def __init__(self, cpus: int = 1, *, spis: int = 256) -> None:
        self.cpus = range(cpus)
        self.irq = [False for _ in self.cpus]
        self.fiq = [False for _ in self.cpus]
        self.edges: list[tuple[int, bool, bool]] = []
        self.last = 31 + spis
        self.gic = GicV2(cpus, spis=spis, signal=self._signal)

    def _signal(self, cpu: int, irq: bool, fiq: bool) -> None:
        assert (irq, fiq) != (self.irq[cpu], self.fiq[cpu])
        self.irq[cpu], self.fiq[cpu] = irq, fiq
        self.edges.append((cpu, irq, fiq))

    def start(self, *, control: int = GRP0 | GRP1 | ACK_CTL) -> Bench:
        """Do what an operating system does: all at one priority, enabled; the SPIs go to PE 0."""
        self.gicd(GICD_CTLR, 3)
        for word in range(1, self.last // 32 + 1):
            self.gicd(ISENABLER + 4 * word, ONES)
        for intid in range(32, self.last + 1):
            self.gicd(IPRIORITYR + intid, PRIORITY, width=1)
            self.gicd(ITARGETSR + intid, 1, width=1)
        for cpu in self.cpus:
            self.gicd(ISENABLER, ONES, cpu)
            for intid in range(32):
                self.priority(intid, PRIORITY, cpu)
            self.gicc(PMR, 0xF8, cpu)
            self.gicc(CTLR, control, cpu)
        return self

    # Registers

    def gicd(self, offset: int, value: int, cpu: int = 0, width: int = 4) -> None:
        self.gic.distributor(cpu).write(offset, width, value)

    def gicd_read(self, offset: int, cpu: int = 0, width: int = 4) -> int:
        return self.gic.distributor(cpu).read(offset, width)

    def gicc(self, offset: int, value: int, cpu: int = 0) -> None:
        self.gic.cpu_interface(cpu).write(offset, 4, value)

    def gicc_read(self, offset: int, cpu: int = 0) -> int:
        return self.gic.cpu_interface(cpu).read(offset, 4)

    # What registers do to one interrupt, private or shared

    def bit(self, register: int, intid: int, cpu: int = 0) -> None:
        """Write one bit of a bitmap register."""
        self.gicd(register + 4 * (intid // 32), 1 << intid % 32, cpu)

    def test(self, register: int, intid: int, cpu: int = 0) -> bool:
        """Read one bit of a bitmap register."""
        return bool(self.gicd_read(register + 4 * (intid // 32), cpu) >> intid % 32 & 1)

    def group(self, intid: int, group: int, cpu: int = 0) -> None:
        """Put an interrupt into a group and leave the others."""
        offset = IGROUPR + 4 * (intid // 32)
        word = self.gicd_read(offset, cpu) & ~(1 << intid % 32) | group << intid % 32
        self.gicd(offset, word, cpu)

    def priority(self, intid: int, value: int, cpu: int = 0) -> None:
        self.gicd(IPRIORITYR + intid, value, cpu, width=1)

    def target(self, intid: int, mask: int) -> None:
        self.gicd(ITARGETSR + intid, mask, width=1)

    def edge(self, intid: int, edge: bool = True, cpu: int = 0) -> None:
        """Configure the trigger of an interrupt and leave the others."""
        offset = ICFGR + 4 * (intid // 16)
        shift = 2 * (intid % 16)
        word = self.gicd_read(offset, cpu) & ~(3 << shift) | (2 << shift if edge else 0)
        self.gicd(offset, word, cpu)

    def line(self, intid: int, level: bool, cpu: int = 0) -> None:
        line = self.gic.ppi(cpu, intid) if intid < 32 else self.gic.spi(intid)
        line(level)

    def pulse(self, intid: int, cpu: int = 0) -> None:
        self.line(intid, True, cpu)
        self.line(intid, False, cpu)

    def acknowledge(self, cpu: int = 0) -> int:
        return self.gicc_read(IAR, cpu)

    def end(self, value: int, cpu: int = 0) -> None:
        self.gicc(EOIR, value, cpu)

    def state(self, intid: int, cpu: int = 0) -> str:
        """inactive, pending, active, or active and pending (IHI 0048B, 1.4.1)."""
        pending = "pending" if self.test(ISPENDR, intid, cpu) else ""
        active = "active" if self.test(ISACTIVER, intid, cpu) else ""
        return " and ".join(filter(None, (active, pending))) or "inactive"
