"""The interrupt routing infrastructure: states of all interrupts, where they go, which is the best of each PE.

The Distributor's and the Redistributors' registers change what is here, the CPU interfaces take interrupts from here
(IHI 0069H, 3.1). An interrupt is raised in :meth:`Iri.set_line`, :meth:`Iri.send_sgi` and :meth:`Iri.set_message`,
acknowledged in :meth:`Iri.activate` and ended in :meth:`Iri.deactivate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK
from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI, FIRST_SPI, LAST_SPI, GicdIrouter, IccSgi1r
from arm_vcpu_cli.devices.gic.v3.bank import INTID_MASK, NO_INTERRUPT, InterruptBank

Present = Callable[[int, bool], None]
"""Tells a CPU interface its best pending interrupt: the rank, and whether it is of Group 1."""

_SGIS: Final = (1 << FIRST_PPI) - 1
_IROUTER_MASK: Final = int(GicdIrouter.of(IRM=1)) | AFFINITY_MASK
_IROUTER_ANY: Final = int(GicdIrouter.of(IRM=1))
_SGI_ANY: Final = int(IccSgi1r.of(IRM=1))
_SGI_CLUSTER: Final = int(IccSgi1r.of(Aff3=0xFF, Aff2=0xFF, Aff1=0xFF, RS=0xF))
_SGI_INTID: Final = IccSgi1r.INTID.lsb
_RANGE_BITS: Final = IccSgi1r.RS.width
_NOWHERE: Final = -1
"""The place of :attr:`Iri.nowhere`."""


def _cluster(affinity: int) -> int:
    """The fields Aff3, Aff2, Aff1 and RS with which an SGI names the range of 16 PEs that ``affinity`` is in."""
    place = GicdIrouter(affinity)
    return int(IccSgi1r.of(Aff3=place.Aff3, Aff2=place.Aff2, Aff1=place.Aff1, RS=place.Aff0 >> _RANGE_BITS))


def unheard(rank: int, group1: bool) -> None:
    """What a PE without a CPU interface does."""


class Pe:
    """What the infrastructure knows of one PE: its private interrupts, the SPIs that go to it, its CPU interface."""

    __slots__ = ("affinity", "asleep", "bank", "enable0", "enable1", "present", "routed")

    def __init__(self, affinity: int) -> None:
        self.affinity = affinity
        self.bank = InterruptBank(0, FIRST_SPI, edge=_SGIS)
        self.routed = 0
        self.asleep = True
        self.enable0 = self.enable1 = False
        self.present: Present = unheard


class Iri:
    """Distribution of the interrupts of a GIC with the PEs ``affinities`` and ``spis`` shared interrupts."""

    def __init__(self, affinities: Sequence[int], spis: int) -> None:
        self.pes = tuple(Pe(affinity) for affinity in affinities)
        self.nowhere = Pe(0)
        """Where shared interrupts go that no PE has: it sleeps for ever."""
        self._places = (*self.pes, self.nowhere)
        self.spis = InterruptBank(FIRST_SPI, FIRST_SPI + spis)
        self.enable0 = self.enable1 = False
        self.routers = [0] * (FIRST_SPI + spis)
        self._by_affinity = {pe.affinity: cpu for cpu, pe in enumerate(self.pes)}
        self._targets = [_NOWHERE] * (FIRST_SPI + spis)
        self._any = 0
        clusters: dict[int, list[tuple[int, int]]] = {}
        for cpu, pe in enumerate(self.pes):
            bit = 1 << (pe.affinity & (1 << _RANGE_BITS) - 1)
            clusters.setdefault(_cluster(pe.affinity), []).append((bit, cpu))
        self._clusters = clusters
        # At reset every router names affinity 0.
        first = self._by_affinity.get(0, _NOWHERE)
        if first >= 0:
            self._targets[FIRST_SPI:] = [first] * spis
            self.pes[first].routed = self.spis.valid

    # What happens to an interrupt ------------------------------------------------------------------------------

    def set_line(self, bank: InterruptBank, cpu: int, intid: int, level: bool) -> None:
        """Set the input of an interrupt; ``cpu`` is the PE of a PPI."""
        bit = 1 << intid
        if level:
            if bank.wires & bit:
                return
            bank.wires |= bit
            if bank.edge & bit:
                bank.latch |= bit
        elif bank.wires & bit:
            bank.wires ^= bit
        else:
            return
        bank.refresh()
        self.update(cpu if intid < FIRST_SPI else self._targets[intid])

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
        """Generate the SGI that a write of ICC_SGI1R_EL1 (``group1``), ICC_SGI0R_EL1 or ICC_ASGI1R_EL1 asks for.

        In one Security state the first makes SGIs of both groups pending, the others those of Group 0 only: a PE
        whose GICR_IGROUPR0 says otherwise does not get it (8.1, use of control registers for SGI forwarding).
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
        """The PE acknowledges an interrupt: it becomes active, and pending only if its input is still asserted."""
        bank = self.pes[cpu].bank if intid < FIRST_SPI else self.spis
        bit = 1 << intid
        bank.active |= bit
        bank.latch &= ~bit
        bank.refresh()
        self.update(cpu)

    def deactivate(self, cpu: int, intid: int) -> None:
        """The PE ends an interrupt that exists; one that is not active stays as it is."""
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
        """The PE that a shared interrupt goes to, -1 if none."""
        return self._targets[intid]

    def exists(self, intid: int) -> bool:
        """Whether there is such an interrupt, which special INTIDs are not."""
        return intid < len(self.routers)

    # Which is the best -----------------------------------------------------------------------------------------

    def update(self, cpu: int) -> None:
        """Find the best pending interrupt of a PE and present it; while the PE sleeps none is (GICR_WAKER)."""
        pe = self._places[cpu]
        bank = pe.bank
        shared = self.spis
        rank = NO_INTERRUPT
        group1 = False
        if not pe.asleep:
            if bank.ready:
                rank = bank.highest(bank.ready)
                group1 = bool(bank.group >> (rank & INTID_MASK) & 1)
            ready = shared.ready & pe.routed
            if ready:
                other = shared.highest(ready)
                if other < rank:
                    rank = other
                    group1 = bool(shared.group >> (rank & INTID_MASK) & 1)
        pe.present(rank, group1)

    def changed(self, cpu: int) -> None:
        """Something about the private interrupts of a PE is different."""
        self.pes[cpu].bank.refresh()
        self.update(cpu)

    def configured(self, cpu: int) -> None:
        """Enables or groups of the private interrupts of a PE are different."""
        self.pes[cpu].bank.forward(self.enable0, self.enable1)
        self.update(cpu)

    def shared_changed(self) -> None:
        """Something about SPIs is different."""
        self.spis.refresh()
        for cpu in range(len(self.pes)):
            self.update(cpu)

    def shared_configured(self) -> None:
        """Enables or groups of SPIs are different."""
        self.spis.forward(self.enable0, self.enable1)
        self._route_any()
        for cpu in range(len(self.pes)):
            self.update(cpu)

    def enable_groups(self, enable0: bool, enable1: bool) -> None:
        """Set GICD_CTLR's group enables."""
        self.enable0, self.enable1 = enable0, enable1
        for pe in self.pes:
            pe.bank.forward(enable0, enable1)
        self.shared_configured()

    # Where SPIs go ---------------------------------------------------------------------------------------------

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
        """The CPU interface's group enables: only PEs with the group enabled are candidates for 1 of N (2.3.2)."""
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
            target = self._by_affinity.get(router, _NOWHERE)
        before = self._targets[intid]
        if before >= 0:
            self.pes[before].routed &= ~bit
        self._targets[intid] = target
        if target >= 0:
            self.pes[target].routed |= bit

    def _participant(self, group1: bool) -> int:
        """The PE that gets a 1 of N interrupt: the first that is awake and has the group enabled."""
        for cpu, pe in enumerate(self.pes):
            if not pe.asleep and (pe.enable1 if group1 else pe.enable0):
                return cpu
        return _NOWHERE

    def _route_any(self) -> None:
        remaining = self._any
        while remaining:
            bit = remaining & -remaining
            self._route(bit.bit_length() - 1)
            remaining ^= bit


def check_shape(affinities: Sequence[int], spis: int) -> None:
    """ValueError unless the PEs have affinities, each its own, and the SPIs have INTIDs."""
    if not affinities:
        raise ValueError("a GIC needs at least one PE")
    for affinity in affinities:
        if affinity & ~AFFINITY_MASK:
            raise ValueError(f"{affinity:#x} is no affinity: it has bits outside of Aff3, Aff2, Aff1 and Aff0")
    if len(set(affinities)) != len(affinities):
        raise ValueError("two PEs have the same affinity")
    if not 0 <= spis <= LAST_SPI + 1 - FIRST_SPI:
        raise ValueError(f"{spis} SPIs, expected 0 to {LAST_SPI + 1 - FIRST_SPI}")
