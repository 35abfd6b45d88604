"""A GICv3 as seen through its registers (IHI 0069H, chapter 12)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI, GicdIrouter, GicdTyper, GicrTyper, GicrWaker, IccCtlr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.devices.gic.common.bank import PRIORITY_MASK
from arm_vcpu_cli.devices.gic.common.frame import FRAME_SIZE
from arm_vcpu_cli.devices.gic.common.interface import MIN_BPR0, MIN_BPR1
from arm_vcpu_cli.devices.gic.common.registers import GICD_CTLR, GICD_TYPER, IPRIORITYR
from arm_vcpu_cli.devices.gic.gates.gate import Frame, RegisterAt
from arm_vcpu_cli.devices.gic.gates.view import WORD_BITS, GicView
from arm_vcpu_cli.devices.gic.v3.gicv3 import REDISTRIBUTOR_SIZE, GicV3
from arm_vcpu_cli.devices.gic.v3.registers import (
    DISTRIBUTOR,
    GICR_TYPER,
    IROUTER,
    IROUTER_SIZE,
    SGI_BASE,
    WAKER,
)
from arm_vcpu_cli.errors import EngineError

_CONTROL: Final = RegisterAt("GICD_CTLR", Frame.DISTRIBUTOR, 0, GICD_CTLR)


class GicV3View(GicView):
    """The GIC as a guest can read it."""

    def __init__(self, gic: GicV3) -> None:
        self._gic = gic
        typer = GicdTyper(gic.distributor.read(GICD_TYPER, 4))
        # The last Redistributor is marked as such.
        self._affinities: list[int] = []
        last = 0
        while not last:
            found = GicrTyper(gic.redistributors.read(len(self._affinities) * REDISTRIBUTOR_SIZE + GICR_TYPER, 8))
            place = GicdIrouter.of(Aff3=found.Aff3, Aff2=found.Aff2, Aff1=found.Aff1, Aff0=found.Aff0)
            self._affinities.append(int(place))
            last = found.Last
        super().__init__(len(self._affinities), (typer.ITLinesNumber + 1) * WORD_BITS)

    def read(self, register: RegisterAt) -> int:
        """Return the value of a register."""
        if register.frame is Frame.SYSTEM:
            value = self._gic.cpu_interface(register.cpu).read(lookup(register.name))
            if value is None:
                raise EngineError(f"{register.name} cannot be read")
            return value
        if register.frame is Frame.REDISTRIBUTOR:
            offset = register.cpu * REDISTRIBUTOR_SIZE + register.offset
            return self._gic.redistributors.read(offset, register.width)
        return self._gic.distributor.read(register.offset, register.width)

    def interrupt_register(self, base: int, cpu: int, intid: int, bits: int = 1) -> RegisterAt:
        """Return GICR_ISENABLER0 or a similar register, or GICD_ISENABLER<n>."""
        offset = base + intid * bits // WORD_BITS * 4
        if intid < FIRST_SPI:
            return RegisterAt(SGI_BASE.name(offset, 4), Frame.REDISTRIBUTOR, cpu, FRAME_SIZE + offset)
        return RegisterAt(DISTRIBUTOR.name(offset, 4), Frame.DISTRIBUTOR, cpu, offset)

    def priority_register(self, cpu: int, intid: int) -> RegisterAt:
        """Return the byte of GICR_IPRIORITYR<n> or GICD_IPRIORITYR<n>."""
        offset = IPRIORITYR + intid
        if intid < FIRST_SPI:
            return RegisterAt(SGI_BASE.name(offset, 1), Frame.REDISTRIBUTOR, cpu, FRAME_SIZE + offset, 1)
        return RegisterAt(DISTRIBUTOR.name(offset, 1), Frame.DISTRIBUTOR, cpu, offset, 1)

    def control(self) -> RegisterAt:
        """Return GICD_CTLR."""
        return _CONTROL

    def interface(self, name: str, cpu: int) -> RegisterAt:
        """Return ICC_PMR_EL1 or a similar register."""
        return RegisterAt(f"ICC_{name}_EL1", Frame.SYSTEM, cpu, width=8)

    def group_enable(self, cpu: int, group1: bool) -> tuple[RegisterAt, int]:
        """Return ICC_IGRPEN0_EL1 or ICC_IGRPEN1_EL1."""
        return self.interface(f"IGRPEN{int(group1)}", cpu), 1

    def end_register(self, cpu: int, group1: bool) -> RegisterAt:
        """Return ICC_EOIR0_EL1 or ICC_EOIR1_EL1."""
        return self.interface(f"EOIR{int(group1)}", cpu)

    def end_value(self, cpu: int, intid: int) -> int:  # noqa: ARG002
        """Return the INTID."""
        return intid

    def active_priorities(self, cpu: int, group1: bool) -> RegisterAt:
        """Return ICC_AP0R0_EL1 or ICC_AP1R0_EL1."""
        return self.interface(f"AP{int(group1)}R0", cpu)

    def eoi_mode(self, cpu: int) -> bool:
        """Return ICC_CTLR_EL1.EOImode."""
        return bool(self._interface_control(cpu).EOImode)

    def binary_point(self, cpu: int, group1: bool) -> RegisterAt:
        """ICC_BPR0_EL1 or ICC_BPR1_EL1 (4.8.2)."""
        return self.interface(f"BPR{int(self._has_own_point(cpu, group1))}", cpu)

    def group_mask(self, cpu: int, group1: bool) -> int:
        """Return the mask by ICC_BPR0_EL1 and ICC_BPR1_EL1 (4.8.2)."""
        lowest = MIN_BPR1 if self._has_own_point(cpu, group1) else MIN_BPR0
        return PRIORITY_MASK & PRIORITY_MASK << self.read(self.binary_point(cpu, group1)) - lowest

    def _has_own_point(self, cpu: int, group1: bool) -> bool:
        return group1 and not self._interface_control(cpu).CBPR

    def signals_as_fiq(self, cpu: int, group1: bool) -> bool:  # noqa: ARG002
        """Return whether it is Group 0, as in one Security state (4.6.2)."""
        return not group1

    def sleeps(self, cpu: int) -> RegisterAt | None:
        """Return GICR_WAKER."""
        waker = RegisterAt("GICR_WAKER", Frame.REDISTRIBUTOR, cpu, WAKER)
        return waker if GicrWaker(self.read(waker)).ProcessorSleep else None

    def route(self, intid: int) -> RegisterAt:
        """Return GICD_IROUTER<n>."""
        return RegisterAt(f"GICD_IROUTER{intid}", Frame.DISTRIBUTOR, 0, IROUTER + IROUTER_SIZE * intid, IROUTER_SIZE)

    def targets(self, intid: int) -> tuple[int, ...]:
        """Return the PE that it names. With IRM, return the participating ones: awake and with the group enabled
        (2.3.2)."""
        route = GicdIrouter(self.read(self.route(intid)))
        if not route.IRM:
            named = int(route.replace(IRM=0))
            return tuple(cpu for cpu, affinity in enumerate(self._affinities) if affinity == named)
        group1 = self.is_group1(0, intid)
        everybody = tuple(range(self.cpus))
        taking = (cpu for cpu in everybody if self.sleeps(cpu) is None and self._signals(cpu, group1))
        return next(((cpu,) for cpu in taking), everybody)

    def route_to(self, intid: int, cpu: int) -> int:  # noqa: ARG002
        """Return the affinity of the PE."""
        return self._affinities[cpu]

    def _signals(self, cpu: int, group1: bool) -> bool:
        register, bit = self.group_enable(cpu, group1)
        return bool(self.read(register) & bit)

    def _interface_control(self, cpu: int) -> IccCtlr:
        return IccCtlr(self.read(self.interface("CTLR", cpu)))
