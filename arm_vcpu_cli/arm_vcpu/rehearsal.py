"""Executes a stopped vCPU to see what its guest would do next, and undoes all of it.

Only the state of the core can be undone. So the caller must inspect the instructions first: none of them may write
memory or a register outside the saved state. A load may still turn out to be from a device, which is an exception to
EL2; it ends the rehearsal before the access reaches the device.
"""

from __future__ import annotations

from types import TracebackType

from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.engine.port import CpuCore, StopReason
from arm_vcpu_cli.errors import EngineError


class Rehearsal:
    """Executes one bound vCPU ahead; a context manager. Its trap frame shows the result until the end.

    Another vCPU may be rehearsed inside, on the same core too, once this one no longer executes. The core's time
    advances: the caller must correct that, and the budget.
    """

    def __init__(self, vcpu: Aarch64VCpu, core: CpuCore) -> None:
        self._vcpu = vcpu
        self._core = core
        self._save = core.saver(vcpu.state)
        self._before = b""
        self._has_left = False
        self._requested = False

    def __enter__(self) -> Rehearsal:
        """Put the vCPU onto its core."""
        self._vcpu.synchronise()
        self._save()
        self._before = self._vcpu.state.u64.tobytes()
        self._core.set_exception_hook(self._leave)
        self._core.hush(True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore everything, with the vCPU on its core."""
        vcpu = self._vcpu
        self._core.hush(False)
        if vcpu.residency is not None:
            vcpu.residency.take()
            vcpu.residency.listen()
        # Including the mark of the exclusive monitor, which a vCPU loses when it really leaves the core to another one.
        vcpu.state.u64[:] = memoryview(self._before).cast("Q")
        self._core.restorer(vcpu.state)()
        if self._requested:
            self._core.request_stop()

    def execute(self, instructions: int) -> bool:
        """Execute this many instructions, which must end where a block of the core ends; return False if they were not
        executed, or if one took an exception."""
        core, frame = self._core, self._vcpu.ctx
        end = core.instruction_count() + instructions
        while (left := end - core.instruction_count()) > 0:
            core.set_budget(left)
            try:
                reason = core.run(frame.elr)
            except EngineError:
                return False
            self._save()
            if reason is StopReason.REQUEST:
                # A request to stop the guest itself.
                self._requested = True
            if self._has_left or self._requested or core.instruction_count() == end - left:
                return False
        return True

    def _leave(self, _kind: int) -> None:
        """Handle an exception that the guest takes."""
        self._has_left = True
        self._core.stop()
