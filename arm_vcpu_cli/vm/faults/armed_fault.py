"""A fault of a running machine: the counts of its trigger and of its injections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.board.fault_description import (
    AtAccess,
    AtCode,
    AtCpuOn,
    AtInterrupt,
    FaultDescription,
    FlipMemory,
    SpuriousInterrupt,
)
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.saved import Saved

_MOST: Final = 1 << 62
NOBODY: Final = -1
_COUNTED: Final = (AtAccess, AtCode, AtCpuOn, AtInterrupt)


class Injection(Record):
    """A fault that was injected for the ``number``-th time, at ``time`` (nanoseconds) while ``vcpu`` was at ``pc``;
    ``effect`` describes its effect."""

    fault: str
    kind: str
    number: int
    vcpu: int
    time: int
    pc: int
    effect: str


class ArmedFault:
    """One fault, with its counts, which continue through a reset of the machine."""

    def __init__(self, description: FaultDescription) -> None:
        self.description = description
        self.seen = 0
        """The number of occurrences of its trigger that count."""
        self.injected = 0
        """How often it was injected."""
        self.past = False
        """Whether its time was before the snapshot that the run continues from."""
        self.first: Injection | None = None
        self.last: Injection | None = None
        """The first and the last injection of this run, for reports."""
        self.resuming = NOBODY
        """The vCPU that stopped at the trigger's instruction, and has not executed it yet."""

    @property
    def concerns_machine(self) -> bool:
        """Whether its effect is on the machine, independent of its vCPUs."""
        effect = self.description.effect
        return isinstance(effect, SpuriousInterrupt) or (isinstance(effect, FlipMemory) and not effect.is_virtual)

    def occurs(self, vcpu: int, now: Callable[[], int]) -> bool:
        """Count an occurrence of the trigger at a vCPU; return whether the fault affects it."""
        trigger, cpu = self.description.trigger, self.description.cpu
        if not isinstance(trigger, _COUNTED) or cpu not in (None, vcpu) or (trigger.after and now() < trigger.after):
            return False
        self.seen += 1
        number = self.seen - trigger.count
        return number >= 0 and (not trigger.times or number < trigger.times)

    def save(self) -> dict[str, Any]:
        """The counts as plain data."""
        return {"seen": self.seen, "injected": self.injected, "resuming": self.resuming, "past": self.past}

    def load(self, saved: Saved) -> None:
        """Restore the counts that :meth:`save` returned. Raises ValueError for anything else."""
        seen, injected, resuming = (
            saved.number("seen", _MOST),
            saved.number("injected", _MOST),
            saved.integer("resuming"),
        )
        past = saved.flag("past")
        self.seen, self.injected, self.resuming, self.past = seen, injected, resuming, past
