"""Where the parts of a saved CPU state lie, and the view through which the rest of the package sees them.

The engine saves the whole CPU in one C call into a block of memory. A :class:`CpuState` is that block seen as
32-bit and 64-bit words, without a copy: editing a word edits the state that the engine restores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.record import Record

NOT_EXCLUSIVE: Final = (1 << 64) - 1


class StateLayout(Record):
    """Byte offsets in the saved state of one build of the engine; ``size`` is its length.

    ``n`` ``z`` ``c`` ``v`` are the condition flags in the form the engine keeps them: N and V in bit 31 of
    their word, Z set when the word is zero, C in bit 0. ``pstate`` holds what is neither a flag, DAIF nor BTYPE.
    ``exclusive`` is the address of the exclusive monitor, :data:`NOT_EXCLUSIVE` where nothing is marked.
    ``v0`` is the low half of V0, and each further vector register lies ``vector_stride`` bytes on. The last
    ``addresses`` bytes are addresses of what the engine has made of the breakpoint registers, and mean nothing later.
    ``os_lock`` is where OSLSR_EL1 is, 0 if that is not known.

    A vector register of SVE fills the whole of ``vector_stride``; V is its low part. ``p0`` is the predicate register
    P0, 0 if that is not known; each further one lies ``predicate_stride`` bytes on, and behind P15 lies FFR.
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
    def predicate_stride(self) -> int:
        """A predicate has a bit for each byte of a vector."""
        return self.vector_stride // 8


class CpuState:
    """One saved CPU state: ``u32`` and ``u64`` index it by word, ``layout`` by byte.

    ``owner`` is what keeps the memory alive.
    """

    __slots__ = ("layout", "owner", "u32", "u64")

    def __init__(self, layout: StateLayout, memory: memoryview, owner: object) -> None:
        self.layout = layout
        self.owner = owner
        flat = memory.cast("B")
        self.u32 = flat.cast("I")
        self.u64 = flat.cast("Q")

    def _registers(self) -> memoryview:
        """The part without the engine's own book-keeping, which lies before it and whose first word has its size."""
        words = self.u64[0] // 8
        first = len(self.u64) - words
        if not 0 < first <= self.layout.x0 // 8:
            raise ValueError("the engine uses a different layout for its states")
        return self.u64[first:]

    def save(self) -> bytes:
        """All registers, as this build of the engine has them. ValueError if it has them in an unknown form."""
        registers, addresses = self._registers().tobytes(), self.layout.addresses
        return registers[: len(registers) - addresses].ljust(len(registers), b"\0")

    def load(self, registers: bytes) -> None:
        """Take what :meth:`save` gave. ValueError, and nothing changes, if it is of another build."""
        mine = self._registers()
        if len(registers) != mine.nbytes:
            raise ValueError(f"a CPU state of {len(registers)} bytes, expected {mine.nbytes}")
        mine[:] = memoryview(registers).cast("Q")
