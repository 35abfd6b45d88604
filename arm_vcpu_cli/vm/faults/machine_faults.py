"""The interface of the rest of a machine to its faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.vm.faults.armed_fault import ArmedFault, Injection


class MachineFaults(Protocol):
    """The faults of one machine. Implemented by :class:`~arm_vcpu_cli.vm.faults.fault_injector.Faults`."""

    observer: Callable[[Injection], None] | None
    """Called with each injection."""

    @property
    def armed(self) -> Sequence[ArmedFault]:
        """All faults, in the order of the machine file."""

    @property
    def limit(self) -> int | None:
        """The number of executed instructions after which to call :meth:`at_limit`; None for never."""

    def at_limit(self, executed: int | None = None) -> None:
        """Inject the fault due at an instruction, with the guest stopped; ``executed`` is the number so far, if it
        differs from the cores' count."""

    def cpu_on(self, target: int) -> PsciStatus | None:
        """Return the result of a CPU_ON for the vCPU with the affinity ``target`` that a fault makes fail, else
        None."""

    def reset(self) -> None:
        """Record a reset of the machine."""

    def save(self) -> dict[str, Any]:
        """Return the state as plain data."""

    def load(self, state: object) -> None:
        """Restore the state that :meth:`save` returned, after everything else; None is that of a machine without
        faults. Raises ValueError for any other state."""
