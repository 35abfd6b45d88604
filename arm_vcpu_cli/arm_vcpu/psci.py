"""PSCI 1.1, the SMCCC's own functions and the TRNG, called through HVC and SMC alike (DEN0022, DEN0028, DEN0098).

A call is a plain function from its four arguments to a result for x0, to several for the registers from x0 on, or
to an exit reason that leaves ``run()`` so that the VMM starts, stops or powers off something.

The modelled CPU does not speculate, whatever its MIDR_EL1 says: the firmware's workarounds are answered as
"not required" (DEN0028, 7.5 to 7.8), which is what an unaffected host answers under KVM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
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
"""(x0, x1, x2, x3), already cut to 32 bits for an SMC32 call."""

ARCH_FEATURES: Final[Mapping[int, int]] = MappingProxyType(
    {
        SmcccFunction.SMCCC_VERSION: SmcccStatus.SUCCESS,
        SmcccFunction.SMCCC_ARCH_FEATURES: SmcccStatus.SUCCESS,
        # Callable on every PE, and not needed on this one.
        SmcccFunction.SMCCC_ARCH_WORKAROUND_1: WORKAROUND_NOT_REQUIRED_HERE,
        SmcccFunction.SMCCC_ARCH_WORKAROUND_3: WORKAROUND_NOT_REQUIRED_HERE,
        # No PE of the system needs it, so that it is not there to be called.
        SmcccFunction.SMCCC_ARCH_WORKAROUND_2: SmcccStatus.NOT_REQUIRED,
    }
)
"""What SMCCC_ARCH_FEATURES answers about each function; all others are NOT_SUPPORTED."""


def _answer(value: int) -> CallHandler:
    return lambda _x0, _x1, _x2, _x3: value


def _word(value: int) -> int:
    """An argument that is 32 bits wide in both conventions: SMC64 passes it in the W register (DEN0028, 3.1)."""
    return value & 0xFFFF_FFFF


def _cpu_suspend(_x0: int, _power_state: int, _entry: int, _context: int) -> CallResult:
    # A power-down state may be treated as standby: the call then returns here instead of at its entry point.
    return Halt()


def _cpu_on(_x0: int, target: int, entry: int, context: int) -> CallResult:
    if target & ~AFFINITY_MASK:
        return PsciStatus.INVALID_PARAMETERS
    return CpuUp(target_cpu=target, entry_point=entry, arg=context)


def _system_reset2(_x0: int, kind: int, _cookie: int, _x3: int) -> CallResult:
    if _word(kind) != 0:
        # Neither the one architectural type beside SYSTEM_WARM_RESET nor a vendor's.
        return PsciStatus.INVALID_PARAMETERS
    return SystemDown(PowerAction.RESET)


def _arch_features(_x0: int, function: int, _x2: int, _x3: int) -> CallResult:
    return ARCH_FEATURES.get(function, SmcccStatus.NOT_SUPPORTED)


class FirmwareCalls:
    """What the hypervisor answers itself, for one vCPU.

    ``mpidr`` is the caller's affinity; ``power_state`` tells the PSCI state of the CPU with a given affinity
    (0 on, 1 off, 2 on its way), or None where there is no such CPU. ``entropy`` is behind the TRNG; without one the
    TRNG's functions are somebody else's.
    """

    def __init__(
        self,
        mpidr: int,
        power_state: Callable[[int], int | None] | None = None,
        *,
        entropy: EntropySource | None = None,
    ) -> None:
        self._mpidr = mpidr & AFFINITY_MASK
        self._power_state = power_state or self._alone
        self._has_trng = entropy is not None
        self._table: Mapping[int, CallHandler] = {**self._build(), **(trng_handlers(entropy) if entropy else {})}

    def find(self, function: int) -> CallHandler | None:
        """The handler of a function identifier (32 bits); None leaves the call to somebody else."""
        handler = self._table.get(function)
        if handler is None and (is_psci(function) or (self._has_trng and is_trng(function))):
            return _answer(PsciStatus.NOT_SUPPORTED)
        return handler

    def call(self, x0: int, x1: int, x2: int, x3: int) -> CallResult | None:
        """Carry out the call in x0 to x3.

        The value for x0, or a tuple of up to four for x0 to x3, 64 bits each; an exit reason; or None if the call is
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
        """The exit that :meth:`call` with these registers would be; None for a call that is answered, or not ours.

        Nothing is carried out: no entropy is used up.
        """
        if is_trng(x0 & 0xFFFF_FFFF):
            return None
        result = self.call(x0, x1, x2, x3)
        return None if result is None or isinstance(result, (int, tuple)) else result

    def _alone(self, mpidr: int) -> int | None:
        return AffinityState.ON if mpidr == self._mpidr else None

    def _affinity_info(self, _x0: int, target: int, level: int, _x3: int) -> CallResult:
        if target & ~AFFINITY_MASK or _word(level) != 0:
            # Levels above 0 are optional since PSCI 1.0 (DEN0022, 5.7.1).
            return PsciStatus.INVALID_PARAMETERS
        state = self._power_state(target)
        return PsciStatus.INVALID_PARAMETERS if state is None else state

    def _psci_features(self, _x0: int, function: int, _x2: int, _x3: int) -> CallResult:
        known = function in self._table and (is_psci(function) or function == SmcccFunction.SMCCC_VERSION)
        return PsciStatus.SUCCESS if known else PsciStatus.NOT_SUPPORTED

    def _build(self) -> Mapping[int, CallHandler]:
        psci = PsciFunction
        return {
            psci.PSCI_VERSION: _answer(PSCI_VERSION_1_1),
            psci.CPU_SUSPEND: _cpu_suspend,
            psci.CPU_SUSPEND_64: _cpu_suspend,
            psci.CPU_OFF: lambda _x0, _x1, _x2, _x3: CpuDown(state=0),
            psci.CPU_ON: _cpu_on,
            psci.CPU_ON_64: _cpu_on,
            psci.AFFINITY_INFO: self._affinity_info,
            psci.AFFINITY_INFO_64: self._affinity_info,
            psci.MIGRATE_INFO_TYPE: _answer(MigrateInfo.NOT_NEEDED),
            psci.SYSTEM_OFF: lambda _x0, _x1, _x2, _x3: SystemDown(PowerAction.OFF),
            psci.SYSTEM_RESET: lambda _x0, _x1, _x2, _x3: SystemDown(PowerAction.RESET),
            psci.PSCI_FEATURES: self._psci_features,
            psci.SYSTEM_RESET2: _system_reset2,
            psci.SYSTEM_RESET2_64: _system_reset2,
            SmcccFunction.SMCCC_VERSION: _answer(SMCCC_VERSION_1_2),
            SmcccFunction.SMCCC_ARCH_FEATURES: _arch_features,
            SmcccFunction.SMCCC_ARCH_WORKAROUND_1: _answer(SmcccStatus.SUCCESS),
            SmcccFunction.SMCCC_ARCH_WORKAROUND_3: _answer(SmcccStatus.SUCCESS),
        }
