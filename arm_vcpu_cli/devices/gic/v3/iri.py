"""The interrupt routing infrastructure: the states of all interrupts, their routing, and the best one of each PE.

The Distributor's and the Redistributors' registers change these states, and the CPU interfaces take interrupts from
here (IHI 0069H, 3.1). An interrupt is raised in :meth:`~.infrastructure.Infrastructure.set_line`, :meth:`Iri.send_sgi`
and :meth:`Iri.set_message`, acknowledged in :meth:`Iri.activate` and ended in :meth:`Iri.deactivate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK
from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI, GicdIrouter, IccSgi1r
from arm_vcpu_cli.devices.gic.common import infrastructure
from arm_vcpu_cli.devices.gic.common.infrastructure import NOWHERE, Infrastructure, check_spis
from arm_vcpu_cli.saved import Saved

_IROUTER_MASK: Final = int(GicdIrouter.of(IRM=1)) | AFFINITY_MASK
_IROUTER_ANY: Final = int(GicdIrouter.of(IRM=1))
_SGI_ANY: Final = int(IccSgi1r.of(IRM=1))
_SGI_CLUSTER: Final = int(IccSgi1r.of(Aff3=0xFF, Aff2=0xFF, Aff1=0xFF, RS=0xF))
_SGI_INTID: Final = IccSgi1r.INTID.lsb
_RANGE_BITS: Final = IccSgi1r.RS.width


def _cluster(affinity: int) -> int:
    """Return Aff3, Aff2, Aff1 and RS of an SGI to the range of 16 PEs that contains ``affinity``."""
    place = GicdIrouter(affinity)
    return int(IccSgi1r.of(Aff3=place.Aff3, Aff2=place.Aff2, Aff1=place.Aff1, RS=place.Aff0 >> _RANGE_BITS))


class Pe(infrastructure.Pe):
    """A PE with its affinity, and the groups that its CPU interface has enabled."""

    __slots__ = ("affinity", "enable0", "enable1")

    def __init__(self, affinity: int, *, asleep: bool = False) -> None:
        # GICR_WAKER resets to asleep (IHI 0069H, 12.11). Guests that never wake it must work, because neither KVM nor
        # QEMU holds interrupts back then: so it is awake, as firmware would leave it.
        super().__init__(asleep=asleep)
        self.affinity = affinity
        self.enable0 = self.enable1 = False


class Iri(Infrastructure[Pe]):
    """Distribution of the interrupts of a GIC with the PEs ``affinities`` and ``spis`` shared interrupts."""

    def __init__(self, affinities: Sequence[int], spis: int) -> None:
        super().__init__(tuple(Pe(affinity) for affinity in affinities), Pe(0, asleep=True), spis)
        self.lpis_wanted = False
        """Whether the guest has tried to enable LPIs. It is only for reports, so saved states do not contain it."""
        self.routers = [0] * (FIRST_SPI + spis)
        self._by_affinity = {pe.affinity: cpu for cpu, pe in enumerate(self.pes)}
        self._targets = [NOWHERE] * (FIRST_SPI + spis)
        self._any = 0
        clusters: dict[int, list[tuple[int, int]]] = {}
        for cpu, pe in enumerate(self.pes):
            bit = 1 << (pe.affinity & (1 << _RANGE_BITS) - 1)
            clusters.setdefault(_cluster(pe.affinity), []).append((bit, cpu))
        self._clusters = clusters
        # At reset every router names affinity 0.
        first = self._by_affinity.get(0, NOWHERE)
        if first >= 0:
            self._targets[FIRST_SPI:] = [first] * spis
            self.pes[first].routed = self.spis.valid

    # The life of an interrupt ----------------------------------------------------------------------------------

    def set_message(self, intid: int, level: bool) -> None:
        """Make an SPI pending or not by a message; one that does not exist is ignored (12.9)."""
        bank = self.spis
        bit = 1 << intid & bank.valid
        if not bit:
            return
        if not level:
            bank.messages &= ~bit
            bank.latch &= ~bit
        elif bank.edge & bit:
            bank.latch |= bit
        else:
            bank.messages |= bit
        bank.refresh()
        self.update(self._targets[intid])

    def send_sgi(self, sender: int, value: int, group1: bool) -> None:
        """Generate the SGI that a write of ICC_SGI1R_EL1 (``group1``), ICC_SGI0R_EL1 or ICC_ASGI1R_EL1 requests.

        In one Security state the first makes SGIs of both groups pending, the others only those of Group 0: a PE with
        the SGI in the other group (GICR_IGROUPR0) does not get it (8.1, use of control registers for SGI forwarding).
        """
        bit = 1 << (value >> _SGI_INTID & 0xF)
        if value & _SGI_ANY:
            targets = [cpu for cpu in range(len(self.pes)) if cpu != sender]
        else:
            targets = [cpu for place, cpu in self._clusters.get(value & _SGI_CLUSTER, ()) if value & place]
        for cpu in targets:
            bank = self.pes[cpu].bank
            if group1 or not bank.group & bit:
                bank.latch |= bit
                bank.refresh()
                self.update(cpu)

    def activate(self, cpu: int, intid: int) -> None:
        """Acknowledge an interrupt: it becomes active, and stays pending only if its input is still asserted."""
        bank = self.pes[cpu].bank if intid < FIRST_SPI else self.spis
        bit = 1 << intid
        bank.active |= bit
        bank.latch &= ~bit
        bank.refresh()
        self.update(cpu)

    def deactivate(self, cpu: int, intid: int) -> None:
        """End an interrupt that exists; one that is not active stays as it is."""
        if intid < FIRST_SPI:
            bank = self.pes[cpu].bank
            target = cpu
        else:
            bank = self.spis
            target = self._targets[intid]
        bank.active &= ~(1 << intid)
        bank.refresh()
        self.update(cpu)
        if target != cpu:
            self.update(target)

    def target(self, intid: int) -> int:
        """Return the PE that a shared interrupt is routed to, -1 if there is none."""
        return self._targets[intid]

    # The best interrupt ----------------------------------------------------------------------------------------

    def update_shared(self, intid: int) -> None:
        """Present the best interrupt to the PE that a shared interrupt is routed to."""
        self.update(self._targets[intid])

    def shared_configured(self) -> None:
        """Record a change of enables or groups of SPIs, which may change the candidates for 1 of N."""
        self._route_any()
        super().shared_configured()

    # Routing of SPIs -------------------------------------------------------------------------------------------

    def set_router(self, intid: int, value: int) -> None:
        """Write GICD_IROUTER<n> of an SPI that exists."""
        before = self._targets[intid]
        self.routers[intid] = value & _IROUTER_MASK
        self._route(intid)
        self.update(before)
        self.update(self._targets[intid])

    def set_asleep(self, cpu: int, asleep: bool) -> None:
        """Write GICR_WAKER.ProcessorSleep."""
        self.pes[cpu].asleep = asleep
        self._participation_changed(cpu)

    def set_participation(self, cpu: int, enable0: bool, enable1: bool) -> None:
        """Record the CPU interface's group enables: only PEs with the group enabled are candidates for 1 of N
        (2.3.2)."""
        pe = self.pes[cpu]
        pe.enable0, pe.enable1 = enable0, enable1
        self._participation_changed(cpu)

    def _participation_changed(self, cpu: int) -> None:
        if self._any:
            self._route_any()
            for other in range(len(self.pes)):
                self.update(other)
        else:
            self.update(cpu)

    def _route(self, intid: int) -> None:
        router = self.routers[intid]
        bit = 1 << intid
        if router & _IROUTER_ANY:
            self._any |= bit
            target = self._participant(bool(self.spis.group & bit))
        else:
            self._any &= ~bit
            target = self._by_affinity.get(router, NOWHERE)
        before = self._targets[intid]
        if before >= 0:
            self.pes[before].routed &= ~bit
        self._targets[intid] = target
        if target >= 0:
            self.pes[target].routed |= bit

    def _participant(self, group1: bool) -> int:
        """Return the PE that gets a 1 of N interrupt: the first that is awake and has the group enabled."""
        for cpu, pe in enumerate(self.pes):
            if not pe.asleep and (pe.enable1 if group1 else pe.enable0):
                return cpu
        return NOWHERE

    # The state as plain data -----------------------------------------------------------------------------------

    def save(self) -> dict[str, object]:
        """Return all interrupts and their routing, and GICD_CTLR's enables."""
        return {
            "enable0": self.enable0,
            "enable1": self.enable1,
            "spis": self.spis.save(),
            "routers": self.routers[FIRST_SPI:],
            "private": [{"bank": pe.bank.save(), "asleep": pe.asleep} for pe in self.pes],
        }

    def load(self, saved: Saved) -> None:
        """Load what :meth:`save` returned. Raises ValueError if it is for other numbers of interrupts and PEs."""
        enable0, enable1 = saved.flag("enable0"), saved.flag("enable1")
        routers = saved.numbers("routers", len(self.routers) - FIRST_SPI, _IROUTER_MASK)
        for pe, private in zip(self.pes, saved.parts("private", len(self.pes)), strict=True):
            pe.bank.load(private.part("bank"))
            pe.asleep = private.flag("asleep")
        self.spis.load(saved.part("spis"))
        for intid, router in enumerate(routers, FIRST_SPI):
            self.routers[intid] = router & _IROUTER_MASK
            self._route(intid)
        self.enable_groups(enable0, enable1)
        for cpu in range(len(self.pes)):
            self.update(cpu)

    def _route_any(self) -> None:
        remaining = self._any
        while remaining:
            bit = remaining & -remaining
            self._route(bit.bit_length() - 1)
            remaining ^= bit


def check_shape(affinities: Sequence[int], spis: int) -> None:
    """Raise ValueError unless each PE has a unique affinity, and each SPI an INTID."""
    if not affinities:
        raise ValueError("a GIC needs at least one PE")
    for affinity in affinities:
        if affinity & ~AFFINITY_MASK:
            raise ValueError(f"{affinity:#x} is not an affinity: it has bits outside Aff3, Aff2, Aff1 and Aff0")
    if len(set(affinities)) != len(affinities):
        raise ValueError("two PEs have the same affinity")
    check_spis(spis)
