"""Reports each step in the life of each interrupt to a watcher.

The steps are visible in the calls between the infrastructure and the CPU interfaces. With a watcher those calls go to
the functions here, and otherwise directly to their targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from arm_vcpu_cli.devices.gic.common.bank import INTID_MASK, InterruptBank
from arm_vcpu_cli.devices.gic.common.infrastructure import Infrastructure, P
from arm_vcpu_cli.record import Record

InterruptWatcher = Callable[[str, int, int], None]
"""Called with an action, the number of the PE and the INTID, while the GIC is in the middle of an operation: it must
not use the GIC.

``raised``: the interrupt becomes pending, whether or not it can be signalled. The PE is the one that a shared interrupt
is routed to, the first of several, -1 if there is none. A level that stays asserted is raised again when the interrupt
that it raised before has ended. ``withdrawn``: it is no longer pending without having been taken: the line was
deasserted, or the guest cleared it. ``injected``: the PE's IRQ or FIQ output goes high, or stays high for another
interrupt than before. ``acknowledged``: the PE takes it. ``ended``: it is deactivated after that, by whatever means;
the PE is the one that took it."""

RAISED: Final = "raised"
WITHDRAWN: Final = "withdrawn"
INJECTED: Final = "injected"
ACKNOWLEDGED: Final = "acknowledged"
ENDED: Final = "ended"

_NOWHERE: Final = -1


class Output(Record):
    """What the outputs of a PE signal while one of them is high: FIQ, or else IRQ. They are never both high."""

    intid: int
    fiq: bool


class _BankWatch:
    """The interrupts of one bank. ``place`` returns the PE that an interrupt is routed to."""

    def __init__(self, bank: InterruptBank, place: Callable[[int], int], watcher: InterruptWatcher) -> None:
        self._bank = bank
        self._place = place
        self._watcher = watcher
        self._takers = dict.fromkeys(_bits(bank.active), _NOWHERE)
        self._taken = bank.active
        self._held = self._taken & bank.pending()
        """Acknowledged, and pending ever since: their inputs stay asserted."""
        self._pending = bank.pending()
        self._requests = self._pending & ~self._held

        self.taking = 0
        """The mask of interrupts that a PE is about to acknowledge: they are not withdrawn when they are no longer
        pending."""

    def remembered(self) -> tuple[dict[int, int], int, int, int, int]:
        return dict(self._takers), self._taken, self._held, self._pending, self._requests

    def recall(self, remembered: tuple[dict[int, int], int, int, int, int]) -> None:
        takers, self._taken, self._held, self._pending, self._requests = remembered
        self._takers = dict(takers)

    def look(self) -> None:
        """Report what has ended and what was raised since the last call."""
        active, pending = self._bank.active, self._bank.pending()
        if pending == self._pending and active == self._taken:
            # Most accesses of a guest to its GIC leave this bank unchanged.
            return
        self._pending = pending
        ended = self._taken & ~active
        if ended:
            self._taken ^= ended
            for intid in _bits(ended):
                taker = self._takers.pop(intid)
                self._watcher(ENDED, self._place(intid) if taker == _NOWHERE else taker, intid)
        self._held &= pending & active
        requests = pending & ~self._held
        raised, withdrawn = requests & ~self._requests, self._requests & ~requests & ~self.taking
        self._requests = requests
        for intid in _bits(withdrawn):
            self._watcher(WITHDRAWN, self._place(intid), intid)
        for intid in _bits(raised):
            self._watcher(RAISED, self._place(intid), intid)

    def take(self, cpu: int, intid: int) -> None:
        """Record that a PE has acknowledged an interrupt."""
        bit = 1 << intid
        self._taken |= bit
        self._takers[intid] = cpu
        self._held |= bit & self._bank.pending()
        self._requests &= ~bit
        self._watcher(ACKNOWLEDGED, cpu, intid)


class Watch:
    """Watches a GIC for one watcher from now on: interrupts that are already pending are not reported as raised, nor
    those already ``signalled`` to the PEs as injected. An interrupt that is already active ends at the PE that it is
    routed to."""

    def __init__(self, iri: Infrastructure[P], signalled: Iterable[Output | None], watcher: InterruptWatcher) -> None:
        self._watcher = watcher
        self._private = tuple(_BankWatch(pe.bank, _always(cpu), watcher) for cpu, pe in enumerate(iri.pes))
        self._shared = _BankWatch(iri.spis, iri.target, watcher)
        self._exists_once = iri.spis.valid
        self._outputs = list(signalled)

    def remembered(self) -> Any:
        """Return the states of all interrupts and outputs at the last look."""
        return [bank.remembered() for bank in (*self._private, self._shared)], list(self._outputs)

    def recall(self, remembered: Any) -> None:
        """Restore what :meth:`remembered` returned, here or in another watch of the same GIC."""
        banks, outputs = remembered
        for bank, of_bank in zip((*self._private, self._shared), banks, strict=True):
            bank.recall(of_bank)
        self._outputs[:] = outputs

    def look(self, cpu: int) -> None:
        """Report changes of the interrupts of a PE (-1: those without a PE)."""
        if cpu >= 0:
            self._private[cpu].look()
        self._shared.look()

    def signal(self, cpu: int, output: Output | None) -> None:
        """Record what the outputs of a PE signal now."""
        if output != self._outputs[cpu]:
            self._outputs[cpu] = output
            if output is not None:
                self._watcher(INJECTED, cpu, output.intid)

    def acknowledging(self, cpu: int, intid: int, acknowledge: Callable[[], int]) -> int:
        """Report an acknowledge by a PE, if it takes the interrupt that is signalled to it."""
        bank = self._shared if self._exists_once >> intid & 1 else self._private[cpu]
        bank.taking = 1 << intid
        found = acknowledge()
        bank.taking = 0
        # In a GICv2 the bits above an SGI's INTID identify the sender.
        if found & INTID_MASK == intid:
            bank.take(cpu, intid)
        return found


def _always(cpu: int) -> Callable[[int], int]:
    return lambda _intid: cpu


def _bits(mask: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set, from the lowest."""
    while mask:
        bit = mask & -mask
        yield bit.bit_length() - 1
        mask ^= bit
