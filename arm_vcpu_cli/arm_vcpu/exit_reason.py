"""Decodes the exit reason of an exception before it is handled, as shown in a trace.

The handlers in ``exception`` return the same reason for everything that they do not complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Mpidr
from arm_vcpu_cli.arch.registers.gicregs import ICC_REGISTERS, IccSgi1r
from arm_vcpu_cli.arch.registers.sysreg import SysReg, SystemMove, decode_system_move, lookup
from arm_vcpu_cli.arch.syndrome.esr import (
    EC_SHIFT,
    Esr,
    ExceptionClass,
    SystemTrap,
    decode_system_trap,
    describe_esr,
    system_trap_esr,
    waits_for_event,
)
from arm_vcpu_cli.arch.translation.fault_address import fault_ipa
from arm_vcpu_cli.arm_vcpu.abort_decoder import AbortDecoder, DecodedAbort
from arm_vcpu_cli.arm_vcpu.access import MmioReason, PlainAccess, data_abort_handler
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.arm_vcpu.inject import El1Entry
from arm_vcpu_cli.arm_vcpu.mmio import DeviceAccess
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.arm_vcpu.psci import FirmwareCalls
from arm_vcpu_cli.arm_vcpu.reasons import hypercall
from arm_vcpu_cli.arm_vcpu.syndrome import SyndromeCorrection
from arm_vcpu_cli.axvcpu.exit import (
    AccessFlags,
    AxVCpuExitReason,
    FailEntry,
    Halt,
    Hypercall,
    NestedPageFault,
    Nothing,
    SendIPI,
    SysRegRead,
    SysRegWrite,
)
from arm_vcpu_cli.engine.layout import CpuState

SEMIHOSTING_HLT: Final = 0xD45E_0000
"""HLT #0xF000: the AArch64 semihosting trap instruction."""
SGI_REGISTERS: Final = frozenset(lookup(name) for name in ("ICC_SGI1R_EL1", "ICC_ASGI1R_EL1", "ICC_SGI0R_EL1"))
_COMPLETED: Final = (
    *(ExceptionClass.FP_ACCESS, ExceptionClass.SVE),
    *(ExceptionClass.BREAKPOINT_LOWER, ExceptionClass.SOFTWARE_STEP_LOWER, ExceptionClass.WATCHPOINT_LOWER),
    ExceptionClass.BRK64,
)
"""Exceptions that ``lazy_fp`` and ``debug_routing`` complete."""
_decode_move = lru_cache(maxsize=4096)(decode_system_move)
"""The decoder behind a cache: guests use few different MRS and MSR."""


@lru_cache(maxsize=4096)
def trap_syndrome(word: int) -> int:
    """Return the syndrome of a trapped MRS or MSR, given the instruction, as a core with the register would report
    it."""
    move = _decode_move(word)
    if move is None:
        raise ValueError(f"{word:#010x} is not an MRS or MSR")
    return system_trap_esr(move)


_OP0_OF_IMPLEMENTATION: Final = (1, 3)
_CRN_OF_IMPLEMENTATION: Final = (11, 15)
_OF_EL0: Final = 3
"""op1 of registers accessible at EL0."""
ARGUMENTS: Final = 6
"""The number of argument registers of a hypercall, from x1 on."""


