"""Takes an exception to EL1: the Arm ARM's AArch64.TakeException on a saved state.

The core raises the guest's own exceptions in the hook and leaves entering the vector to us. The state is edited first;
PSTATE is written after the restore, because only that makes the core apply a new Exception level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.fault import FSC_UNSUPPORTED_ATOMIC
from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED, Sctlr, Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import (
    EC_SHIFT,
    ExceptionClass,
    data_abort_esr,
    instruction_abort_esr,
    undefined_esr,
)
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER, TrapFrame
from arm_vcpu_cli.arm_vcpu.exception_chain import UNRETURNED, Chain, ExceptionChain
from arm_vcpu_cli.arm_vcpu.vectors import ENTRY_SIZE, TABLE_ALIGNMENT, TABLE_SIZE, TrapKind, TrapSource, vector_offset
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.saved import Saved

EL1H: Final = EL1H_MASKED.M
_EL1H_BITS: Final = 0b1111
_SP_ELX: Final = 1
_NZCV: Final = int(Spsr.of(N=1, Z=1, C=1, V=1))
_KEPT: Final = _NZCV | int(Spsr.of(PAN=1, DIT=1))
_ENTRY: Final = int(EL1H_MASKED)
_PAN: Final = int(Spsr.of(PAN=1))
_DAIF: Final = int(Spsr.of(D=1, A=1, I=1, F=1))
_PSTATE_WORD: Final = ~(_NZCV | _DAIF | int(Spsr.of(BTYPE=3)))
_EL: Final = int(Spsr.of(M=0b1100))
_EL1: Final = int(Spsr.of(M=0b0100))
_SPAN: Final = int(Sctlr.of(SPAN=1))
_VECTORS: Final = MASK64 & -TABLE_ALIGNMENT
"""The significant bits of VBAR_EL1."""
_FROM_SP_EL0, _FROM_SP_ELX, _FROM_EL0 = (
    vector_offset(source, TrapKind.SYNCHRONOUS)
    for source in (TrapSource.CURRENT_SP_EL0, TrapSource.CURRENT_SP_ELX, TrapSource.LOWER_AARCH64)
)

WITH_FAR: Final = frozenset(
    int(each)
    for each in (
        ExceptionClass.INSTRUCTION_ABORT_LOWER,
        ExceptionClass.INSTRUCTION_ABORT,
        ExceptionClass.PC_ALIGNMENT,
        ExceptionClass.DATA_ABORT_LOWER,
        ExceptionClass.DATA_ABORT,
        ExceptionClass.WATCHPOINT_LOWER,
        ExceptionClass.WATCHPOINT,
    )
)
"""Exception classes that write FAR_EL1; all others leave it unchanged."""


REPEATS_AT_THE_VECTOR: Final = 1_000
"""The maximum number of faults at a vector's own first instruction: nothing executes between two of them."""
REPEATS_WITHOUT_PROGRESS: Final = 100_000
"""The maximum number of identical faults of another instruction, with the same registers and an unchanged ELR."""
DESCENTS_WITHOUT_PROGRESS: Final = 10_000
"""The same for a handler that faults in itself, each time a little further down the stack."""

_UNWATCHED: Final = frozenset(
    int(each) for each in (ExceptionClass.SVC64, ExceptionClass.SOFTWARE_STEP_LOWER, ExceptionClass.SOFTWARE_STEP)
)
"""Exceptions caused by an instruction that was executed: the guest makes progress."""

GENERAL_REGISTERS: Final = ZERO_REGISTER


def sets_far(exception_class: int) -> bool:
    """Return whether an exception of that class writes the fault address register."""
    return exception_class in WITH_FAR


class _Take(Protocol):
    def __call__(self, esr: int, far: int | None = None) -> int: ...


