"""The layout of a saved CPU state, and the view through which the rest of the package accesses it.

The engine saves the whole CPU in one C call into a block of memory. A :class:`CpuState` presents that block as 32-bit
and 64-bit words, without a copy: changing a word changes the state that the engine restores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.record import Record

NOT_EXCLUSIVE: Final = (1 << 64) - 1


class StateLayout(Record):
    """Byte offsets in the saved state of one build of the engine; ``size`` is its length.

    ``n`` ``z`` ``c`` ``v`` are the condition flags in the engine's form: N and V in bit 31 of their word, Z set when
    the word is zero, C in bit 0. ``pstate`` holds the rest except DAIF and BTYPE. ``exclusive`` is the address of the
    exclusive monitor, :data:`NOT_EXCLUSIVE` if nothing is marked. ``v0`` is the low half of V0, and the vector
    registers are ``vector_stride`` bytes apart. The last ``addresses`` bytes are addresses of the engine's breakpoint
    objects, and are meaningless later. ``os_lock`` is the place of OSLSR_EL1, 0 if unknown.

    A vector register of SVE fills the whole of ``vector_stride``; V is its low part. ``p0`` is the predicate register
    P0, 0 if unknown; predicates are ``predicate_stride`` bytes apart, and FFR follows P15.
    """

    size: int
    x0: int
    sp: int
    pc: int
    pstate: int
    aarch64: int
    v0: int
    vector_stride: int
    n: int
    z: int
    c: int
    v: int
    daif: int
    btype: int
    syndrome: int
    fault_address: int
    target_el: int
    exclusive: int
    sysregs: Mapping[SysReg, int]
    addresses: int = 0
    os_lock: int = 0
    p0: int = 0

    @property
    def event(self) -> int:
        """The address of the event register, a 32-bit word (``events``): R12 of FIQ mode, just before the flags, unused
        because guests run only in AArch64."""
        return min(self.n, self.z, self.c, self.v) - 4

    @property
    def predicate_stride(self) -> int:
        """The distance between predicates in bytes: a predicate has a bit for each byte of a vector."""
        return self.vector_stride // 8


class CpuState:
    """One saved CPU state, as words ``u32`` and ``u64``; ``layout`` has byte offsets.

    ``owner`` keeps the memory alive.
    """

    __slots__ = ("layout", "owner", "u32", "u64")

    def __init__(self, layout: StateLayout, memory: memoryview, owner: object) -> None:
        self.layout = layout
        self.owner = owner
        flat = memory.cast("B")
        self.u32 = flat.cast("I")
        self.u64 = flat.cast("Q")

    def _registers(self) -> memoryview:
        """The part after the engine's own header, whose first word is the size."""
        words = self.u64[0] // 8
        first = len(self.u64) - words
        if not 0 < first <= self.layout.x0 // 8:
            raise ValueError("the engine uses a different layout for its states")
        return self.u64[first:]

    def save(self) -> bytes:
        """Return all registers in the form of this build of the engine. Raises ValueError if the form is unknown."""
        registers, addresses = self._registers().tobytes(), self.layout.addresses
        return registers[: len(registers) - addresses].ljust(len(registers), b"\0")

    def load(self, registers: bytes) -> None:
        """Restore what :meth:`save` returned. Raises ValueError, without a change, for another build."""
        mine = self._registers()
        if len(registers) != mine.nbytes:
            raise ValueError(f"a CPU state of {len(registers)} bytes, expected {mine.nbytes}")
        mine[:] = memoryview(registers).cast("Q")
