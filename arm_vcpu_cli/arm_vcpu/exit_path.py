"""The exit path: what happens between an exception that the core takes and the next entry into the guest.

One save, a handler found by table, one restore. The function is put together once, when a vCPU is bound to a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.arm_vcpu.exception import SyncHandlers
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.observer import ExitObserver, ExitRecord
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal
from arm_vcpu_cli.arm_vcpu.vectors import KINDS, TrapKind, TrapSource, VectorTable
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, ExternalInterrupt, FailEntry, Nothing
from arm_vcpu_cli.engine.layout import CpuState

_EL2: Final = 2
STUCK: Final = -2
"""The code of the ``FailEntry`` of a guest that takes one exception for ever."""


class ExitState:
    """The exits of a vCPU: how many there were and may be (0: no limit), the syndrome of the last one, what ``run()``
    is to return, and the report of it that waits for its result."""

    __slots__ = ("count", "limit", "reason", "record", "syndrome")

    def __init__(self) -> None:
        self.count = self.limit = 0
        self.syndrome: int | None = None
        self.reason: AxVCpuExitReason | None = None
        self.record: ExitRecord | None = None


class ExitPath:
    """Makes the function that a core calls for each exception of one bound vCPU."""

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
    ) -> None:
        self._cpu = cpu
        self._hal = hal
        self._frame = frame
        self._state = state
        self._handlers = handlers
        self._lines = lines
        self._exits = exits

    def function(self, observer: ExitObserver | None) -> Callable[[int], None]:
        """The exit path; everything it needs is bound in it. Only an observed guest pays for being observed."""
        path = self._unobserved()
        return path if observer is None else self._observed(path, observer)

    def vectors(self) -> VectorTable[AxVCpuExitReason | None]:
        """The vector table at EL2: what each entry does."""

        def invalid(source: TrapSource, kind: TrapKind) -> AxVCpuExitReason:
            if source is TrapSource.LOWER_AARCH32:
                what = "the guest entered AArch32 state, which this CPU announces not to have"
            else:
                what = f"{kind.name} exception from {source.name}: not a way out of this guest"
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

    def _unobserved(self) -> Callable[[int], None]:
        core, state, handlers, exits = self._cpu.core, self._state, self._handlers, self._exits
        save, restore, stop = core.saver(state), core.restorer(state), core.stop
        write_pstate = core.pstate_writer()
        u32 = state.u32
        target_el, aarch64 = state.layout.target_el // 4, state.layout.aarch64 // 4
        syndrome = state.layout.syndrome // 4
        vectors = self.vectors()
        lower64 = [vectors.slot(TrapSource.LOWER_AARCH64, kind) for kind in TrapKind]
        lower32 = [vectors.slot(TrapSource.LOWER_AARCH32, kind) for kind in TrapKind]
        el1_sync, entry, lines = handlers.handle_el1_sync, handlers.entry, self._lines

        def on_exception(kind: int) -> None:
            save()
            if u32[target_el] == _EL2:
                exits.count += 1
                reason = lower64[kind]() if u32[aarch64] else lower32[kind]()
                # Only now: the handler may have corrected it.
                exits.syndrome = u32[syndrome]
            else:
                reason = el1_sync() if u32[aarch64] else lower32[kind]()
                if handlers.new_pstate is None:
                    # Not an exception of EL1 after all: semihosting, or a trap that the core does not have.
                    exits.count += 1
                    if u32[syndrome] >> EC_SHIFT == ExceptionClass.SYSTEM:
                        exits.syndrome = u32[syndrome]
            if reason is None:
                if handlers.new_pstate is not None:
                    if entry.stuck:
                        exits.reason = FailEntry(STUCK, "the guest takes the same exception over and over")
                        stop()
                        return
                    restore()
                    write_pstate(handlers.new_pstate)
                    handlers.new_pstate = None
                else:
                    restore()
                if lines.wanted != lines.driven:
                    lines.drive()
                if exits.count != exits.limit or not exits.limit:
                    return
                reason = Nothing()
            exits.reason = reason
            stop()

        return on_exception

    def _observed(self, path: Callable[[int], None], observer: ExitObserver) -> Callable[[int], None]:
        handlers, frame, exits = self._handlers, self._frame, self._exits
        save, u32, layout = self._cpu.core.saver(self._state), self._state.u32, self._state.layout
        target_el, syndrome, aarch64 = layout.target_el // 4, layout.syndrome // 4, layout.aarch64 // 4

        def on_observed_exception(kind: int) -> None:
            save()
            # An interrupt has no syndrome, and what leaves AArch32 state is not handled: their slots say what they are.
            decoded = kind == TrapKind.SYNCHRONOUS and u32[aarch64]
            to_el2 = u32[target_el] == _EL2 and decoded
            reason: AxVCpuExitReason | None = Nothing()
            if decoded:
                reason = handlers.reasons.reason() if to_el2 else handlers.reasons.el1_reason()
            if reason is None:
                path(kind)
                return
            handlers.note = ""
            started = observer.now()
            record = ExitRecord(started, reason, None, frame.elr, frame.spsr.el)
            path(kind)
            esr = u32[syndrome]
            if to_el2 or esr >> EC_SHIFT == ExceptionClass.SYSTEM:
                # As the handler left it: corrected, or made up for a trap that the core does not have.
                record.esr = esr
            record.note = handlers.note
            if exits.reason is None:
                record.finish(frame)
                observer.exit(record)
            else:
                if not isinstance(exits.reason, Nothing):
                    record.reason = exits.reason
                exits.record = record

        return on_observed_exception
