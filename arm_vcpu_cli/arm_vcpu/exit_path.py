"""The exit path: what happens between an exception that the core takes and the next entry into the guest.

One save, a handler found by table, one restore. The function is put together once, when a vCPU is bound to a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER, LINK_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.exception import TAKEN_BACK, Handler, SyncHandlers
from arm_vcpu_cli.arm_vcpu.inject import WITH_FAR, sets_far
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VF, VI, VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.observer import AccessCounter, CountAgain, El1ExceptionRecord, ExitObserver, ExitRecord
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal
from arm_vcpu_cli.arm_vcpu.recorder import FlightRecorder
from arm_vcpu_cli.arm_vcpu.vectors import KINDS, TrapKind, TrapSource, VectorTable
from arm_vcpu_cli.axvcpu.exit import (
    AxVCpuExitReason,
    CpuDown,
    ExternalInterrupt,
    FailEntry,
    Halt,
    Nothing,
    SendIPI,
    SystemDown,
)
from arm_vcpu_cli.engine.layout import CpuState

_EL2: Final = 2
_EL_UNIT: Final = int(Spsr.of(M=0b0100))
_EL_MASK: Final = 0b11
_SYNCHRONOUS: Final = int(TrapKind.SYNCHRONOUS)
_DATA_ABORT: Final = int(ExceptionClass.DATA_ABORT_LOWER)
_ABORTS: Final = (ExceptionClass.DATA_ABORT_LOWER, ExceptionClass.INSTRUCTION_ABORT_LOWER)
_SYSCALL_NUMBER: Final = 8
_MOST_KNOWN: Final = 1 << 14
"""Accesses that are remembered as counted: a guest may make any number of different ones."""
STUCK: Final = -2
"""The code of the ``FailEntry`` of a guest that takes the same exception for ever."""


NO_LIMIT: Final = -1
COMPLETE: Final = (Halt, SystemDown, CpuDown, ExternalInterrupt, SendIPI)
"""Exits that are reported before ``run()`` returns them: the VMM has no result to add."""


class ExitState:
    """The exits of a vCPU: how many there were and may be, what ``run()`` returns, and the report of it that waits for
    its result, with the host's time when it began."""

    __slots__ = ("began", "count", "limit", "reason", "record")

    def __init__(self) -> None:
        self.count = 0
        self.limit = NO_LIMIT
        self.reason: AxVCpuExitReason | None = None
        self.record: ExitRecord | None = None
        self.began = 0

    def report(self, observer: ExitObserver, frame: TrapFrame, note: str) -> None:
        """Report the exit that waits for its result, if there is one."""
        record = self.record
        if record is not None:
            self.record = None
            record.note = note
            record.finish(frame)
            if observer.timing:
                record.host_ns = time.perf_counter_ns() - self.began
            observer.exit(record)


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
        """The exit path, with everything it needs bound in it. Only an observed guest pays for being observed."""
        save = self._cpu.core.saver(self._state)
        if observer is None:
            return self._path(save)
        # The state is saved once: an observer looks at it before the path does.
        if isinstance(observer, AccessCounter) and not observer.wants_entries and not observer.wants_exceptions:
            return self._counted(save, self._observed(None, self._path(None), observer), observer)
        return self._observed(save, self._path(None), observer)

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

    def _path(self, save: Callable[[], object] | None, data_abort: Handler | None = None) -> Callable[[int], None]:
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
                    # What the slot of a synchronous exception does, without the call.
                    esr = u32[syndrome]
                    reason = table[esr >> EC_SHIFT](esr)
                else:
                    # The state does not say which slot it was.
                    reason = lower64[kind]() if u32[aarch64] else lower32[kind]()
                    remember((snapshot(), number, reason or Nothing()))
            elif not u32[aarch64]:
                exits.count = number = exits.count + 1
                reason = lower32[kind]()
                remember((snapshot(), number, reason or Nothing()))
            else:
                esr = u32[syndrome]
                if esr >> EC_SHIFT:
                    # This concerns the guest alone, and is often a system call: nothing is looked up that is not
                    # needed.
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
                        # Not an exception of EL1 after all: semihosting, or a trap that the core does not have.
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
                # The core has taken notice of a new PSTATE, and the next entry restores this.
                save_again()
                reason = Nothing()
            exits.reason = reason
            stop()

        return on_exception

    def _counted(
        self, save: Callable[[], object], observed: Callable[[int], None], observer: AccessCounter
    ) -> Callable[[int], None]:
        """The exit path for an :class:`AccessCounter`: accesses to devices like earlier ones are only counted."""
        exits, handlers, vcpu, told = self._exits, self._handlers, self._vcpu, self._handlers.told
        path = self._path(None, handlers.data_abort(None))
        u32, u64, layout = self._state.u32, self._state.u64, self._state.layout
        target_el, syndrome, aarch64 = layout.target_el // 4, layout.syndrome // 4, layout.aarch64 // 4
        pc, far, pstate = layout.pc // 8, layout.fault_address // 8, layout.pstate // 4
        hpfar = layout.sysregs[lookup("HPFAR_EL2")] // 8
        fp, lr = (layout.x0 // 8 + number for number in (FRAME_POINTER, LINK_REGISTER))
        host_now, now, timing = time.perf_counter_ns, observer.now, observer.timing
        known: dict[tuple[int, ...], tuple[CountAgain, AxVCpuExitReason]] = {}

        def on_counted_exception(kind: int) -> None:
            began = host_now() if timing else 0
            save()
            esr = u32[syndrome]
            if kind != _SYNCHRONOUS or esr >> EC_SHIFT != _DATA_ABORT or u32[target_el] != _EL2 or not u32[aarch64]:
                observed(kind)
                return
            # They decide which access it is, as the instruction at one address rarely changes.
            el = u32[pstate] // _EL_UNIT & _EL_MASK
            key = (esr, u64[pc], u64[far], u64[hpfar], el)
            earlier = known.get(key)
            if earlier is None:
                observer.counted = None
                observed(kind)
                again = observer.counted
                if again is not None and exits.reason is None:
                    if len(known) >= _MOST_KNOWN:
                        known.clear()
                    known[key] = again, told[0]
                return
            handlers.note = ""
            happened, before, link, frame_pointer = now(), exits.count, u64[lr], u64[fp]
            path(kind)
            returned = exits.reason
            if returned is not None:
                # Its record waits for whoever completes it.
                reason = earlier[1] if isinstance(returned, Nothing) else returned
                exits.record = ExitRecord(
                    *(happened, reason, u32[syndrome], key[1], el, None, handlers.note, key[2]),
                    *(link, frame_pointer, None, vcpu),
                )
                exits.began = began
            elif exits.count != before:
                earlier[0](happened, host_now() - began if timing else None)

        return on_counted_exception

    def _observed(
        self, save: Callable[[], object] | None, path: Callable[[int], None], observer: ExitObserver
    ) -> Callable[[int], None]:
        handlers, frame, exits, lines, vcpu = self._handlers, self._frame, self._exits, self._lines, self._vcpu
        on_demand = handlers.on_demand
        u32, u64, layout = self._state.u32, self._state.u64, self._state.layout
        target_el, syndrome, aarch64 = layout.target_el // 4, layout.syndrome // 4, layout.aarch64 // 4
        pc, far, pstate = layout.pc // 8, layout.fault_address // 8, layout.pstate // 4
        fp, lr, x8 = (layout.x0 // 8 + number for number in (FRAME_POINTER, LINK_REGISTER, _SYSCALL_NUMBER))
        esr_el1, far_el1, elr_el1 = (layout.sysregs[lookup(f"{name}_EL1")] // 8 for name in ("ESR", "FAR", "ELR"))
        decode, decode_el1, host_now = handlers.reasons.reason, handlers.reasons.el1_reason, time.perf_counter_ns
        told, unknown = handlers.told, Nothing()
        now, report, report_entry, report_exception = observer.now, observer.exit, observer.entry, observer.exception
        entries, exceptions, timing = observer.wants_entries, observer.wants_exceptions, observer.timing

        def on_observed_exception(kind: int) -> None:
            began = host_now() if timing else 0
            if save is not None:
                save()
            # An interrupt has no syndrome, and what leaves AArch32 state is not handled: their slots say what they are.
            decoded = kind == _SYNCHRONOUS and u32[aarch64]
            to_el2 = decoded and u32[target_el] == _EL2
            if on_demand is not None and to_el2 and on_demand.concerns(u32[syndrome]):
                # It will be no exit.
                path(kind)
                return
            reason: AxVCpuExitReason | None = unknown
            exception_class = u32[syndrome] >> EC_SHIFT if decoded else 0
            # The handler of a data abort has to classify it, and records the result.
            accesses = to_el2 and exception_class == _DATA_ABORT
            if decoded and not accesses:
                reason = decode() if to_el2 else decode_el1()
            handlers.note = ""
            if reason is None:
                if exceptions:
                    esr = u32[syndrome]
                    address = u64[far] if sets_far(esr >> EC_SHIFT) else None
                    happened, origin, el = now(), u64[pc], u32[pstate] // _EL_UNIT & _EL_MASK
                    path(kind)
                    report_exception(
                        El1ExceptionRecord(happened, kind, esr, address, origin, el, u64[pc], u64[x8], vcpu)
                    )
                else:
                    path(kind)
                return
            el = u32[pstate] // _EL_UNIT & _EL_MASK if u32[aarch64] else frame.spsr.el
            va = u64[far] if to_el2 and exception_class in _ABORTS else None
            record = ExitRecord(now(), reason, None, u64[pc], el, None, "", va, u64[lr], u64[fp], None, vcpu)
            before = exits.count
            path(kind)
            esr = u32[syndrome]
            if exits.count == before:
                # It looked like semihosting, and this machine has none. An observer that was asked for the time of an
                # exit gets a report of what happened, wanted or not.
                report_exception(
                    El1ExceptionRecord(record.time, kind, esr, None, record.pc, el, u64[pc], u64[x8], vcpu)
                )
                return
            if accesses:
                record.reason = told[0]
            if to_el2 or (decoded and esr >> EC_SHIFT == ExceptionClass.SYSTEM):
                # As the handler left it: corrected, or made up for a trap that the core does not have.
                record.esr = esr
            record.note = handlers.note
            returned = exits.reason
            if returned is not None:
                if not isinstance(returned, Nothing):
                    record.reason = returned
                if not isinstance(record.reason, COMPLETE):
                    exits.record = record
                    exits.began = began
                    return
            record.finish(frame)
            if timing:
                record.host_ns = host_now() - began
            report(record)
            if exceptions and record.note and returned is None:
                # The hypervisor has given the guest an exception for it.
                given = u64[esr_el1]
                address = u64[far_el1] if sets_far(given >> EC_SHIFT) else None
                report_exception(
                    El1ExceptionRecord(record.time, kind, given, address, u64[elr_el1], el, u64[pc], u64[x8], vcpu)
                )
            if entries and returned is None:
                wanted = lines.wanted
                report_entry(
                    vcpu, u64[pc], u32[pstate] // _EL_UNIT & _EL_MASK, irq=bool(wanted & VI), fiq=bool(wanted & VF)
                )

        return on_observed_exception
