"""PSCI 1.1, the SMCCC's own functions and the TRNG, called through HVC and SMC alike (DEN0022, DEN0028, DEN0098).

A call is a plain function from its four arguments to a result for x0, to several for the registers from x0 on, or to an
exit reason that leaves ``run()`` so that the VMM can start, stop or power off something.
:meth:`FirmwareCalls.exit_reason` returns the reason of a call without executing it: its functions decide and change
nothing.

A :class:`PowerStates` answers queries about other CPUs and memory. Only CPU_ON is decided by the VMM alone, because the
decision and its effects are one step.

The modelled CPU does not speculate, whatever its MIDR_EL1: the firmware's workarounds are answered as "not required"
(DEN0028, 7.5 to 7.8), which an unaffected host also answers under KVM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.power_state import POWER_STATE_MASK, PowerState, affinity_level_mask
from arm_vcpu_cli.arch.registers.el1regs import AFFINITY_MASK
from arm_vcpu_cli.arch.smccc import (
    PSCI_VERSION_1_1,
    SMC64,
    SMCCC_VERSION_1_2,
    WORKAROUND_NOT_REQUIRED_HERE,
    AffinityState,
    MigrateInfo,
    PsciFunction,
    PsciStatus,
    SmcccFunction,
    SmcccStatus,
    is_psci,
    is_trng,
    to_u64,
)
from arm_vcpu_cli.arm_vcpu.trng import EntropySource, trng_handlers
from arm_vcpu_cli.axvcpu.exit import CpuDown, CpuUp, Halt, PowerAction, SystemDown

CallExit = CpuUp | CpuDown | Halt | SystemDown
CallResult = int | tuple[int, ...] | CallExit
"""A value for x0, up to four for x0 to x3, or an exit reason."""
CallHandler = Callable[[int, int, int, int], CallResult]
"""(x0, x1, x2, x3), already truncated to 32 bits for an SMC32 call."""
ExitHandler = Callable[[int, int, int, int], int | CallExit]
"""A handler without side effects, of a call that leaves ``run()`` unless it is refused."""

_HIGHEST_POWER_LEVEL: Final = 0
"""CPUs have power states (level 0); clusters and the system have none that CPU_SUSPEND could request."""
_INSTRUCTION_SIZE: Final = 4

ARCH_FEATURES: Final[Mapping[int, int]] = MappingProxyType(
    {
        SmcccFunction.SMCCC_VERSION: SmcccStatus.SUCCESS,
        SmcccFunction.SMCCC_ARCH_FEATURES: SmcccStatus.SUCCESS,
        # Callable on every PE, and unnecessary on this one.
        SmcccFunction.SMCCC_ARCH_WORKAROUND_1: WORKAROUND_NOT_REQUIRED_HERE,
        SmcccFunction.SMCCC_ARCH_WORKAROUND_3: WORKAROUND_NOT_REQUIRED_HERE,
        # No PE of the system needs it, so it is not implemented.
        SmcccFunction.SMCCC_ARCH_WORKAROUND_2: SmcccStatus.NOT_REQUIRED,
    }
)
"""The answers of SMCCC_ARCH_FEATURES by function; all others are NOT_SUPPORTED."""


def _answer(value: int) -> CallHandler:
    return lambda _x0, _x1, _x2, _x3: value


def _word(value: int) -> int:
    """Return an argument that is 32 bits wide in both conventions: SMC64 passes it in the W register (DEN0028, 3.1)."""
    return value & 0xFFFF_FFFF


def _cpu_on(_x0: int, target: int, entry: int, context: int) -> int | CallExit:
    if target & ~AFFINITY_MASK:
        return PsciStatus.INVALID_PARAMETERS
    return CpuUp(target_cpu=target, entry_point=entry, arg=context)


def _system_reset2(_x0: int, kind: int, _cookie: int, _x3: int) -> int | CallExit:
    if _word(kind) != 0:
        # Neither the only other architectural type besides SYSTEM_WARM_RESET nor a vendor's (bit 31).
        return PsciStatus.INVALID_PARAMETERS
    return SystemDown(PowerAction.RESET)


def _arch_features(_x0: int, function: int, _x2: int, _x3: int) -> CallResult:
    return ARCH_FEATURES.get(function, SmcccStatus.NOT_SUPPORTED)


class PowerStates(Protocol):
    """A call's queries to the machine around its CPU, which change nothing."""

    def affinity_info(self, target: int, level: int) -> int:
        """Return AFFINITY_INFO's answer for a target at an affinity level: its state, or INVALID_PARAMETERS."""

    def may_power_down(self, entry: int) -> PsciStatus:
        """Return SUCCESS if a CPU that loses its registers can start again at that IPA, else INVALID_ADDRESS."""

    def may_system_suspend(self, caller: int, entry: int) -> PsciStatus:
        """Return SUCCESS if the CPU with that affinity may suspend the system, else DENIED or INVALID_ADDRESS."""


