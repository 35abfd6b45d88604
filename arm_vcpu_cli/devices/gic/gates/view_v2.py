"""A GICv2 as seen through its registers (IHI 0048B, chapter 4)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.registers.gicv2regs import GiccCtlr, GicdTyperV2
from arm_vcpu_cli.devices.gic.common.bank import PRIORITY_MASK
from arm_vcpu_cli.devices.gic.common.interface import MIN_BPR0, MIN_BPR1
from arm_vcpu_cli.devices.gic.common.registers import GICD_CTLR, GICD_TYPER, IPRIORITYR, ITARGETSR
from arm_vcpu_cli.devices.gic.gates.gate import Frame, RegisterAt
from arm_vcpu_cli.devices.gic.gates.view import WORD_BITS, GicView
from arm_vcpu_cli.devices.gic.v2.forwarding import CPUID
from arm_vcpu_cli.devices.gic.v2.gicv2 import GicV2
from arm_vcpu_cli.devices.gic.v2.registers import ABPR, APR, BPR, CTLR, DIR, DISTRIBUTOR, EOIR, NSAPR, PMR, RPR

_CONTROL: Final = RegisterAt("GICD_CTLR", Frame.DISTRIBUTOR, 0, GICD_CTLR)
_INTERFACE: Final = MappingProxyType(
    {"CTLR": CTLR, "PMR": PMR, "BPR": BPR, "EOIR": EOIR, "RPR": RPR, "ABPR": ABPR, "DIR": DIR}
    | {"APR0": APR, "NSAPR0": NSAPR}
)


class GicV2View(GicView):
    """The GIC as a guest can read it, plus the senders of active SGIs, which only their acknowledges reveal."""

    uses_group1 = False

    def __init__(self, gic: GicV2) -> None:
        self._gic = gic
        typer = GicdTyperV2(gic.distributor(0).read(GICD_TYPER, 4))
        super().__init__(typer.CPUNumber + 1, (typer.ITLinesNumber + 1) * WORD_BITS)

    def read(self, register: RegisterAt) -> int:
        """Return the value of a register."""
        gic, cpu = self._gic, register.cpu
        frame = gic.cpu_interface(cpu) if register.frame is Frame.CPU_INTERFACE else gic.distributor(cpu)
        return frame.read(register.offset, register.width)

    def interrupt_register(self, base: int, cpu: int, intid: int, bits: int = 1) -> RegisterAt:
        """Return GICD_ISENABLER<n> or a similar register."""
        offset = base + intid * bits // WORD_BITS * 4
        return RegisterAt(DISTRIBUTOR.name(offset, 4), Frame.DISTRIBUTOR, cpu, offset)

    def priority_register(self, cpu: int, intid: int) -> RegisterAt:
        """Return the byte of GICD_IPRIORITYR<n>."""
        offset = IPRIORITYR + intid
        return RegisterAt(DISTRIBUTOR.name(offset, 1), Frame.DISTRIBUTOR, cpu, offset, 1)

    def control(self) -> RegisterAt:
        """Return GICD_CTLR."""
        return _CONTROL

    def interface(self, name: str, cpu: int) -> RegisterAt:
        """Return GICC_PMR or a similar register."""
        return RegisterAt(f"GICC_{name}", Frame.CPU_INTERFACE, cpu, _INTERFACE[name])

    def group_enable(self, cpu: int, group1: bool) -> tuple[RegisterAt, int]:
        """Return GICC_CTLR with EnableGrp0 or EnableGrp1."""
        bit = GiccCtlr.of(EnableGrp1=1) if group1 else GiccCtlr.of(EnableGrp0=1)
        return self.interface("CTLR", cpu), int(bit)

    def end_register(self, cpu: int, group1: bool) -> RegisterAt:  # noqa: ARG002
        """Return GICC_EOIR, for both groups."""
        return self.interface("EOIR", cpu)

    def end_value(self, cpu: int, intid: int) -> int:
        """Return the INTID, and above it the PE that sent an SGI (4.4.5)."""
        return intid | self._gic.sender(cpu, intid) << CPUID

    def active_priorities(self, cpu: int, group1: bool) -> RegisterAt:
        """Return GICC_APR0 or GICC_NSAPR0."""
        return self.interface("NSAPR0" if group1 else "APR0", cpu)

    def eoi_mode(self, cpu: int) -> bool:
        """Return GICC_CTLR.EOImode."""
        return bool(self._interface_control(cpu).EOImode)

    def binary_point(self, cpu: int, group1: bool) -> RegisterAt:
        """GICC_BPR or GICC_ABPR (3.3.3)."""
        return self.interface("ABPR" if self._has_own_point(cpu, group1) else "BPR", cpu)

    def group_mask(self, cpu: int, group1: bool) -> int:
        """Return the mask by GICC_BPR and GICC_ABPR (3.3.3)."""
        lowest = MIN_BPR1 if self._has_own_point(cpu, group1) else MIN_BPR0
        return PRIORITY_MASK & PRIORITY_MASK << self.read(self.binary_point(cpu, group1)) - lowest

    def _has_own_point(self, cpu: int, group1: bool) -> bool:
        return group1 and not self._interface_control(cpu).CBPR

    def signals_as_fiq(self, cpu: int, group1: bool) -> bool:
        """Return whether it is Group 0 with GICC_CTLR.FIQEn (4.4.1)."""
        return not group1 and bool(self._interface_control(cpu).FIQEn)

    def sleeps(self, cpu: int) -> RegisterAt | None:  # noqa: ARG002
        """Return None: a GICv2 does not know sleeping PEs."""
        return None

    def route(self, intid: int) -> RegisterAt:
        """Return the byte of GICD_ITARGETSR<n>."""
        offset = ITARGETSR + intid
        return RegisterAt(DISTRIBUTOR.name(offset, 1), Frame.DISTRIBUTOR, 0, offset, 1)

    def targets(self, intid: int) -> tuple[int, ...]:
        """Return the PEs in its list. A single PE has all shared interrupts (4.3.12)."""
        if self.cpus == 1:
            return (0,)
        mask = self.read(self.route(intid))
        return tuple(cpu for cpu in range(self.cpus) if mask >> cpu & 1)

    def route_to(self, intid: int, cpu: int) -> int:  # noqa: ARG002
        """Return a list of one."""
        return 1 << cpu

    def _interface_control(self, cpu: int) -> GiccCtlr:
        return GiccCtlr(self.read(self.interface("CTLR", cpu)))
