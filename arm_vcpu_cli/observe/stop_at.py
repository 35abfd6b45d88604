"""Stops a guest before an instruction, at any Exception level."""

from __future__ import annotations

from arm_vcpu_cli.vm.machine import Machine


class StopAt:
    """Ends the run of a machine when the instruction at ``address`` (virtual) is about to be executed for the
    ``count``-th time, by any vCPU or by ``vcpu`` alone. ``name`` is the user's name for the address."""

    def __init__(self, machine: Machine, address: int, name: str, *, count: int = 1, vcpu: int | None = None) -> None:
        self._machine = machine
        self._name = name
        self._count = count
        self._vcpu = vcpu
        self.hits = 0
        """The number of times that the instruction was reached."""
        for core in machine.host.cores:
            core.stop_before(address, self._is_enough)

    @property
    def reached(self) -> bool:
        """Whether the requested count has been reached."""
        return self.hits >= self._count

    def _is_enough(self) -> bool:
        machine = self._machine
        if self._vcpu is not None and machine.current.index != self._vcpu:
            return False
        self.hits += 1
        if self.reached:
            times = "" if self._count == 1 else f" for the {ordinal(self._count)} time"
            machine.seen_enough = f"reached {self._name}{times}"
        return self.reached


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``11th``."""
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
