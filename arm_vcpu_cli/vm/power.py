"""The power states of a machine's CPUs, as defined by PSCI (DEN0022, chapters 4 and 5): on, off or pending.

This module only decides and records; it does not depend on a vCPU or an engine. A CPU is named by its affinity, the
affinity fields of MPIDR_EL1 in their places. All results depend only on the order of the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.power_state import affinity_level_mask
from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK
from arm_vcpu_cli.arch.smccc import AffinityState, PsciStatus
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.saved import Saved

SAVED_VERSION: Final = 1
"""The version of the state that :meth:`PowerController.save` returns."""
_INSTRUCTION_SIZE: Final = 4


class CpuPower(Enum):
    """The state of one CPU. The values are those of a saved state."""

    OFF = "off"
    ON_PENDING = "on pending"
    ON = "on"
    SUSPENDED = "suspended"


class Start(Record):
    """The address at which a CPU starts, and its x0 (DEN0022, 6.4: the other registers have their reset values)."""

    entry: int
    context: int = 0


class PowerController:
    """Decides on the power states of one machine's CPUs, and records them.

    ``affinities`` names the CPUs in order: the first is on, the others are off. ``is_executable_address`` returns
    whether the guest may execute at an IPA. A method that takes the affinity of its caller raises :class:`KeyError` for
    a CPU that does not exist; a *target* comes from a guest, and may be anything.
    """

    def __init__(self, affinities: Iterable[int], is_executable_address: Callable[[int], bool]) -> None:
        order = tuple(affinities)
        if not order or len(set(order)) != len(order):
            raise ValueError("expected one CPU or more, each with an affinity of its own")
        if any(affinity & ~AFFINITY_MASK for affinity in order):
            raise ValueError("expected affinity fields only")
        self._is_executable_address = is_executable_address
        self._states = dict.fromkeys(order, CpuPower.OFF)
        self._states[order[0]] = CpuPower.ON
        # The starts of CPUs that are ON_PENDING, or SUSPENDED with loss of their registers.
        self._starts: dict[int, Start] = {}

    # Queries ---------------------------------------------------------------------------------------------------

    def state(self, cpu: int) -> CpuPower:
        """Return the state of a CPU."""
        return self._states[cpu]

    def is_powered_down(self, cpu: int) -> bool:
        """Return whether a CPU is suspended, and starts from its entry point when it wakes."""
        return self._states[cpu] is CpuPower.SUSPENDED and cpu in self._starts

    def online(self) -> tuple[int, ...]:
        """Return the CPUs that are on, including suspended ones, in order."""
        on = (CpuPower.ON, CpuPower.SUSPENDED)
        return tuple(cpu for cpu, state in self._states.items() if state in on)

    def is_last_on(self, cpu: int) -> bool:
        """Return whether ``cpu`` is on, and no other CPU is on or starting."""
        return self._states[cpu] is not CpuPower.OFF and self._others_are_off(cpu)

    def affinity_info(self, target: int, level: int) -> int:
        """The result of AFFINITY_INFO (DEN0022, 5.7): for one CPU at level 0, else for the group that shares the fields
        from that level on. Fields below the level are ignored.

        A suspended CPU counts as on. A group is on if one of its CPUs is, and off if all of them are.
        """
        mask = affinity_level_mask(level)
        if mask is None or target & ~AFFINITY_MASK:
            return PsciStatus.INVALID_PARAMETERS
        group = {state for cpu, state in self._states.items() if not (cpu ^ target) & mask}
        if not group:
            return PsciStatus.INVALID_PARAMETERS
        if group & {CpuPower.ON, CpuPower.SUSPENDED}:
            return AffinityState.ON
        return AffinityState.ON_PENDING if CpuPower.ON_PENDING in group else AffinityState.OFF

    def may_power_down(self, entry: int) -> PsciStatus:
        """Return SUCCESS if a CPU that loses its registers can start again at ``entry``, else INVALID_ADDRESS."""
        if entry % _INSTRUCTION_SIZE or not self._is_executable_address(entry):
            return PsciStatus.INVALID_ADDRESS
        return PsciStatus.SUCCESS

    def may_system_suspend(self, caller: int, entry: int) -> PsciStatus:
        """The result of SYSTEM_SUSPEND: DENIED unless all CPUs but the caller are off, INVALID_ADDRESS, or SUCCESS."""
        if self._states[caller] is not CpuPower.ON or not self._others_are_off(caller):
            return PsciStatus.DENIED
        return self.may_power_down(entry)

    def _others_are_off(self, cpu: int) -> bool:
        return all(state is CpuPower.OFF for other, state in self._states.items() if other != cpu)

    # Changes ---------------------------------------------------------------------------------------------------

    def cpu_on(self, target: int, entry: int, context: int) -> PsciStatus:
        """CPU_ON (DEN0022, 5.6): a CPU that is off becomes pending, with SUCCESS, until :meth:`take_start`."""
        state = self._states.get(target)
        if state is None:
            return PsciStatus.INVALID_PARAMETERS
        if state is CpuPower.ON_PENDING:
            return PsciStatus.ON_PENDING
        if state is not CpuPower.OFF:
            return PsciStatus.ALREADY_ON
        status = self.may_power_down(entry)
        if status is PsciStatus.SUCCESS:
            self._states[target] = CpuPower.ON_PENDING
            self._starts[target] = Start(entry, context)
        return status

    def take_start(self, cpu: int) -> Start | None:
        """Switch a starting CPU on and return its start; None for every other CPU."""
        if self._states[cpu] is not CpuPower.ON_PENDING:
            return None
        self._states[cpu] = CpuPower.ON
        return self._starts.pop(cpu)

    def cpu_off(self, cpu: int) -> PsciStatus:
        """CPU_OFF (DEN0022, 5.5) by ``cpu``; DENIED if it is not running."""
        return self._leave(cpu, CpuPower.OFF, None)

    def suspend(self, cpu: int, start: Start | None = None) -> PsciStatus:
        """CPU_SUSPEND (DEN0022, 5.4) by ``cpu``, which starts again at ``start``; None for a standby.

        INVALID_ADDRESS if it cannot start there, DENIED if it is not running.
        """
        status = PsciStatus.SUCCESS if start is None else self.may_power_down(start.entry)
        return self._leave(cpu, CpuPower.SUSPENDED, start) if status is PsciStatus.SUCCESS else status

    def system_suspend(self, cpu: int, start: Start) -> PsciStatus:
        """SYSTEM_SUSPEND by ``cpu``, which starts again at ``start`` when the system is woken (:meth:`resume`)."""
        status = self.may_system_suspend(cpu, start.entry)
        return self._leave(cpu, CpuPower.SUSPENDED, start) if status is PsciStatus.SUCCESS else status

    def resume(self, cpu: int) -> Start | None:
        """Handle a wake-up event: a suspended CPU is on again and starts at the requested address, or resumes (None).

        Nothing happens to a CPU that is not suspended.
        """
        if self._states[cpu] is not CpuPower.SUSPENDED:
            return None
        self._states[cpu] = CpuPower.ON
        return self._starts.pop(cpu, None)

    def _leave(self, cpu: int, state: CpuPower, start: Start | None) -> PsciStatus:
        if self._states[cpu] is not CpuPower.ON:
            return PsciStatus.DENIED
        self._states[cpu] = state
        if start is not None:
            self._starts[cpu] = start
        return PsciStatus.SUCCESS

    # Snapshots -------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """The state as numbers, strings, lists and dictionaries."""
        cpus: list[dict[str, Any]] = []
        for cpu, state in self._states.items():
            start = self._starts.get(cpu)
            saved = None if start is None else [start.entry, start.context]
            cpus.append({"affinity": cpu, "state": state.value, "start": saved})
        return {"version": SAVED_VERSION, "cpus": cpus}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Restore the state that :meth:`save` returned for the same CPUs. Raises ValueError, without any change, for
        any other state."""
        whole = Saved(saved, "power")
        if saved.get("version") != SAVED_VERSION:
            raise ValueError(f"version {saved.get('version')!r} of the CPUs' power states, expected {SAVED_VERSION}")
        states: dict[int, CpuPower] = {}
        starts: dict[int, Start] = {}
        for each in whole.parts("cpus", None):
            cpu = each.number("affinity", MASK64)
            states[cpu] = each.member("state", CpuPower)
            if not each.is_none("start"):
                entry, context = each.numbers("start", 2, MASK64)
                starts[cpu] = Start(entry, context)
            if not _may_have(states[cpu], starts.get(cpu)):
                raise ValueError(f"CPU {cpu:#x} is {states[cpu].value}, with start {each.value('start')!r}")
        if list(states) != list(self._states):
            raise ValueError(f"power states of the CPUs {list(states)}, expected {list(self._states)}")
        self._states, self._starts = states, starts


def _may_have(state: CpuPower, start: Start | None) -> bool:
    """Whether a CPU in that state may have that start."""
    if state is CpuPower.SUSPENDED:
        return True
    return (start is not None) is (state is CpuPower.ON_PENDING)
