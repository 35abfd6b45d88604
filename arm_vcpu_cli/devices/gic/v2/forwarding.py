"""The interrupts of a GICv2: the senders of SGIs, the targets of SPIs, and their states (IHI 0048B, 3.2).

The Distributor's registers change these states, and the CPU interfaces take interrupts from here. An interrupt is
raised in :meth:`~.infrastructure.Infrastructure.set_line`, :meth:`Forwarding.send_sgi` and
:meth:`Forwarding.change_sources`, acknowledged in :meth:`Forwarding.activate` and ended in
:meth:`Forwarding.deactivate`.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI, FIRST_SPI
from arm_vcpu_cli.arch.registers.gicv2regs import MAX_CPUS, GiccIntid, GicdSgir
from arm_vcpu_cli.devices.gic.common import infrastructure
from arm_vcpu_cli.devices.gic.common.infrastructure import NOWHERE, SGIS, Infrastructure, check_spis
from arm_vcpu_cli.saved import Saved

CPUID: Final = GiccIntid.CPUID.lsb
"""The lowest bit of the PE that sent an SGI, above the INTID in GICC_IAR and the like."""
_FILTER: Final = GicdSgir.TargetListFilter.lsb
_TARGETS: Final = GicdSgir.CPUTargetList.lsb
_LIST, _OTHERS, _ITSELF, _ = range(4)


class Pe(infrastructure.Pe):
    """A PE, and the senders of its SGIs: ``sources`` has for each SGI a bit for each PE that it is pending from,
    ``takens`` the PE that sent the active one."""

    __slots__ = ("sources", "takens")

    def __init__(self, *, asleep: bool = False) -> None:
        super().__init__(asleep=asleep)
        self.bank.enabled = SGIS
        self.sources = bytearray(FIRST_PPI)
        self.takens = bytearray(FIRST_PPI)


class Forwarding(Infrastructure[Pe]):
    """The interrupts of ``cpus`` PEs with ``spis`` shared ones. Raises ValueError if there are too many.

    SGIs are always enabled, which is IMPLEMENTATION DEFINED (4.3.5), as in the GIC-400 and in QEMU. An active SGI is
    not signalled again before it has ended, regardless of the sender. An SPI goes to all PEs in its target list, and
    belongs to the first that acknowledges it (1.4.3, 1-N model). A single PE has all of them.
    """

    def __init__(self, cpus: int, spis: int) -> None:
        if not 1 <= cpus <= MAX_CPUS:
            raise ValueError(f"{cpus} PEs, expected 1 to {MAX_CPUS}")
        check_spis(spis)
        super().__init__(tuple(Pe() for _ in range(cpus)), Pe(asleep=True), spis)
        self.everybody = (1 << cpus) - 1
        self.targets = bytearray(FIRST_SPI + spis)
        self._members = tuple(
            tuple(cpu for cpu in range(cpus) if mask >> cpu & 1) for mask in range(self.everybody + 1)
        )
        if cpus == 1:
            self.targets[FIRST_SPI:] = b"\1" * spis
            self.pes[0].routed = self.spis.valid

    # SGIs --------------------------------------------------------------------------------------------------------

    def send_sgi(self, sender: int, value: int) -> None:
        """Generate the SGI that a write of GICD_SGIR requests; the reserved filter means no PE (4.3.15)."""
        chosen = value >> _FILTER & 3
        if chosen == _LIST:
            mask = value >> _TARGETS & self.everybody
        elif chosen == _OTHERS:
            mask = self.everybody ^ 1 << sender
        else:
            mask = 1 << sender if chosen == _ITSELF else 0
        intid = value & 0xF
        source = 1 << sender
        for cpu in self._members[mask]:
            pe = self.pes[cpu]
            bank = pe.bank
            pe.sources[intid] |= source
            bank.latch |= 1 << intid
            bank.refresh()
            self.update(cpu)

    def change_sources(self, cpu: int, first: int, values: bytes, *, pending: bool) -> None:
        """Make SGIs from ``first`` on pending for a PE, or no longer pending, from the PEs in ``values`` (4.3.16,
        4.3.17)."""
        pe = self.pes[cpu]
        for intid, value in enumerate(values, first):
            if pending:
                pe.sources[intid] |= value & self.everybody
            else:
                pe.sources[intid] &= ~value
        self._latch_sgis(pe)
        self.changed(cpu)

    @staticmethod
    def _latch_sgis(pe: Pe) -> None:
        """Make an SGI pending while it is pending from any PE."""
        pe.bank.latch = pe.bank.latch & ~SGIS | sum(1 << intid for intid, mask in enumerate(pe.sources) if mask)

    def sender(self, cpu: int, intid: int) -> int:
        """Return the lowest PE that has sent a pending SGI, 0 for other interrupts, as shown in CPUID."""
        if intid >= FIRST_PPI:
            return 0
        sources = self.pes[cpu].sources[intid]
        return (sources & -sources).bit_length() - 1

    # From acknowledge to end ---------------------------------------------------------------------------------------

    def activate(self, cpu: int, intid: int) -> int:
        """Acknowledge a pending interrupt: it becomes active, and stays pending only if its input is still asserted, or
        if it is an SGI that another PE has sent too. Returns GICC_IAR: the INTID, and the sender above it."""
        bit = 1 << intid
        if intid >= FIRST_SPI:
            shared = self.spis
            shared.active |= bit
            shared.latch &= ~bit
            shared.refresh()
            self.update(cpu)
            for other in self._members[self.targets[intid]]:
                if other != cpu:
                    self.update(other)
            return intid
        pe = self.pes[cpu]
        bank = pe.bank
        said = intid
        bank.active |= bit
        if intid >= FIRST_PPI:
            bank.latch &= ~bit
        else:
            sources = pe.sources[intid]
            pe.takens[intid] = sender = (sources & -sources).bit_length() - 1
            pe.sources[intid] = sources = sources & sources - 1
            if not sources:
                bank.latch &= ~bit
            said |= sender << CPUID
        bank.refresh()
        self.update(cpu)
        return said

    def deactivate(self, cpu: int, intid: int, sender: int) -> None:
        """End an interrupt that exists; one that is not active stays as it is, and so does an SGI of a sender other
        than ``sender``."""
        bit = 1 << intid
        if intid >= FIRST_SPI:
            self.spis.active &= ~bit
            self.spis.refresh()
            self.update(cpu)
            for other in self._members[self.targets[intid]]:
                if other != cpu:
                    self.update(other)
            return
        pe = self.pes[cpu]
        if intid >= FIRST_PPI or pe.takens[intid] == sender:
            pe.bank.active &= ~bit
            pe.bank.refresh()
        self.update(cpu)

    def group1(self, cpu: int, intid: int) -> bool:
        """Return whether an interrupt that exists is in Group 1."""
        return bool((self.pes[cpu].bank if intid < FIRST_SPI else self.spis).group >> intid & 1)

    # Targets of SPIs -----------------------------------------------------------------------------------------------

    def target(self, intid: int) -> int:
        """Return the first PE that a shared interrupt is routed to, -1 if there is none."""
        members = self._members[self.targets[intid]]
        return members[0] if members else NOWHERE

    def update_shared(self, intid: int) -> None:
        """Present the best interrupt to all PEs that a shared interrupt is routed to."""
        members = self._members[self.targets[intid]]
        if members:
            for cpu in members:
                self.update(cpu)
        else:
            self.update(NOWHERE)

    def set_targets(self, first: int, values: bytes) -> None:
        """Write GICD_ITARGETSR<n> of the SPIs from ``first`` on that exist; a single PE stays the target (4.3.12)."""
        if len(self.pes) == 1:
            return
        for intid, value in enumerate(values[: max(0, len(self.targets) - first)], first):
            self.targets[intid] = value & self.everybody
        self._route()
        self.shared_changed()

    def _route(self) -> None:
        for cpu, pe in enumerate(self.pes):
            pe.routed = sum(1 << intid for intid, mask in enumerate(self.targets) if mask >> cpu & 1)

    # The state as plain data ---------------------------------------------------------------------------------------

    def save(self) -> dict[str, object]:
        """Return all interrupts, and GICD_CTLR's enables."""
        return {
            "enable0": int(self.enable0),
            "enable1": int(self.enable1),
            "spis": self.spis.save(),
            "targets": list(self.targets),
            "private": [
                {"bank": pe.bank.save(), "sources": list(pe.sources), "takens": list(pe.takens)} for pe in self.pes
            ],
        }

    def load(self, saved: Saved) -> None:
        """Load what :meth:`save` returned. Raises ValueError if it is for other numbers of interrupts and PEs."""
        enable0, enable1 = bool(saved.number("enable0", 1)), bool(saved.number("enable1", 1))
        targets = bytes(saved.numbers("targets", len(self.targets), self.everybody))
        for pe, private in zip(self.pes, saved.parts("private", len(self.pes)), strict=True):
            pe.bank.load(private.part("bank"))
            pe.bank.enabled |= SGIS
            pe.sources[:] = bytes(private.numbers("sources", FIRST_PPI, self.everybody))
            pe.takens[:] = bytes(private.numbers("takens", FIRST_PPI, len(self.pes) - 1))
            self._latch_sgis(pe)
        self.spis.load(saved.part("spis"))
        if len(self.pes) > 1:
            self.targets[FIRST_SPI:] = targets[FIRST_SPI:]
            self._route()
        self.enable_groups(enable0, enable1)