class El1Entry:
    """Takes synchronous exceptions to EL1 on one saved state.

    ``has_pan``: the CPU has FEAT_PAN, and entry sets PSTATE.PAN unless SCTLR_EL1.SPAN says otherwise.
    """

    def __init__(self, state: CpuState, frame: TrapFrame, *, has_pan: bool) -> None:
        layout = state.layout
        self._u32 = state.u32
        self._u64 = state.u64
        self._frame = frame
        self._has_pan = has_pan
        self._x0 = layout.x0 // 8
        self._pc = layout.pc // 8
        self._sp = layout.sp // 8
        self._pstate = layout.pstate // 4
        self._daif = layout.daif // 4
        self._btype = layout.btype // 4
        sysregs = layout.sysregs
        self._elr = sysregs[lookup("ELR_EL1")] // 8
        self._spsr = sysregs[lookup("SPSR_EL1")] // 8
        self._esr = sysregs[lookup("ESR_EL1")] // 8
        self._far = sysregs[lookup("FAR_EL1")] // 8
        self._vbar = sysregs[lookup("VBAR_EL1")] // 8
        self._exclusive = layout.exclusive // 8
        self._sctlr = sysregs[lookup("SCTLR_EL1")] // 8
        self._sp_el0 = sysregs[lookup("SP_EL0")] // 8
        self._sp_el1 = sysregs[lookup("SP_EL1")] // 8
        self._last = (0, -1, 0, 0)
        self.repeats = 0
        """The number of times that the latest exception has repeated the one before, with nothing changed in
        between."""
        self._descents = 0
        self._registers = b""
        self.stuck = False
        """Whether the guest takes one exception over and over and can no longer make progress."""
        self.is_mapped: Callable[[int, int], bool] = lambda _vaddr, _esr: False
        """Returns whether an access that once had that syndrome would succeed now."""
        self.chain: Final = ExceptionChain()
        """The exceptions whose handlers have not returned; system calls are omitted."""
        self.take: Final = self._taker()
        """Edits the state for a synchronous exception with a 64-bit syndrome, and returns the PSTATE to write after the
        restore. Without a fault address FAR_EL1 stays unchanged."""

    @property
    def from_el1(self) -> bool:
        """Whether the guest is at EL1, so that an exception to EL1 comes from the same level."""
        return self._u32[self._pstate] & _EL == _EL1

    def story(self) -> Chain:
        """Return the exceptions that EL1 is handling, or handled last."""
        u64, chain = self._u64, self.chain
        return Chain(
            chain.exceptions(self.is_mapped),
            chain.dropped,
            chain.is_unfinished(
                spsr=int(self._frame.spsr),
                elr=u64[self._elr],
                old_spsr=u64[self._spsr],
                monitor=u64[self._exclusive],
                is_mapped=self.is_mapped,
            ),
        )

    def _watch(self, esr: int, far: int, pc: int, sp: int) -> None:
        """Detect a guest that takes one exception over and over and can no longer make progress.

        A vector without code is the usual case, a handler that faults on its own stack another. Handlers that map
        missing memory, or skip the instruction, change FAR, ELR or a register each time.
        """
        last_esr, last_pc, last_sp, last_far = self._last
        self._last = (esr, pc, sp, far)
        self.stuck = False
        if esr != last_esr or pc != last_pc or self._u64[self._elr] != pc:
            self.repeats = self._descents = 0
        elif sp == last_sp and far == last_far:
            registers = self._u64[self._x0 : self._x0 + GENERAL_REGISTERS].tobytes()
            self.repeats = self.repeats + 1 if registers == self._registers else 0
            self._registers = registers
            offset = pc - (self._u64[self._vbar] & _VECTORS)
            at_vector = 0 <= offset < TABLE_SIZE and offset % ENTRY_SIZE == 0
            self.stuck = self.repeats >= (REPEATS_AT_THE_VECTOR if at_vector else REPEATS_WITHOUT_PROGRESS)
        elif sp < last_sp and self._frame.spsr & _EL1H_BITS == EL1H:
            self._descents += 1
            if self._descents >= DESCENTS_WITHOUT_PROGRESS:
                # A stack that gets memory as it grows looks the same, but the memory missing last is mapped now.
                self._descents = 0
                self.stuck = far == last_far or not self.is_mapped(last_far, esr)
        else:
            self.repeats = self._descents = 0

    def _taker(self) -> _Take:
        """Return the function behind :attr:`take`. Guests make system calls all the time, so everything it needs is
        bound in it."""
        u32, u64, pstate_word, watch = self._u32, self._u64, self._frame.pstate_word, self._watch
        pc, sp, pstate, daif, btype = self._pc, self._sp, self._pstate, self._daif, self._btype
        elr, spsr, syndrome, fault_address = self._elr, self._spsr, self._esr, self._far
        vbar, sctlr, sp_el0, sp_el1, has_pan = self._vbar, self._sctlr, self._sp_el0, self._sp_el1, self._has_pan
        exclusive, link = self._exclusive, self.chain.take

        def take(esr: int, far: int | None = None) -> int:
            old = pstate_word()
            if esr >> EC_SHIFT not in _UNWATCHED:
                watch(esr, far or 0, u64[pc], u64[sp])
                link(esr, far or 0, u64[pc], u64[sp], old, u64[elr], u64[spsr], u64[syndrome], u64[exclusive])
                u64[exclusive] = UNRETURNED
            u64[elr] = u64[pc]
            u64[spsr] = old
            u64[syndrome] = esr
            if far is not None:
                u64[fault_address] = far
            if old & _SP_ELX:
                offset = _FROM_SP_ELX
            else:
                offset = _FROM_SP_EL0 if old & _EL else _FROM_EL0
                u64[sp_el0] = u64[sp]
                u64[sp] = u64[sp_el1]
            u64[pc] = u64[vbar] & _VECTORS | offset
            new = _ENTRY | old & _KEPT
            if has_pan and not u64[sctlr] & _SPAN:
                new |= _PAN
            u32[pstate] = new & _PSTATE_WORD
            u32[daif] = _DAIF
            u32[btype] = 0
            return new

        return take

    def save(self) -> dict[str, Any]:
        """Return what is known of the exceptions so far, as plain data."""
        return {
            "last": [word & MASK64 for word in self._last],
            "repeats": self.repeats,
            "descents": self._descents,
            "registers": self._registers,
            "stuck": self.stuck,
            "chain": self.chain.save(),
        }

    def load(self, saved: Saved) -> None:
        """Restore what :meth:`save` returned. Raises ValueError, without a change, for anything else."""
        esr, pc, sp, far = saved.numbers("last", len(self._last), MASK64)
        repeats, descents = (saved.number(name, REPEATS_WITHOUT_PROGRESS) for name in ("repeats", "descents"))
        registers, stuck = saved.data("registers"), saved.flag("stuck")
        self.chain.load(saved.part("chain"))
        self._last = (esr, pc, sp, far)
        self.repeats, self._descents, self._registers, self.stuck = repeats, descents, registers, stuck

    def undefined(self) -> int:
        """Take an Undefined Instruction exception at the current PC (EC 0x00)."""
        return self.take(undefined_esr())

    def data_abort(self, far: int, fault: int, *, is_write: bool, maintenance: bool = False) -> int:
        """Take a data abort with that fault status code (DFSC).

        ``maintenance``: of a cache maintenance or address translation instruction (ESR_EL1.CM).
        """
        return self.take(data_abort_esr(self.from_el1, fault, is_write=is_write, cm=int(maintenance)), far)

    def unsupported_atomic(self, far: int, *, is_write: bool) -> int:
        """Take the abort of an exclusive or atomic access to memory that does not support it (DFSC 0b110101)."""
        return self.take(data_abort_esr(self.from_el1, FSC_UNSUPPORTED_ATOMIC, is_write=is_write), far)

    def instruction_abort(self, far: int, fault: int) -> int:
        """Take an instruction abort with that fault status code (IFSC)."""
        return self.take(instruction_abort_esr(self.from_el1, fault), far)