class ExitReasons:
    """Decodes the exception in a saved state, and changes nothing except a wrong syndrome."""

    def __init__(
        self,
        *,
        state: CpuState,
        frame: TrapFrame,
        entry: El1Entry,
        access: DeviceAccess,
        syndromes: SyndromeCorrection,
        calls: FirmwareCalls,
        fetch: Callable[[int], int | None],
        trapped_moves: frozenset[SysReg],
        memory: GuestMemory,
    ) -> None:
        layout = state.layout
        self._u32 = state.u32
        self._u64 = state.u64
        self._x0 = layout.x0 // 8
        self._pc = layout.pc // 8
        self._syndrome = layout.syndrome // 4
        self._far = layout.fault_address // 8
        self._hpfar = layout.sysregs[lookup("HPFAR_EL2")] // 8
        self._frame = frame
        self._entry = entry
        self._access = access
        self.aborts: Final = AbortDecoder(state, frame, fetch, syndromes.data_abort, memory)
        # The handler of a machine that completes nothing.
        self._data_abort = data_abort_handler(
            state,
            frame,
            fetch,
            read=lambda _ipa, _size: Outcome.EXIT,
            write=lambda _ipa, _size, _value: Outcome.EXIT,
            refused=_reason,
            other=lambda esr: self.access(self.aborts.decode(esr)),
        )
        self._syndromes = syndromes
        self._calls = calls
        self._fetch = fetch
        self._trapped_moves = trapped_moves

    def reason(self) -> AxVCpuExitReason | None:
        """Return the exit reason of the exception in the saved state, before it is handled.

        Returns None for an exception that EL1 takes itself.
        """
        esr = self._u32[self._syndrome]
        u64, x0 = self._u64, self._x0
        exception_class = esr >> EC_SHIFT
        if exception_class == ExceptionClass.DATA_ABORT_LOWER:
            return self._data_abort(esr)
        if exception_class == ExceptionClass.INSTRUCTION_ABORT_LOWER:
            self._syndromes.instruction_abort(esr)
            return NestedPageFault(fault_ipa(self._u64[self._hpfar], self._u64[self._far]), AccessFlags.EXECUTE)
        if exception_class in (ExceptionClass.HVC64, ExceptionClass.SMC64):
            exit_ = self._calls.exit_reason(u64[x0], u64[x0 + 1], u64[x0 + 2], u64[x0 + 3])
            return hypercall(u64[x0], tuple(u64[x0 + 1 : x0 + 1 + ARGUMENTS])) if exit_ is None else exit_
        if exception_class == ExceptionClass.SYSTEM:
            return self._system_reason(decode_system_trap(esr))
        if exception_class == ExceptionClass.WFX:
            return Halt(for_event=waits_for_event(esr))
        if exception_class in _COMPLETED:
            # Otherwise, the handler returns it unchanged.
            return Nothing()
        return unexpected(esr)

    def el1_reason(self) -> AxVCpuExitReason | None:
        """Return the exit reason of an exception to EL1 that the hypervisor completes, None for all others."""
        if self._u32[self._syndrome] >> EC_SHIFT != ExceptionClass.UNKNOWN:
            return None
        word = self._fetch(self._u64[self._pc])
        if word == SEMIHOSTING_HLT:
            return Hypercall(self._u64[self._x0], (self._u64[self._x0 + 1],))
        self._u32[self._syndrome] = self._syndromes.undefined(self._u32[self._syndrome], word)
        move = self.trapped_move(word)
        return None if move is None else self._system_reason(SystemTrap(move.reg, move.rt, move.is_read))

    def el1_syndrome(self) -> int | None:
        """Return the syndrome of :meth:`el1_reason` as a core with the register would report it; None for the
        others."""
        move = self.trapped_move(self._fetch(self._u64[self._pc]))
        return None if move is None else system_trap_esr(move)

    def trapped_move(self, word: int | None) -> SystemMove | None:
        """Return the MRS or MSR of an instruction that is undefined on this core and would trap on one with the
        register."""
        move = None if word is None else _decode_move(word)
        if move is None or move.reg not in self._trapped_moves:
            return None
        if self._entry.from_el1:
            return move
        return move if move.reg.op1 == _OF_EL0 and not self._syndromes.undefined(0, word) else None

    def access(self, abort: DecodedAbort) -> MmioReason | NestedPageFault:
        """Return the reason of a data abort that is not a plain access."""
        if abort.accesses is not None:
            return self._access.reason(abort.accesses)
        return NestedPageFault(abort.ipa, AccessFlags.WRITE if abort.is_write else AccessFlags.READ)

    def _system_reason(self, trap: SystemTrap) -> AxVCpuExitReason:
        if trap.is_read:
            return SysRegRead(trap.reg.iss, trap.register)
        value = self._frame.gpr(trap.register)
        return send_ipi(value) if trap.reg in SGI_REGISTERS else SysRegWrite(trap.reg.iss, value)


def trapped_moves(setup: Aarch64VCpuSetupConfig) -> frozenset[SysReg]:
    """Return the system registers that the core lacks but that must trap."""
    own = frozenset(setup.constants).union(_implementation_space() if "TIDCP" in setup.hcr else ())
    if setup.gic_cpu_interface:
        return own | ICC_REGISTERS
    return own if setup.passthrough_interrupt else own | SGI_REGISTERS


def _implementation_space() -> Iterator[SysReg]:
    """Yield the registers that HCR_EL2.TIDCP traps, and the core does not."""
    for op0, crn in product(_OP0_OF_IMPLEMENTATION, _CRN_OF_IMPLEMENTATION):
        yield from (SysReg(op0, op1, crn, crm, op2) for op1 in range(8) for crm in range(16) for op2 in range(8))


def _reason(_access: PlainAccess, reason: MmioReason, _outcome: Outcome) -> MmioReason:
    return reason


def unexpected(esr: int) -> FailEntry:
    """Return the reason for the end of a run at an exception to EL2 without a handler."""
    return FailEntry(Esr(esr).EC, f"no handler for an exception to EL2 with {describe_esr(esr)}")


def send_ipi(value: int) -> SendIPI:
    """Return ICC_SGI1R_EL1 as an exit (IHI 0069, 12.2.23).

    ``target_cpu`` is the affinity Aff3.Aff2.Aff1.0 in the form of MPIDR_EL1; ``target_cpu_aux`` is the target list
    shifted by 16 times the range selector: bit n stands for the PE whose Aff0 is n.
    """
    sgi = IccSgi1r(value)
    affinity = Mpidr.of(Aff3=sgi.Aff3, Aff2=sgi.Aff2, Aff1=sgi.Aff1)
    return SendIPI(
        target_cpu=int(affinity),
        target_cpu_aux=sgi.TargetList << 16 * sgi.RS,
        send_to_all=bool(sgi.IRM),
        send_to_self=False,
        vector=sgi.INTID,
    )
