"""The exit path: everything between an exception that the core takes and the next entry into the guest.

One save, one look-up of a handler, one restore. The function is assembled once, when a vCPU is bound to a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Final

from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.arm_vcpu.exception import TAKEN_BACK, Handler, SyncHandlers
from arm_vcpu_cli.arm_vcpu.exit_state import ExitState
from arm_vcpu_cli.arm_vcpu.inject import WITH_FAR
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.observer import ExitObserver
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal
from arm_vcpu_cli.arm_vcpu.recorder import FlightRecorder
from arm_vcpu_cli.arm_vcpu.vectors import KINDS, TrapKind, TrapSource, VectorTable
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, ExternalInterrupt, FailEntry, Nothing
from arm_vcpu_cli.engine.layout import CpuState

_OBSERVED: Final = "arm_vcpu_cli.arm_vcpu.observed_exits"
"""Loaded only for guests that are observed."""
_DEBUG_ROUTING: Final = "arm_vcpu_cli.arm_vcpu.debug_routing"
_EL2: Final = 2
_DATA_ABORT: Final = int(ExceptionClass.DATA_ABORT_LOWER)
STUCK: Final = -2
"""The code of the ``FailEntry`` of a guest that takes the same exception forever."""


class ExitPath:
    """Builds the function that a core calls for each exception of one bound vCPU."""

    def __init__(
        self,
        *,
        cpu: Aarch64PerCpu,
        hal: Aarch64Hal,
        frame: TrapFrame,
        state: CpuState,
        handlers: SyncHandlers,
        lines: VirtualInterruptLines,
        exits: ExitState,
        recorder: FlightRecorder,
        vcpu: int = 0,
    ) -> None:
        self._cpu = cpu
        self._hal = hal
        self._frame = frame
        self._state = state
        self._handlers = handlers
        self._lines = lines
        self._exits = exits
        self._recorder = recorder
        self._vcpu = vcpu

    def function(self, observer: ExitObserver | None) -> Callable[[int], None]:
        """Return the exit path, with everything it needs bound in it. Observation costs only the observed guest
        time."""
        save = self._cpu.core.saver(self._state)
        if self._handlers.routes_debug:
            save = import_module(_DEBUG_ROUTING).routed(save, self._state)
        if observer is None:
            return self._path(save)
        observed = import_module(_OBSERVED).ObservedExits(
            observer,
            partial(self._path, None),
            frame=self._frame,
            state=self._state,
            handlers=self._handlers,
            lines=self._lines,
            exits=self._exits,
            vcpu=self._vcpu,
        )
        path: Callable[[int], None] = observed.function(save)
        return path

    def vectors(self) -> VectorTable[AxVCpuExitReason | None]:
        """Return the vector table at EL2: the action of each entry."""

        def invalid(source: TrapSource, kind: TrapKind) -> AxVCpuExitReason:
            if source is TrapSource.LOWER_AARCH32:
                what = "the guest entered AArch32 state, which this CPU's ID registers do not announce"
            else:
                what = f"{kind.name} exception from {source.name}: not an exit from this guest"
            return FailEntry(source * KINDS + kind, what)

        def lower_irq() -> AxVCpuExitReason:
            return ExternalInterrupt(self._hal.irq_fetch())

        def current_irq() -> None:
            self._cpu.dispatch_irq()

        vectors: VectorTable[AxVCpuExitReason | None] = VectorTable(invalid)
        vectors.set(TrapSource.LOWER_AARCH64, TrapKind.SYNCHRONOUS, self._handlers.handle_exception_sync)
        vectors.set(TrapSource.LOWER_AARCH64, TrapKind.IRQ, lower_irq)
        vectors.set(TrapSource.LOWER_AARCH64, TrapKind.FIQ, lower_irq)
        vectors.set(TrapSource.CURRENT_SP_ELX, TrapKind.IRQ, current_irq)
        return vectors

    def _path(self, save: Callable[[], object] | None, data_abort: Handler | None = None) -> Callable[[int], None]:
        """Return the path for an unobserved vCPU. Without ``save``, the state has been saved before."""
        core, state, handlers, exits = self._cpu.core, self._state, self._handlers, self._exits
        restore, stop, save_again = core.restorer(state), core.stop, core.saver(state)
        write_pstate = core.pstate_writer()
        u32 = state.u32
        layout = state.layout
        target_el, aarch64, syndrome = layout.target_el // 4, layout.aarch64 // 4, layout.syndrome // 4
        u64, far = state.u64, layout.fault_address // 8
        table = list(handlers.sync_table)
        if data_abort is not None:
            table[_DATA_ABORT] = data_abort
        vectors = self.vectors()
        lower64 = [vectors.slot(TrapSource.LOWER_AARCH64, kind) for kind in TrapKind]
        lower32 = [vectors.slot(TrapSource.LOWER_AARCH32, kind) for kind in TrapKind]
        el1_undefined, entry, lines = handlers.handle_el1_undefined, handlers.entry, self._lines
        take = entry.take
        snapshot, remember, forget = self._recorder.snapshot, self._recorder.append, self._recorder.forget

        def on_exception(kind: int) -> None:
            if save is not None:
                save()
            if u32[target_el] == _EL2:
                exits.count = number = exits.count + 1
                if u32[aarch64] and not kind:
                    remember(snapshot())
                    # The same as the slot of a synchronous exception, without the call.
                    esr = u32[syndrome]
                    reason = table[esr >> EC_SHIFT](esr)
                else:
                    # The state does not show which slot it was.
                    reason = lower64[kind]() if u32[aarch64] else lower32[kind]()
                    remember((snapshot(), number, reason or Nothing()))
            elif not u32[aarch64]:
                exits.count = number = exits.count + 1
                reason = lower32[kind]()
                remember((snapshot(), number, reason or Nothing()))
            else:
                esr = u32[syndrome]
                if esr >> EC_SHIFT:
                    # This concerns the guest alone, and is often a system call: avoid unnecessary look-ups.
                    pstate = take(esr, u64[far] if esr >> EC_SHIFT in WITH_FAR else None)
                    if not entry.stuck:
                        restore()
                        write_pstate(pstate)
                        if lines.wanted != lines.driven:
                            lines.drive()
                        return
                    handlers.new_pstate = pstate
                    reason = None
                else:
                    before = snapshot()
                    reason = el1_undefined(esr)
                    if handlers.new_pstate is None or u32[syndrome] != esr:
                        # Not an exception of EL1 after all: semihosting, or a trap that the core lacks.
                        exits.count += 1
                        remember(before)
                number = exits.count
            if reason is None:
                if handlers.new_pstate is not None:
                    if handlers.new_pstate == TAKEN_BACK:
                        handlers.new_pstate = None
                        exits.count -= 1
                        forget(number)
                        restore()
                        return
                    if entry.stuck:
                        exits.reason = FailEntry(STUCK, "the guest takes the same exception over and over")
                        stop()
                        return
                    if entry.repeats and u32[target_el] == _EL2:
                        forget(number)
                    restore()
                    write_pstate(handlers.new_pstate)
                    handlers.new_pstate = None
                else:
                    restore()
                if lines.wanted != lines.driven:
                    lines.drive()
                if number != exits.limit:
                    return
                # The core applies a new PSTATE, and the next entry restores this.
                save_again()
                reason = Nothing()
            exits.reason = reason
            stop()

        return on_exception