class OneCpu:
    """The :class:`PowerStates` of a single CPU, which the VMM may wake at any address."""

    def __init__(self, mpidr: int) -> None:
        self._mpidr = mpidr & AFFINITY_MASK

    def affinity_info(self, target: int, level: int) -> int:
        """Return ON for itself and for the groups that contain it."""
        mask = affinity_level_mask(level)
        if mask is None or target & ~AFFINITY_MASK or (target ^ self._mpidr) & mask:
            return PsciStatus.INVALID_PARAMETERS
        return AffinityState.ON

    def may_power_down(self, entry: int) -> PsciStatus:
        """Check only the alignment of an instruction, because the memory is unknown."""
        return PsciStatus.INVALID_ADDRESS if entry % _INSTRUCTION_SIZE else PsciStatus.SUCCESS

    def may_system_suspend(self, caller: int, entry: int) -> PsciStatus:  # noqa: ARG002
        """Check the address, because no other CPU is on."""
        return self.may_power_down(entry)


class FirmwareCalls:
    """The calls that the hypervisor itself answers, for one vCPU.

    ``mpidr`` is the caller's affinity, and ``power`` answers queries about the other CPUs; without it, the vCPU is
    alone. ``system_suspend`` is for a VMM that can suspend a whole machine: SYSTEM_SUSPEND is optional. ``entropy``
    feeds the TRNG; without it, the TRNG's functions are not handled here.
    """

    def __init__(
        self,
        mpidr: int,
        power: PowerStates | None = None,
        *,
        system_suspend: bool = False,
        entropy: EntropySource | None = None,
    ) -> None:
        self._mpidr = mpidr & AFFINITY_MASK
        self._power: PowerStates = power or OneCpu(mpidr)
        self._has_trng = entropy is not None
        self._leaving = self._leaving_calls(system_suspend=system_suspend)
        self._table: Mapping[int, CallHandler] = {
            **self._leaving,
            **self._answered_calls(),
            **(trng_handlers(entropy) if entropy else {}),
        }

    def find(self, function: int) -> CallHandler | None:
        """Return the handler of a 32-bit function identifier; None leaves the call to others."""
        handler = self._table.get(function)
        if handler is None and (is_psci(function) or (self._has_trng and is_trng(function))):
            return _answer(PsciStatus.NOT_SUPPORTED)
        return handler

    def call(self, x0: int, x1: int, x2: int, x3: int) -> CallResult | None:
        """Execute the call in x0 to x3.

        Returns the 64-bit value for x0, or a tuple of up to four for x0 to x3; an exit reason; or None if the call is
        not ours. Registers without a value keep theirs.
        """
        function = x0 & 0xFFFF_FFFF
        handler = self._table.get(function) or self.find(function)
        if handler is None:
            return None
        if not function & SMC64:
            x1, x2, x3 = x1 & 0xFFFF_FFFF, x2 & 0xFFFF_FFFF, x3 & 0xFFFF_FFFF
        result = handler(function, x1, x2, x3)
        if isinstance(result, int):
            return result & MASK64
        return tuple(map(to_u64, result)) if isinstance(result, tuple) else result

    def exit_reason(self, x0: int, x1: int, x2: int, x3: int) -> CallExit | None:
        """Return the exit that :meth:`call` with these registers would return; None for a call that is answered, or not
        ours.

        Nothing is executed: only calls without side effects are decoded further.
        """
        if x0 & 0xFFFF_FFFF not in self._leaving:
            return None
        result = self.call(x0, x1, x2, x3)
        return None if result is None or isinstance(result, (int, tuple)) else result

    # Calls that leave, unless they are refused -----------------------------------------------------------------

    def _cpu_suspend(self, _x0: int, power_state: int, entry: int, context: int) -> int | CallExit:
        """Handle CPU_SUSPEND (DEN0022, 5.4). The StateID is platform-specific: here all states of a type are the
        same."""
        power_state = _word(power_state)
        wanted = PowerState(power_state & POWER_STATE_MASK)
        if power_state & ~POWER_STATE_MASK or wanted.PowerLevel > _HIGHEST_POWER_LEVEL:
            return PsciStatus.INVALID_PARAMETERS
        if not wanted.StateType:
            return Halt()
        status = self._power.may_power_down(entry)
        return Halt(entry_point=entry, arg=context) if status is PsciStatus.SUCCESS else status

    def _system_suspend(self, _x0: int, entry: int, context: int, _x3: int) -> int | CallExit:
        status = self._power.may_system_suspend(self._mpidr, entry)
        if status is not PsciStatus.SUCCESS:
            return status
        return SystemDown(PowerAction.SUSPEND, entry_point=entry, arg=context)

    def _leaving_calls(self, *, system_suspend: bool) -> Mapping[int, ExitHandler]:
        psci = PsciFunction
        suspend: Mapping[int, ExitHandler] = {
            psci.SYSTEM_SUSPEND: self._system_suspend,
            psci.SYSTEM_SUSPEND_64: self._system_suspend,
        }
        return {
            psci.CPU_SUSPEND: self._cpu_suspend,
            psci.CPU_SUSPEND_64: self._cpu_suspend,
            psci.CPU_OFF: lambda _x0, _x1, _x2, _x3: CpuDown(state=0),
            psci.CPU_ON: _cpu_on,
            psci.CPU_ON_64: _cpu_on,
            psci.SYSTEM_OFF: lambda _x0, _x1, _x2, _x3: SystemDown(PowerAction.OFF),
            psci.SYSTEM_RESET: lambda _x0, _x1, _x2, _x3: SystemDown(PowerAction.RESET),
            psci.SYSTEM_RESET2: _system_reset2,
            psci.SYSTEM_RESET2_64: _system_reset2,
            **(suspend if system_suspend else {}),
        }

    # Calls that are answered -----------------------------------------------------------------------------------

    def _affinity_info(self, _x0: int, target: int, level: int, _x3: int) -> CallResult:
        return self._power.affinity_info(target, _word(level))

    def _psci_features(self, _x0: int, function: int, _x2: int, _x3: int) -> CallResult:
        # CPU_SUSPEND has two flags, both 0: the original format of power_state, and no OS-initiated mode, without
        # which PSCI_SET_SUSPEND_MODE has nothing to set.
        known = function in self._table and (is_psci(function) or function == SmcccFunction.SMCCC_VERSION)
        return PsciStatus.SUCCESS if known else PsciStatus.NOT_SUPPORTED

    def _answered_calls(self) -> Mapping[int, CallHandler]:
        psci = PsciFunction
        return {
            psci.PSCI_VERSION: _answer(PSCI_VERSION_1_1),
            psci.AFFINITY_INFO: self._affinity_info,
            psci.AFFINITY_INFO_64: self._affinity_info,
            # There is no trusted OS to migrate: MIGRATE and MIGRATE_INFO_UP_CPU are not supported.
            psci.MIGRATE_INFO_TYPE: _answer(MigrateInfo.NOT_NEEDED),
            psci.PSCI_FEATURES: self._psci_features,
            SmcccFunction.SMCCC_VERSION: _answer(SMCCC_VERSION_1_2),
            SmcccFunction.SMCCC_ARCH_FEATURES: _arch_features,
            SmcccFunction.SMCCC_ARCH_WORKAROUND_1: _answer(SmcccStatus.SUCCESS),
            SmcccFunction.SMCCC_ARCH_WORKAROUND_3: _answer(SmcccStatus.SUCCESS),
        }
