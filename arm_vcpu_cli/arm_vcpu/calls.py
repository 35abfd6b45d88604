"""HVC and SMC of a guest: answered by the hypervisor, by the VMM or by the monitor, or else an exit (DEN0028)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.arm_vcpu.exit_reason import ARGUMENTS
from arm_vcpu_cli.arm_vcpu.platform import Outcome, Platform
from arm_vcpu_cli.arm_vcpu.psci import CallResult, FirmwareCalls
from arm_vcpu_cli.arm_vcpu.reasons import hypercall
from arm_vcpu_cli.arm_vcpu.smc import SecureMonitor
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, Halt
from arm_vcpu_cli.engine.layout import CpuState


class GuestCalls:
    """The calls of one vCPU, with arguments and results in its saved state. The PC is not changed here."""

    def __init__(self, state: CpuState, platform: Platform, firmware: FirmwareCalls, monitor: SecureMonitor) -> None:
        self._u64 = state.u64
        self._x0 = state.layout.x0 // 8
        self._platform = platform
        self._firmware = firmware
        self._monitor = monitor
        self.hvc: Final = self._hypervisor_calls()
        """Answers a hypervisor call of the firmware, else of the platform, and returns None, or returns the exit
        reason."""

    def _hypervisor_calls(self) -> Callable[[int], AxVCpuExitReason | None]:
        # Calls are so frequent that repeated look-ups would take noticeable time.
        u64, x0, call, platform_call = self._u64, self._x0, self._firmware.call, self._platform.hypercall
        x1, x2, x3, arguments = x0 + 1, x0 + 2, x0 + 3, slice(x0 + 1, x0 + 1 + ARGUMENTS)

        def hvc(_esr: int) -> AxVCpuExitReason | None:
            number = u64[x0]
            result = call(number, u64[x1], u64[x2], u64[x3])
            if result is None:
                args = tuple(u64[arguments])
                answer = platform_call(number, args)
                if isinstance(answer, Outcome):
                    return hypercall(number, args)
                result = answer
            if isinstance(result, int):
                u64[x0] = result
                return None
            return self._finish(result)

        return hvc

    def smc(self) -> AxVCpuExitReason | None:
        """Answer a secure monitor call of the firmware, else of the monitor, and return None, or return the exit
        reason."""
        x0, u64 = self._x0, self._u64
        result = self._firmware.call(u64[x0], u64[x0 + 1], u64[x0 + 2], u64[x0 + 3])
        if result is None:
            results = self._monitor.call(u64[x0], u64[x0 + 1], u64[x0 + 2], u64[x0 + 3])
            u64[x0], u64[x0 + 1], u64[x0 + 2], u64[x0 + 3] = results
            return None
        return self._finish(result)

    def _finish(self, result: CallResult) -> AxVCpuExitReason | None:
        x0, u64 = self._x0, self._u64
        if isinstance(result, int):
            u64[x0] = result
            return None
        if isinstance(result, tuple):
            for n, value in enumerate(result):
                u64[x0 + n] = value
            return None
        if isinstance(result, Halt):
            u64[x0] = PsciStatus.SUCCESS
        return result
