"""The exit path of an observed vCPU: the plain one, plus a report of each exit to the observer.

Most exits repeat an earlier one: a guest writes its console character by character, with one instruction. Their facts
are computed once, for the first of them, if the observer supports that.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from operator import itemgetter
from typing import Final

from arm_vcpu_cli.arch.instructions.extend import VALUE_MASKS
from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass, decode_data_abort
from arm_vcpu_cli.arm_vcpu.access import MmioReason
from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER, LINK_REGISTER, ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.exception import Handler, SyncHandlers
from arm_vcpu_cli.arm_vcpu.exit_state import COMPLETE, ExitState
from arm_vcpu_cli.arm_vcpu.inject import sets_far
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VF, VI, VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.observer import (
    El1ExceptionRecord,
    ExitObserver,
    ExitRecord,
    RepeatedAccess,
    RepeatObserver,
)
from arm_vcpu_cli.arm_vcpu.reasons import mmio_write
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, MmioWrite, Nothing
from arm_vcpu_cli.engine.layout import CpuState

_EL2: Final = 2
_EL_UNIT: Final = int(Spsr.of(M=0b0100))
_EL_MASK: Final = 0b11
_SYNCHRONOUS: Final = int(TrapKind.SYNCHRONOUS)
_DATA_ABORT: Final = int(ExceptionClass.DATA_ABORT_LOWER)
_ABORTS: Final = (ExceptionClass.DATA_ABORT_LOWER, ExceptionClass.INSTRUCTION_ABORT_LOWER)
_SYSCALL_NUMBER: Final = 8
_MOST_KNOWN: Final = 1 << 14
"""The number of accesses cached: a guest may make any number of different ones."""

Path = Callable[[int], None]
_Key = tuple[int, int, tuple[int, int, int]]
"""The function that a core calls for each exception, with its kind."""
PathOf = Callable[["Handler | None"], Path]
"""Builds a path for a state that has been saved, with a handler of data aborts in place of its own."""


class ObservedExits:
    """Builds the exit path of one observed vCPU; ``path_of`` builds the plain one inside it."""

    def __init__(
        self,
        observer: ExitObserver,
        path_of: PathOf,
        *,
        frame: TrapFrame,
        state: CpuState,
        handlers: SyncHandlers,
        lines: VirtualInterruptLines,
        exits: ExitState,
        vcpu: int,
    ) -> None:
        self._observer = observer
        self._path_of = path_of
        self._frame = frame
        self._state = state
        self._handlers = handlers
        self._lines = lines
        self._exits = exits
        self._vcpu = vcpu

    def function(self, save: Callable[[], object]) -> Path:
        """Return the exit path. The state is saved once, for the observer and for the plain path."""
        observer = self._observer
        if isinstance(observer, RepeatObserver) and observer.wants_repeats:
            return self._repeating(save, observer)
        return self._each(save, self._path_of(None), observer.exit)

    def _end(self, report: Callable[[ExitRecord], object]) -> Callable[[ExitRecord, int], None]:
        """Return a function that reports an exit and the entry after it, or leaves that to the code that completes the
        exit."""
        exits, handlers, frame, lines, vcpu = self._exits, self._handlers, self._frame, self._lines, self._vcpu
        u32, u64, layout = self._state.u32, self._state.u64, self._state.layout
        pc, pstate = layout.pc // 8, layout.pstate // 4
        far_el1, elr_el1, esr_el1 = (layout.sysregs[lookup(f"{name}_EL1")] // 8 for name in ("FAR", "ELR", "ESR"))
        x8 = layout.x0 // 8 + _SYSCALL_NUMBER
        observer, host_now = self._observer, time.perf_counter_ns
        report_entry, report_exception = observer.entry, observer.exception
        entries, exceptions, timing = observer.wants_entries, observer.wants_exceptions, observer.timing

        def end(record: ExitRecord, began: int) -> None:
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
                # The hypervisor has injected an exception instead.
                given = u64[esr_el1]
                address = u64[far_el1] if sets_far(given >> EC_SHIFT) else None
                report_exception(
                    El1ExceptionRecord(
                        *(record.time, _SYNCHRONOUS, given, address, u64[elr_el1], record.el, u64[pc], u64[x8], vcpu)
                    )
                )
            if entries and returned is None:
                wanted = lines.wanted
                report_entry(
                    vcpu, u64[pc], u32[pstate] // _EL_UNIT & _EL_MASK, irq=bool(wanted & VI), fiq=bool(wanted & VF)
                )

        return end

    def _each(self, save: Callable[[], object] | None, path: Path, report: Callable[[ExitRecord], object]) -> Path:
        """Return the exit path with a record of each exit."""
        handlers, frame, exits, vcpu = self._handlers, self._frame, self._exits, self._vcpu
        on_demand = handlers.on_demand
        u32, u64, layout = self._state.u32, self._state.u64, self._state.layout
        target_el, syndrome, aarch64 = layout.target_el // 4, layout.syndrome // 4, layout.aarch64 // 4
        pc, far, pstate = layout.pc // 8, layout.fault_address // 8, layout.pstate // 4
        fp, lr, x8 = (layout.x0 // 8 + number for number in (FRAME_POINTER, LINK_REGISTER, _SYSCALL_NUMBER))
        decode, decode_el1, host_now = handlers.reasons.reason, handlers.reasons.el1_reason, time.perf_counter_ns
        told, unknown, end = handlers.told, Nothing(), self._end(report)
        observer = self._observer
        now, report_exception = observer.now, observer.exception
        exceptions, timing = observer.wants_exceptions, observer.timing

        def on_observed_exception(kind: int) -> None:
            began = host_now() if timing else 0
            if save is not None:
                save()
            # An interrupt has no syndrome, and exceptions from AArch32 state are not handled: their slots identify
            # them.
            decoded = kind == _SYNCHRONOUS and u32[aarch64]
            to_el2 = decoded and u32[target_el] == _EL2
            if on_demand is not None and to_el2 and on_demand.concerns(u32[syndrome]):
                # This will not be an exit.
                path(kind)
                return
            reason: AxVCpuExitReason | None = unknown
            exception_class = u32[syndrome] >> EC_SHIFT if decoded else 0
            # The handler of a data abort must classify it, and records the result.
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
                # It looked like semihosting, which this machine does not have. An observer that was asked for the time
                # of an exit gets a report of what happened, wanted or not.
                report_exception(
                    El1ExceptionRecord(record.time, kind, esr, None, record.pc, el, u64[pc], u64[x8], vcpu)
                )
                return
            if accesses:
                record.reason = told[0]
            if to_el2 or (decoded and esr >> EC_SHIFT == ExceptionClass.SYSTEM):
                # As the handler left it: corrected, or constructed for a trap that the core lacks.
                record.esr = esr
            end(record, began)

        return on_observed_exception

    def _repeating(self, save: Callable[[], object], observer: RepeatObserver) -> Path:
        """Return the exit path without records of plain accesses to devices like earlier ones."""
        exits, handlers, lines, vcpu, told = self._exits, self._handlers, self._lines, self._vcpu, self._handlers.told
        plain: deque[AxVCpuExitReason] = deque(maxlen=1)
        records: deque[ExitRecord] = deque(maxlen=1)

        def tell(reason: MmioReason) -> None:
            told.append(reason)
            plain.append(reason)

        def report(record: ExitRecord) -> None:
            observer.exit(record)
            records.append(record)

        each = self._each(None, self._path_of(handlers.data_abort(tell)), report)
        path, end = self._path_of(handlers.data_abort(None)), self._end(observer.exit)
        u32, u64, layout = self._state.u32, self._state.u64, self._state.layout
        target_el, syndrome, aarch64 = layout.target_el // 4, layout.syndrome // 4, layout.aarch64 // 4
        pc, far, pstate = layout.pc // 8, layout.fault_address // 8, layout.pstate // 4
        hpfar = layout.sysregs[lookup("HPFAR_EL2")] // 8
        x0 = layout.x0 // 8
        fp, lr = x0 + FRAME_POINTER, x0 + LINK_REGISTER
        host_now, now, timing = time.perf_counter_ns, observer.now, observer.timing
        places = itemgetter(pc, far, hpfar)
        known: dict[_Key, tuple[RepeatedAccess, AxVCpuExitReason, int, int] | None] = {}

        def learn(kind: int, key: _Key) -> None:
            plain.clear()
            records.clear()
            each(kind)
            if not plain or plain[0] is not told[0] or not records or exits.reason is not None:
                return
            access = decode_data_abort(key[0])
            word = -1 if access.register == ZERO_REGISTER else x0 + access.register
            mask = VALUE_MASKS[access.size] if access.is_write else 0
            known[key] = observer.repeat_of(records[0]), told[0], word, mask

        def on_repeated_exception(kind: int) -> None:
            began = host_now() if timing else 0
            save()
            esr = u32[syndrome]
            if kind != _SYNCHRONOUS or esr >> EC_SHIFT != _DATA_ABORT or u32[target_el] != _EL2 or not u32[aarch64]:
                each(kind)
                return
            # These identify the access, because the instruction at an address rarely changes.
            key = (esr, u32[pstate] // _EL_UNIT & _EL_MASK, places(u64))
            earlier = known.get(key)
            if earlier is None:
                if key in known:
                    learn(kind, key)
                else:
                    # Most accesses to an interrupt controller are made once.
                    if len(known) >= _MOST_KNOWN:
                        known.clear()
                    known[key] = None
                    each(kind)
                return
            again, reason, word, mask = earlier
            handlers.note = ""
            happened, before, link, frame_pointer = now(), exits.count, u64[lr], u64[fp]
            value = u64[word] & mask if word >= 0 else 0
            told.clear()
            path(kind)
            if exits.count == before:
                return
            if exits.reason is None and not handlers.note and not told:
                if not mask and word >= 0:
                    value = u64[word]
                again(happened, host_now() - began if timing else None, value, link, frame_pointer, lines.wanted)
                return
            # Not completed as before, so it needs a record.
            if told:
                # No longer a plain access: it began in the previous page, or the instruction has changed.
                reason = told[0]
            elif isinstance(reason, MmioWrite):
                reason = mmio_write(reason.addr, reason.width, value)
            record = ExitRecord(
                happened, reason, u32[syndrome], key[2][0], key[1], None, "", key[2][1], link, frame_pointer, None, vcpu
            )
            end(record, began)

        return on_repeated_exception
