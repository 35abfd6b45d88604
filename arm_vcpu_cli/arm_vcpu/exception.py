"""Decoding and handling the synchronous exceptions that a guest takes to EL2 (the crate's ``exception.rs``).

``handle_exception_sync`` picks a handler by ESR_EL2.EC from a table. A handler either completes the exit and returns
None, or returns the exit reason that ``run()`` returns to its caller; ``pending`` then holds the work left for the next
entry.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from arm_vcpu_cli.arch.instructions.extend import VALUE_MASKS, extend_load
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arch.syndrome.esr import (
    EC_SHIFT,
    ExceptionClass,
    decode_instruction_abort,
    decode_system_trap,
    waits_for_event,
)
from arm_vcpu_cli.arch.translation.fault_address import fault_ipa
from arm_vcpu_cli.arm_vcpu.abort_decoder import AbortKind, DecodedAbort, PendingAccess
from arm_vcpu_cli.arm_vcpu.aborts import GuestAborts
from arm_vcpu_cli.arm_vcpu.access import MmioReason, PlainAccess, data_abort_handler
from arm_vcpu_cli.arm_vcpu.calls import GuestCalls
from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE, TrapFrame
from arm_vcpu_cli.arm_vcpu.execute_on_demand import ExecuteOnDemand
from arm_vcpu_cli.arm_vcpu.exit_reason import (
    SEMIHOSTING_HLT,
    SGI_REGISTERS,
    ExitReasons,
    send_ipi,
    trap_syndrome,
    unexpected,
)
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.arm_vcpu.inject import El1Entry
from arm_vcpu_cli.arm_vcpu.mmio import DeviceAccess
from arm_vcpu_cli.arm_vcpu.platform import Outcome, Platform
from arm_vcpu_cli.arm_vcpu.psci import FirmwareCalls
from arm_vcpu_cli.arm_vcpu.smc import SecureMonitor
from arm_vcpu_cli.arm_vcpu.syndrome import SyndromeCorrection
from arm_vcpu_cli.axvcpu.exit import (
    AccessFlags,
    AxVCpuExitReason,
    Halt,
    NestedPageFault,
    SysRegRead,
    SysRegWrite,
)
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.errors import VCpuError

ExitOrNone = AxVCpuExitReason | None
Handler = Callable[[int], ExitOrNone]

EXCEPTION_CLASSES: Final = 64
TAKEN_BACK: Final = -1
"""In place of a PSTATE: there was no exit after all, and the guest executes the same instruction again."""


class Pending(Enum):
    """The work left for an exit that ``run()`` returned, when no access is in progress."""

    NOTHING = "nothing"
    ADVANCE = "advance"


_NOTHING: Final = Pending.NOTHING  # looking up a member in its class takes time


class SyncHandlers:
    """The synchronous exceptions of one vCPU, on its saved state.

    ``new_pstate`` is set when the guest enters EL1's vector: it must be written after the restore. It is
    :data:`TAKEN_BACK` when the exit was withdrawn. ``note`` describes, for observers, what was done beyond the exit
    reason.
    """

    def __init__(
        self,
        *,
        state: CpuState,
        frame: TrapFrame,
        entry: El1Entry,
        platform: Platform,
        calls: FirmwareCalls,
        monitor: SecureMonitor,
        memory: GuestMemory,
        fetch: Callable[[int], int | None],
        id_registers: Mapping[SysReg, int],
        trapped_moves: frozenset[SysReg],
        fp_traps: Mapping[ExceptionClass, Handler],
        on_demand: ExecuteOnDemand | None = None,
        observed: bool = False,
    ) -> None:
        layout = state.layout
        self._state = state
        self._u32 = state.u32
        self._u64 = state.u64
        self._x0 = layout.x0 // 8
        self._pc = layout.pc // 8
        self._syndrome = layout.syndrome // 4
        self._far = layout.fault_address // 8
        self._hpfar = layout.sysregs[lookup("HPFAR_EL2")] // 8
        self._frame = frame
        self.entry = entry
        self._aborts = GuestAborts(state, entry, memory)
        entry.is_mapped = self._aborts.is_mapped
        self._platform = platform
        self._calls = GuestCalls(state, platform, calls, monitor)
        self._fetch = fetch
        self._id_registers = id_registers
        self.on_demand = on_demand
        self._access = DeviceAccess(state, frame, platform)
        self.syndromes = SyndromeCorrection(state, memory, fetch)
        self.reasons = ExitReasons(
            state=state,
            frame=frame,
            entry=entry,
            access=self._access,
            syndromes=self.syndromes,
            calls=calls,
            fetch=fetch,
            trapped_moves=trapped_moves,
            memory=memory,
        )
        self._decoder = self.reasons.aborts
        self._advance = frame.advance
        self.told: Final[deque[AxVCpuExitReason]] = deque(maxlen=1)
        """The latest data abort as an exit reason, if there is an observer."""
        self._observed = observed
        self._data_abort = self.data_abort(self.told.append if observed else None)
        self.pending: Pending | PlainAccess | PendingAccess = _NOTHING
        self.given: int | None = None
        """The value that the caller has provided for the pending device read."""
        self.new_pstate: int | None = None
        self.note = ""
        table: list[Handler] = [unexpected] * EXCEPTION_CLASSES
        for exception_class, handler in (*self.table().items(), *fp_traps.items()):
            table[exception_class] = handler
        self.sync_table: Final = table
        self.routes_debug = False

    def table(self) -> Mapping[ExceptionClass, Handler]:
        """Return the handlers of exceptions to EL2 by class; every other class ends the run with a report."""
        return {
            ExceptionClass.WFX: self._wfx,
            ExceptionClass.HVC64: self._calls.hvc,
            ExceptionClass.SMC64: self._smc,
            ExceptionClass.SYSTEM: self._system,
            ExceptionClass.INSTRUCTION_ABORT_LOWER: self._instruction_abort,
            ExceptionClass.DATA_ABORT_LOWER: self._data_abort,
        }

    def data_abort(self, tell: Callable[[MmioReason], object] | None) -> Handler:
        """Return a handler of data aborts; see :func:`data_abort_handler` for ``tell``."""
        return data_abort_handler(
            *(self._state, self._frame, self._fetch),
            read=self._platform.mmio_read,
            write=self._platform.mmio_write,
            refused=self._refused_access,
            other=self._other_data_abort,
            tell=tell,
        )

    def handle_exception_sync(self) -> ExitOrNone:
        """Handle an exception to EL2: dispatch by ESR_EL2.EC."""
        esr = self._u32[self._syndrome]
        return self.sync_table[esr >> EC_SHIFT](esr)

    def resume(self) -> ExitOrNone:
        """Finish the exit that was returned last; return another exit if its instruction makes another access."""
        pending = self.pending
        if pending is _NOTHING:
            return None
        self.pending = _NOTHING
        given, self.given = self.given, None
        if isinstance(pending, PendingAccess):
            self._access.go_on(pending, given)
            return self._finish(pending)
        if isinstance(pending, PlainAccess) and not pending.is_write and pending.word >= 0:
            # Without a value, the caller set the register itself, as with the crate.
            value = self._u64[pending.word] if given is None else given
            self._u64[pending.word] = extend_load(value, pending.size, pending.sign_extend, pending.is_64bit)
        self._advance()
        return None

    def take_over(self, previous: SyncHandlers) -> None:
        """Continue where the handlers of an earlier binding of the same vCPU stopped."""
        self.pending = previous.pending
        self.note = previous.note
        self.given = previous.given

    def start_again(self, pstate: int) -> None:
        """Record a reset of the saved state: earlier exits leave no work, except to write PSTATE."""
        self._drop_pending()
        self.note = ""
        self.entry.chain.forget()
        self.new_pstate = pstate

    def complete(self, value: int) -> None:
        """Provide the value of the read that was returned last (unsigned; truncated to its width)."""
        pending = self.pending
        if isinstance(pending, Pending):
            esr = self._u32[self._syndrome]
            if esr >> EC_SHIFT != ExceptionClass.SYSTEM or not decode_system_trap(esr).is_read:
                raise VCpuError("there is no read to complete")
            self._frame.set_gpr(decode_system_trap(esr).register, value)
            return
        is_load = pending.is_load if isinstance(pending, PendingAccess) else not pending.is_write
        if not is_load or self.given is not None:
            raise VCpuError("there is no device read to complete")
        self.given = value

    def inject_undefined(self) -> None:
        """Make the guest take an Undefined Instruction exception instead of completing its instruction."""
        self._drop_pending()
        if self._u32[self._syndrome] >> EC_SHIFT == ExceptionClass.HVC64:
            # The return address is already past the instruction, and the exception must be at it.
            self._frame.elr -= INSTRUCTION_SIZE
        self.note = "undefined instruction into the guest"
        self.new_pstate = self.entry.undefined()

    def inject_external_abort(self) -> None:
        """Make the guest take a synchronous external abort for the access of the last exit.

        Raises :class:`VCpuError` if that exit was not a memory access.
        """
        pending = self._drop_pending()
        esr = self._u32[self._syndrome]
        exception_class = esr >> EC_SHIFT
        if exception_class == ExceptionClass.INSTRUCTION_ABORT_LOWER:
            self._aborted(self._aborts.fetch(esr))
        elif exception_class != ExceptionClass.DATA_ABORT_LOWER:
            raise VCpuError("there is no access to abort: the last exit was none")
        else:
            self._aborted(self._aborts.data(esr, pending if isinstance(pending, PendingAccess) else None))

    def _drop_pending(self) -> Pending | PlainAccess | PendingAccess:
        pending = self.pending
        self.pending = _NOTHING
        self.given = None
        return pending

    # Data and instruction aborts -------------------------------------------------------------------------------

    def _refused_access(self, access: PlainAccess, reason: MmioReason, outcome: Outcome) -> ExitOrNone:
        """Handle a plain access that the platform did not execute: the caller completes it, or it aborts."""
        if outcome is not Outcome.EXIT:
            return self._aborted(self._aborts.data(self._u32[self._syndrome]))
        self.pending = access
        return reason

    def _other_data_abort(self, esr: int) -> ExitOrNone:
        """Handle a data abort that is not a plain access."""
        abort = self._decoder.decode(esr)
        if self._observed:
            self.told.append(self.reasons.access(abort))
        if abort.kind is AbortKind.REFUSED:
            access = AccessFlags.WRITE if abort.is_write else AccessFlags.READ
            return self._page_fault(self._u32[self._syndrome], access)
        return self._decoded_access(abort)

    def _decoded_access(self, abort: DecodedAbort) -> ExitOrNone:
        if abort.accesses is not None:
            return self._finish(abort.accesses)
        if abort.kind in (AbortKind.PREFETCH, AbortKind.MAINTENANCE):
            # Without a mapping there is no line to fetch or to clean; KVM skips cache maintenance too.
            self._advance()
            return None
        if abort.kind in (AbortKind.STAGE1, AbortKind.STACK_ALIGNMENT):
            self.note = f"{abort.what} into the guest"
            return self._aborted(self._aborts.stage1(abort))
        if abort.kind is AbortKind.UNSUPPORTED:
            self.note = f"{abort.what} access to a device: unsupported"
            self.new_pstate = self.entry.unsupported_atomic(self._u64[self._far], is_write=abort.is_write)
            return None
        if abort.kind is AbortKind.UNEMULATED:
            self.note = f"{abort.what} access to a device cannot be emulated"
        return self._aborted(self._aborts.data(self._u32[self._syndrome]))

    def _finish(self, access: PendingAccess) -> ExitOrNone:
        result = self._access.proceed(access)
        if result is Outcome.DONE:
            self._advance()
            return None
        if isinstance(result, Outcome):
            return self._aborted(self._aborts.data(self._u32[self._syndrome], access))
        self.pending = access
        return result

    def _instruction_abort(self, esr: int) -> ExitOrNone:
        if self.on_demand is not None and self.on_demand.concerns(esr):
            self.on_demand.grant()
            self.new_pstate = TAKEN_BACK
            return None
        esr = self.syndromes.instruction_abort(esr)
        if decode_instruction_abort(esr).stage1_walk:
            return self._aborted(self._aborts.fetch(esr))
        return self._page_fault(esr, AccessFlags.EXECUTE)

    def _page_fault(self, esr: int, access: AccessFlags) -> ExitOrNone:
        # This core sets HPFAR for permission faults too.
        ipa = fault_ipa(self._u64[self._hpfar], self._u64[self._far])
        outcome = self._platform.page_fault(ipa, access)
        if outcome is Outcome.EXIT:
            return NestedPageFault(ipa, access)
        if outcome is Outcome.DONE and access is AccessFlags.WRITE:
            return self._ignore_store(ipa)
        return self._aborted((self._aborts.fetch if access is AccessFlags.EXECUTE else self._aborts.data)(esr))

    def _ignore_store(self, ipa: int) -> ExitOrNone:
        """Complete a store without storing; its other effects happen."""
        store = self._decoder.refused_store(ipa)
        if store is not None:
            if store.accesses is None:
                # Exclusives and atomics have a result, and a store that crosses the page stores something.
                return self._decoded_access(store)
            self._access.write_back(store.accesses)
        self._advance()
        return None

    def _aborted(self, pstate: int) -> ExitOrNone:
        self.note = self.note or "external abort into the guest"
        self.new_pstate = pstate
        return None

    # Calls and waiting -----------------------------------------------------------------------------------------

    def _smc(self, _esr: int) -> ExitOrNone:
        # Unlike an HVC, the trapped SMC has not been executed yet, so it is stepped over here.
        reason = self._calls.smc()
        if reason is None:
            self._advance()
        else:
            self.pending = Pending.ADVANCE
        return reason

    def _wfx(self, esr: int) -> ExitOrNone:
        self.pending = Pending.ADVANCE
        return Halt(for_event=waits_for_event(esr))

    # System registers ------------------------------------------------------------------------------------------

    def _system(self, esr: int) -> ExitOrNone:
        trap = decode_system_trap(esr)
        reg = trap.reg
        if trap.is_read:
            value = self._id_registers.get(reg)
            if value is None:
                # Registers that send SGIs are write-only (IHI 0069H, 12.2), even without an interrupt controller.
                answer = Outcome.UNDEFINED if reg in SGI_REGISTERS else self._platform.sysreg_read(reg)
                if isinstance(answer, Outcome):
                    return self._refused_sysreg(answer, SysRegRead(reg.iss, trap.register))
                value = answer
            self._frame.set_gpr(trap.register, value)
        else:
            value = self._frame.gpr(trap.register)
            outcome = self._platform.sysreg_write(reg, value)
            if outcome is not Outcome.DONE:
                if reg in SGI_REGISTERS:
                    # Without an interrupt controller, the caller selects the targets.
                    self.pending = Pending.ADVANCE
                    return send_ipi(value)
                return self._refused_sysreg(outcome, SysRegWrite(reg.iss, value))
        self._advance()
        return None

    def _refused_sysreg(self, outcome: Outcome, reason: SysRegRead | SysRegWrite) -> ExitOrNone:
        if outcome is Outcome.EXIT:
            self.pending = Pending.ADVANCE
            return reason
        self.note = "undefined instruction into the guest"
        self.new_pstate = self.entry.undefined()
        return None

    def handle_el1_undefined(self, esr: int) -> ExitOrNone:
        """Handle EC 0 at EL1, from a core without ICC registers and HLT: semihosting, a system register that the core
        lacks but EL2 traps, or really undefined."""
        word = self._fetch(self._u64[self._pc])
        if word == SEMIHOSTING_HLT:
            answer = self._platform.semihosting(self._u64[self._x0] & VALUE_MASKS[4], self._u64[self._x0 + 1])
            if not isinstance(answer, Outcome):
                if not isinstance(answer, int):
                    self.pending = Pending.ADVANCE
                    return answer
                self._u64[self._x0] = answer & VALUE_MASKS[8]
                self._advance()
                return None
        else:
            if word is not None and self.reasons.trapped_move(word) is not None:
                # The syndrome that a core with a GIC CPU interface would have reported.
                self._u32[self._syndrome] = trapped = trap_syndrome(word)
                return self._system(trapped)
        self.new_pstate = self.entry.take(self.syndromes.undefined(esr, word))
        return None
